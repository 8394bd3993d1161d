"""Which cells a report shows, and what their pictures hold; drawn by hand."""

import imagecodecs
import numpy as np

from cellflax.metrics.score import score_cells
from cellflax.report.cells import cell_window, crop_picture, picked_cells, scored_panel, window_around
from cellflax.report.held_out import Scored, crops_of


def _row(overlaps: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Squares of 10 x 10 px in a row, each found by its first columns."""
    reference, predicted = (np.zeros((14, 14 * len(overlaps)), int) for _ in range(2))
    for i, columns in enumerate(overlaps):
        reference[2:12, 14 * i + 2 : 14 * i + 12] = i + 1
        predicted[2:12, 14 * i + 2 : 14 * i + 2 + columns] = 10 * (i + 1)
    return reference, predicted


def _accuracy(overlaps: list[int]):
    return score_cells(*_row(overlaps)).accuracy


def test_worst_middle_and_best():
    accuracy = {"a": _accuracy([10, 9, 0, 5]), "b": _accuracy([8, 3, 6])}
    picks = picked_cells(accuracy, each=2)
    assert [(p.place, p.image, p.label, round(p.jaccard, 3)) for p in picks] == [
        ("worst", "a", 3, 0),
        ("worst", "b", 2, 0.3),
        ("middle", "a", 4, 0.5),
        ("middle", "b", 3, 0.6),
        ("best", "a", 1, 1),
        ("best", "a", 2, 0.9),
    ]


def test_each_cell_is_shown_once():
    assert [p.label for p in picked_cells({"a": _accuracy([10])})] == [1]
    assert picked_cells({"a": _accuracy([0])})[0].jaccard == 0
    assert len(picked_cells({"a": _accuracy([10, 9, 8, 0])})) == 4
    assert picked_cells({}) == []


def test_windows_stay_within_the_image():
    assert window_around((0, 10), (495, 500), (500, 500)) == (slice(0, 48), slice(452, 500))
    assert window_around((200, 300), (200, 260), (500, 500)) == (slice(150, 350), slice(130, 330))
    assert window_around((0, 4000), (0, 4000), (5000, 5000)) == (slice(1800, 2200), slice(1800, 2200))
    assert window_around((0, 10), (0, 10), (20, 30)) == (slice(0, 20), slice(0, 30))
    labels = np.zeros((100, 100), int)
    labels[40:60, 40:50] = 7
    assert cell_window(labels, 7) == (slice(26, 74), slice(21, 69))


def test_only_the_scored_cell_is_outlined():
    reference, predicted = _row([10, 6, 10])
    (pick,) = (p for p in picked_cells({"a": _accuracy([10, 6, 10])}) if p.label == 2)
    panel = scored_panel(pick, predicted, reference, None)
    assert set(np.unique(panel.predicted)) == {0, 20}
    assert set(np.unique(panel.reference)) == {0, 2}
    picture = crop_picture(panel, "words")
    assert picture.outlines is not None
    colours = imagecodecs.png_decode(picture.outlines)
    assert picture.size == colours.shape[1::-1]
    drawn = {tuple(c) for c in colours.reshape(-1, colours.shape[-1]).tolist() if c[-1] or len(c) == 3}
    assert {(86, 180, 233), (230, 159, 0), (255, 255, 255)} <= {c[:3] for c in drawn}


def test_regions_of_one_image_have_names_of_their_own():
    reference, predicted = _row([10, 2])
    scored = [Scored("a", predicted, reference, reference.astype(float), _accuracy([10, 2])) for _ in range(2)]
    crops = crops_of(scored)
    assert {pick.image for pick, _ in crops.cells} == {"a", "a, region 2"}
    assert [panel.title for panel in crops.wholes] == ["a: Jaccard 0.600", "a, region 2: Jaccard 0.600"]
    galleries = crops.galleries("annotated")
    assert galleries[0].title == "The worst cells"
    assert galleries[0].legend[1][1] == "annotated"
