"""Numbers of labels are names: another numbering changes no measurement, and large numbers take no memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.io import results
from cellflax.labels import compact, majority_owners
from cellflax.measure.cells import cell_table
from cellflax.measure.ktr import KtrConfig, ktr_table
from cellflax.measure.markers import MarkerConfig, marker_brightness
from cellflax.measure.shape import rod_table
from cellflax.measure.tracks import track_table
from cellflax.metrics.score import score_cells
from cellflax.metrics.tracking import count_errors, match_cells, segmentation_score
from cellflax.pictures.growth_curves import rate_map
from cellflax.pictures.overlay import Panel, outline_overlay
from cellflax.pictures.tracks import track_movie
from cellflax.quantification.tracks import join_gaps, read_tracks
from cellflax.refine import refine
from cellflax.refine.watershed import WatershedConfig
from cellflax.tracking.ctc import TrackedMovie, read_ctc, to_ctc
from cellflax.tracking.tracker import TrackerConfig, track_cells
from tests.tracking.drawing import colony, discs

LARGEST = 2**31 - 1
CELLS = discs((60, 60), {1: (12, 12, 7), 2: (12, 40, 8), 3: (40, 12, 6), 4: (38, 24, 6), 5: (52, 52, 9)})
NUCLEI = discs((60, 60), {1: (12, 12, 3), 2: (12, 40, 3), 3: (40, 12, 2), 4: (38, 24, 3), 5: (52, 52, 4)})
IMAGE = np.random.default_rng(0).normal(100 + 50 * (CELLS > 0) + 30 * (NUCLEI > 0), 5).astype(np.float32)
MOVIE = colony(3, frames=6, side=3)
MEMORY = 100 * 2**20  # a table up to the largest number would take gigabytes


def numberings(n: int) -> st.SearchStrategy[np.ndarray]:
    """Ascending numbers for the labels 0 ... n, so that rows keep their order; most often with large ones."""
    numbers = st.lists(st.integers(1, LARGEST), min_size=n, max_size=n, unique=True)
    return numbers.map(lambda chosen: np.array([0, *sorted(chosen)], np.int32))


def assert_equal_but_for_numbers(found: pd.DataFrame, expected: pd.DataFrame, new: np.ndarray, *names: str) -> None:
    """Tables are the same if the columns called `names` are renumbered."""
    renamed = expected.assign(**{name: new[expected[name].to_numpy()] for name in names})
    pd.testing.assert_frame_equal(found, renamed, check_dtype=False)


@pytest.fixture(autouse=True)
def little_memory():
    """No test of this file may allocate a table as long as the largest number."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY


few = settings(max_examples=10, deadline=None)


@few
@given(numberings(5))
def test_cells(new):
    arguments = {"image": IMAGE[..., None], "channels": ("gfp",), "pixel_size_um": 0.5}
    assert_equal_but_for_numbers(cell_table(new[CELLS], **arguments), cell_table(CELLS, **arguments), new, "label")
    assert_equal_but_for_numbers(rod_table(new[CELLS]), rod_table(CELLS), new, "label")


@few
@given(numberings(5), numberings(5))
def test_reporters_and_markers(new, of_nuclei):
    config = KtrConfig(ring_px=[3])
    found = ktr_table(IMAGE, of_nuclei[NUCLEI], new[CELLS], config)
    expected = ktr_table(IMAGE, NUCLEI, CELLS, config).assign(nucleus=lambda t: of_nuclei[t["nucleus"]])
    assert_equal_but_for_numbers(found, expected, new, "label")
    found, expected = (marker_brightness(IMAGE, labels, MarkerConfig()) for labels in (of_nuclei[NUCLEI], NUCLEI))
    np.testing.assert_array_equal(found[0], expected[0])
    owners, parts = majority_owners(new[CELLS], of_nuclei[NUCLEI])
    np.testing.assert_array_equal(owners, of_nuclei[1:])
    np.testing.assert_array_equal(parts, new[1:])


@few
@given(numberings(5), numberings(5))
def test_scores(new, other):
    shifted = np.roll(CELLS, 2, 1)
    found = score_cells(new[CELLS], other[shifted], nuclei=other[NUCLEI], erode_reference=True)
    expected = score_cells(CELLS, shifted, nuclei=NUCLEI, erode_reference=True)
    np.testing.assert_array_equal(found.f_score, expected.f_score)
    np.testing.assert_array_equal(found.errors, expected.errors)
    assert found.accuracy.mean_jaccard == expected.accuracy.mean_jaccard


