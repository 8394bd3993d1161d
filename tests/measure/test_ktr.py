import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.measure.agreement import time_course_agreement
from cellflax.measure.ktr import RATIO, Background, KtrConfig, background_level, ktr_table, method_names, rings
from tests.measure.reporters import BACKGROUND, FRAMES, shuttling_cells

NONE = {"background": Background.none}


def _square():
    """A nucleus of 4 x 4 pixels, 10 in the middle of a cell of 12 x 12, whose left half is dim."""
    cells, nuclei = np.zeros((20, 40), np.int32), np.zeros((20, 40), np.int32)
    cells[4:16, 4:16], nuclei[8:12, 8:12] = 7, 3
    reporter = np.where(cells > 0, 20.0, 5.0)
    reporter[4:16, 4:8] = 10
    reporter[nuclei > 0] = 60
    return reporter, cells, nuclei


def test_a_drawn_cell():
    reporter, cells, nuclei = _square()
    rng = np.random.default_rng(0)
    table = ktr_table(reporter + rng.normal(0, 0.01, cells.shape), nuclei, cells, KtrConfig(ring_px=[2, 8], gap_px=0))
    assert method_names(table.columns) == ["ring_2px", "ring_8px", "mixture"]
    row = table.iloc[0]
    assert (row["label"], row["nucleus"]) == (7, 3)
    expected = {
        "intensity_background": 5,
        "intensity_nucleus": 55,
        "intensity_cytoplasm_ring_2px": 15,
        "intensity_cytoplasm_mixture": 15,
        f"{RATIO}_ring_2px": 55 / 15,
        f"{RATIO}_mixture": 55 / 15,
        # Without the outline of 1 pixel: 3 x 10 dim ones, and 7 x 10 bright ones except the 16 of the nucleus.
        "mixture_share": 54 / 84,
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=2e-3), name
    assert row["intensity_cytoplasm_ring_8px"] == pytest.approx(0, abs=0.1)  # most of it is background


def test_rings_by_brute_force():
    rng = np.random.default_rng(0)
    nuclei, cells = np.zeros((50, 60), np.int32), np.zeros((50, 60), np.int32)
    for label, (y, x) in {2: (15, 14), 4: (18, 30), 9: (36, 40)}.items():
        cells[y - 9 : y + 10, x - 7 : x + 8] = label + 20
        nuclei[y - 3 : y + 4, x - 3 : x + 4] = label
    reporter = rng.normal(100, 20, nuclei.shape)
    place = np.stack(np.indices(nuclei.shape), -1).reshape(-1, 2)
    distances = np.array(
        [np.linalg.norm(place[:, None] - np.argwhere(nuclei == label), axis=-1).min(axis=1) for label in (2, 4, 9)]
    )
    nearest = distances.argmin(axis=0)
    tied = (distances == distances.min(axis=0)).sum(axis=0) > 1
    cells[tied.reshape(cells.shape)] = 99  # nobody's ring
    table = ktr_table(reporter, nuclei, cells, KtrConfig(ring_px=[3, 12], gap_px=2, **NONE)).set_index("nucleus")
    for i, label in enumerate((2, 4, 9)):
        allowed = (nearest == i) & np.isin(cells.ravel(), [0, label + 20]) & (distances[i] > 2)
        for width in (3, 12):
            ring = allowed & (distances[i] <= 2 + width)
            assert table.loc[label, f"intensity_cytoplasm_ring_{width}px"] == np.median(reporter.ravel()[ring])


def test_without_cells_there_are_rings_alone():
    reporter, _, nuclei = _square()
    table = ktr_table(reporter, nuclei, None, KtrConfig(ring_px=[2]))
    assert list(table["label"]) == list(table["nucleus"]) == [3]
    assert method_names(table.columns) == ["ring_2px"]


