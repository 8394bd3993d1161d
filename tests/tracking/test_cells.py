import numpy as np
import pytest
from skimage.measure import regionprops

from cellflax.errors import UserError
from cellflax.tracking.cells import measure_frame, measure_movie, overlaps
from tests.metrics.drawing import grid, random_labels
from tests.tracking.drawing import discs


def test_measures_are_those_of_scikit_image():
    labels = random_labels(3, (30, 41), 9)
    frame = measure_frame(labels)
    expected = regionprops(labels)
    np.testing.assert_array_equal(frame.label, [cell.label for cell in expected])
    np.testing.assert_array_equal(frame.area, [cell.area for cell in expected])
    np.testing.assert_allclose(frame.centroid, [cell.centroid for cell in expected])
    edges = [cell.bbox[0] == 0 or cell.bbox[1] == 0 or cell.bbox[2] == 30 or cell.bbox[3] == 41 for cell in expected]
    np.testing.assert_array_equal(frame.touches_border, edges)
    np.testing.assert_array_equal(np.append(0, frame.label)[frame.index], labels)


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-7, 2), (40, 0)])
def test_overlaps_after_a_shift(shift):
    a, b = random_labels(1, (20, 24), 6), random_labels(2, (20, 24), 6)
    moved = np.zeros_like(a)
    for y, x in np.argwhere(a > 0):
        if 0 <= y + shift[0] < 20 and 0 <= x + shift[1] < 24:
            moved[y + shift[0], x + shift[1]] = a[y, x]
    before, after = measure_frame(a), measure_frame(b)
    found = overlaps(before, after, shift)
    pairs = zip(before.label[found.before], after.label[found.after], found.pixels, strict=True)
    expected = {(p, q, np.sum((moved == p) & (b == q))) for p in before.label for q in after.label}
    assert set(pairs) == {item for item in expected if item[2] > 0}


def test_a_label_of_two_cells_is_refused():
    cells = {label: (10, 12 * label, 4) for label in range(1, 6)}
    labels = discs((20, 80), cells)
    labels[labels == 5] = 1
    with pytest.raises(UserError, match="frame 1: label 1 is two cells, at row 10 column 12 and at row 10 column 60"):
        measure_movie(np.stack([discs((20, 80), cells), labels]))


def test_a_speck_far_away_and_two_near_parts_are_one_cell():
    labels = discs((20, 80), {1: (10, 10, 5), 2: (10, 50, 5)})
    labels[0, 79] = 1
    labels[:, 50] = 0
    assert len(measure_movie(labels[None]).label) == 2


def test_nothing_to_track():
    with pytest.raises(UserError, match="no cell in any of the 3 frames"):
        measure_movie(np.zeros((3, 5, 5), np.int32))


def test_cells_are_numbered_frame_after_frame():
    movie = measure_movie(np.stack([grid("11.2"), grid("...."), grid("3..5")]))
    np.testing.assert_array_equal(movie.frame, [0, 0, 2, 2])
    np.testing.assert_array_equal(movie.label, [1, 2, 3, 5])
    np.testing.assert_array_equal(movie.start, [0, 2, 2, 4])
    assert movie.cells_of(2) == slice(2, 4)
    assert movie.diameter_px == pytest.approx(2 * np.sqrt(1 / np.pi))