@few
@given(st.data())
def test_tracking(data):
    """Every frame may have numbers of its own."""
    n = int(MOVIE.labels.max())
    new = [data.draw(numberings(n)) for _ in MOVIE.labels]
    labels = np.stack([numbers[frame] for numbers, frame in zip(new, MOVIE.labels, strict=True)])
    found, expected = (track_cells(movie, TrackerConfig()) for movie in (labels, MOVIE.labels))
    tables = track_table(found, labels), track_table(expected, MOVIE.labels)
    renamed = [new[frame][label] for frame, label in tables[1][["frame", "label"]].to_numpy()]
    pd.testing.assert_frame_equal(tables[0], tables[1].assign(label=renamed), check_dtype=False)
    pd.testing.assert_frame_equal(found.lineage.edges, expected.lineage.edges)


@few
@given(numberings(int(MOVIE.labels.max())))
def test_scores_of_tracks(new):
    names = {"track": new[MOVIE.tracks["track"]], "parent": new[MOVIE.tracks["parent"]]}
    reference = TrackedMovie(new[MOVIE.labels], MOVIE.tracks.assign(**names))
    tracking = track_cells(MOVIE.labels, TrackerConfig())
    predicted = to_ctc(tracking.movie, tracking.lineage)
    found = count_errors(reference, predicted, match_cells(reference.labels, predicted.labels))
    assert found == count_errors(MOVIE, predicted, match_cells(MOVIE.labels, predicted.labels))
    assert segmentation_score({0: reference.labels[0]}, predicted.labels) == segmentation_score(
        {0: MOVIE.labels[0]}, predicted.labels
    )


@few
@given(numberings(3))
def test_gaps_of_tracks(new):
    labels = np.array([[[1, 2]], [[0, 2]], [[3, 2]]], np.int32)
    table = pd.DataFrame({"track": [1, 2, 3], "begin": [0, 0, 2], "end": [0, 2, 2], "parent": [0, 0, 1]})
    renamed = table.assign(track=new[table["track"]], parent=new[table["parent"]])
    joined = join_gaps(TrackedMovie(new[labels], renamed))
    np.testing.assert_array_equal(joined.labels, new[[[[1, 2]], [[0, 2]], [[1, 2]]]])
    assert joined.tracks["track"].tolist() == new[[1, 2]].tolist()


@few
@given(numberings(5))
def test_pictures(new):
    tracks = np.stack([CELLS, CELLS])
    renamed, same = (np.stack(list(track_movie(movie))) for movie in (new[tracks], tracks))
    np.testing.assert_array_equal(renamed.any(-1), same.any(-1))
    for one, other in ((CELLS, None), (CELLS, np.roll(CELLS, 1, 0))):
        panels = [Panel("", numbers[one], None if other is None else numbers[other]) for numbers in (new, np.arange(6))]
        np.testing.assert_array_equal(*map(outline_overlay, panels))
    rate_map(new[CELLS], pd.Series(np.ones(5), index=new[1:]), "h")


@few
@given(numberings(5))
def test_classes_and_refinement(new):
    for annotation in Annotation:
        classes = [pixel_classes(annotation, numbers[CELLS], numbers[NUCLEI]) for numbers in (new, np.arange(6))]
        np.testing.assert_array_equal(*classes)
    inside = np.clip((CELLS > 0) * 0.9, 0.05, 1)
    probability = np.stack([inside, 1 - inside], -1)
    names = ("interior", "background")
    cells = [refine(WatershedConfig(), probability, names, numbers[NUCLEI]) for numbers in (new, np.arange(6))]
    np.testing.assert_array_equal(*cells)


@pytest.mark.parametrize("details", [False, True])
def test_tracks_of_a_folder(tmp_path: Path, details):
    """Masks may hold 32-bit numbers; `tracks.csv` gives others."""
    import tifffile

    labels = np.where(CELLS == 5, LARGEST, np.where(CELLS == 1, 7, 0)).astype(np.uint32)
    for t in range(2):
        tifffile.imwrite(tmp_path / f"mask00{t}.tif", labels, photometric="minisblack")
    (tmp_path / results.CTC_TRACKS).write_text(f"7 0 1 0\n{LARGEST} 0 1 0\n")
    names = [7, LARGEST]
    if details:
        names = [1000, LARGEST - 1]
        rows = [(track, frame) for track in names for frame in range(2)]
        pd.DataFrame(rows, columns=["track", "frame"]).to_csv(tmp_path / results.TRACKS, index=False)
    recording = read_tracks(tmp_path, None, None)
    present, numbered = compact(recording.labels(1))
    assert present.tolist() == names
    np.testing.assert_array_equal(numbered, compact(read_ctc(tmp_path).labels[1])[1])