def test_cells_without_nucleus_and_dark_cytoplasm_have_no_ratio():
    reporter, cells, nuclei = _square()
    cells[4:16, 20:36] = 8
    table = ktr_table(np.where(nuclei > 0, 60.0, 5.0), nuclei, cells, KtrConfig(ring_px=[2]))
    assert list(table["nucleus"]) == [3, 0]
    assert table[[f"{RATIO}_ring_2px", f"{RATIO}_mixture"]].isna().all(axis=None)
    assert table["intensity_nucleus"].tolist() == [55, pytest.approx(np.nan, nan_ok=True)]
    assert len(ktr_table(reporter, 0 * nuclei, 0 * cells, KtrConfig())) == 0


def test_background():
    rng = np.random.default_rng(0)
    image = rng.normal(200, 5, (80, 80))
    image[:, 30:] += 300 * rng.random((80, 50))  # bright cells, some of them not found
    outside = np.ones((80, 80), bool)
    outside[:, 60:] = False
    assert background_level(image, outside, KtrConfig()) == pytest.approx(200, abs=2)
    by_percentile = KtrConfig(background=Background.percentile, percentile=10)
    assert background_level(image, outside, by_percentile) == np.percentile(image, 10)
    assert background_level(image, np.zeros((80, 80), bool), KtrConfig()) == pytest.approx(200, abs=5)
    assert background_level(image, outside, KtrConfig(**NONE)) == 0


def test_rings_in_micrometres():
    assert rings(KtrConfig(ring_um=[6.5, 3.25]), 0.65) == {"ring_3.25um": 5, "ring_6.5um": 10}
    with pytest.raises(UserError, match=r"ktr\.ring_um needs the pixel size"):
        rings(KtrConfig(ring_um=[3.25]))


def test_the_mixture_follows_a_shuttling_reporter_better_than_any_ring():
    movie = shuttling_cells(seed=3)
    config = KtrConfig(ring_px=[5, 15, 25])
    tables = [ktr_table(movie.images[t], movie.nuclei[t], movie.cells[t], config) for t in range(FRAMES)]
    assert tables[0]["intensity_background"][0] == pytest.approx(BACKGROUND, abs=5)
    track = np.tile(np.arange(movie.ratio.shape[1]), FRAMES)
    found = {}
    for name in method_names(tables[0].columns):
        measured = np.concatenate([table[f"{RATIO}_{name}"] for table in tables])
        found[name] = time_course_agreement(track, movie.ratio.ravel(), measured)
    mixture = found.pop("mixture")
    assert mixture["correlation"] > 0.995
    assert mixture["relative_error"] < 0.12
    for name, ring in found.items():
        assert ring["correlation"] < mixture["correlation"], name
        assert ring["relative_error"] > mixture["relative_error"], name
    assert found["ring_25px"]["relative_error"] > 0.5


def test_agreement():
    track = np.array([1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4])
    truth = np.array([1.0, 2, 3, 1, 2, 4, 1, 2, 2, 2, 2])
    measured = np.array([1.1, 2.1, 3.1, 2, np.nan, 5, 1, 2, 2, 3, 4])
    found = time_course_agreement(track, truth, measured)
    assert found["correlation"] == pytest.approx(1)  # of cell 1 alone: 2 and 3 are too short, 4 does not vary
    assert found["relative_error"] == pytest.approx(np.nanmedian(np.abs(measured - truth) / truth))
    assert (found["n"], found["n_truth"]) == (10, 11)
    nothing = time_course_agreement(track, truth, np.full(11, np.nan))
    assert nothing == {"n": 0, "n_truth": 11, "relative_error": None, "correlation": None}


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("ring_px", [5, 0], r"every value of ktr.ring_px must be above 0, got \[5, 0\]"),
        ("ring_um", [2.0, 2.0], "ktr.ring_um must be different widths"),
        ("gap_px", -1, "ktr.gap_px must be 0 or more, got -1"),
        ("edge_px", -1, "ktr.edge_px must be 0 or more, got -1"),
        ("percentile", 100.0, r"ktr.percentile must be in \[0, 100\), got 100"),
    ],
)
def test_ranges(setting, value, message):
    with pytest.raises(UserError, match=message):
        KtrConfig(**{setting: value})
