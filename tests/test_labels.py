import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.labels import (
    cells_of,
    compact,
    components,
    dilated,
    is_mask,
    label_values,
    majority_owners,
    overlap_table,
    remove_small,
    renumber,
    squared_distance,
    whole_numbers,
)
from tests.metrics.drawing import grid, random_labels

REFERENCE = grid("11.22 11.22 11... 33333")
PREDICTED = grid("55.5. 55.5. ..7.. 77777")
LARGEST = 2**31 - 1


def test_hand_drawn_table():
    table = overlap_table(REFERENCE, PREDICTED)
    np.testing.assert_array_equal(table.reference_labels, [1, 2, 3])
    np.testing.assert_array_equal(table.predicted_labels, [5, 7])
    np.testing.assert_array_equal(table.reference_area, [6, 4, 5])
    np.testing.assert_array_equal(table.predicted_area, [6, 6])
    np.testing.assert_array_equal(table.intersection.toarray(), [[4, 0], [2, 0], [0, 5]])
    rows, columns, jaccard = table.pairs()
    assert list(zip(rows, columns, jaccard, strict=True)) == [(0, 0, 4 / 8), (1, 0, 2 / 8), (2, 1, 5 / 6)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_type(dtype):
    table = overlap_table(REFERENCE.astype(dtype), PREDICTED)
    np.testing.assert_array_equal(table.intersection.toarray(), [[4, 0], [2, 0], [0, 5]])
    assert table.reference_labels.dtype == dtype


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset", [0, LARGEST - 200], ids=["compact numbers", "the largest numbers"])
def test_table_is_that_of_counting_pair_by_pair(seed, offset):
    rng = np.random.default_rng(seed)
    reference, predicted = (random_labels(seed + i, (30, 40), 9) for i in (0, 100))
    noise = rng.random(reference.shape) < 0.2  # runs of one pixel
    predicted = np.where(noise, rng.integers(0, 9, reference.shape), predicted)
    reference = np.where(reference > 0, reference + offset, 0)
    table = overlap_table(reference, predicted)
    names, others = np.unique(reference[reference > 0]), np.unique(predicted[predicted > 0])
    np.testing.assert_array_equal(table.reference_labels, names)
    np.testing.assert_array_equal(table.predicted_labels, others)
    counted = [[((reference == a) & (predicted == b)).sum() for b in others] for a in names]
    np.testing.assert_array_equal(table.intersection.toarray(), counted)
    np.testing.assert_array_equal(table.reference_area, [(reference == a).sum() for a in names])
    np.testing.assert_array_equal(table.predicted_area, [(predicted == b).sum() for b in others])


@pytest.mark.parametrize("labels", [np.zeros((0, 5), np.int32), np.zeros((3, 4), np.int32), np.full((3, 4), 7)])
def test_images_without_pixels_background_or_cells(labels):
    table = overlap_table(labels, labels)
    n = len(np.unique(labels[labels > 0]))
    assert table.intersection.shape == (n, n)
    assert table.reference_area.sum() == (labels > 0).sum()
    assert renumber(labels).max(initial=0) == n


def test_arrays_that_cannot_be_compared():
    with pytest.raises(ValueError, match=r"reference is \(4, 5\) but predicted is \(4, 4\)"):
        overlap_table(REFERENCE, PREDICTED[:, :4])
    with pytest.raises(ValueError, match="predicted must hold integer labels, got float32"):
        overlap_table(REFERENCE, PREDICTED.astype(np.float32))
    with pytest.raises(ValueError, match="labels must not be negative, got -1"):
        overlap_table(REFERENCE, PREDICTED - 1)


@pytest.mark.parametrize("scale", [1, 100, LARGEST // 6], ids=["below the number of pixels", "above", "largest"])
def test_renumbering_keeps_the_order(scale):
    labels = scale * np.array([[0, 5, 2], [5, 6, 0]])
    renumbered = renumber(labels)
    assert renumbered.dtype == np.int32
    np.testing.assert_array_equal(renumbered, [[0, 2, 1], [2, 3, 0]])
    np.testing.assert_array_equal(renumber(scale * np.array([[3, 1, 3]])), [[2, 1, 2]])  # no background
    np.testing.assert_array_equal(label_values(labels), [2 * scale, 5 * scale, 6 * scale])


@pytest.mark.parametrize("largest", [2**16, 2**31 - 1, 2**62])
def test_memory_does_not_grow_with_the_numbers(largest):
    labels = np.zeros((256, 256), np.int64)
    labels[:100, :100], labels[120:, 120:] = largest, 3
    tracemalloc.start()
    try:
        values, number = compact(labels)
        table = overlap_table(labels, number)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert list(values) == [3, largest]
    assert table.intersection.sum() == (labels > 0).sum()
    assert peak < 40 * labels.size  # bytes


@pytest.mark.parametrize("reach", [0, 1, 2.0**0.5, 3**0.5, 5**0.5, 2.7, 6.1, 39, 50, 1e12, np.inf])
def test_distances_within_reach_are_those_of_the_distance_transform(reach):
    rng = np.random.default_rng(0)
    for density in (0.02, 0.2, 0.7):
        for shape in ((1, 1), (1, 30), (30, 1), (25, 40), (40, 7)):
            mask = rng.random(shape) < density
            mask[0, 0] = True
            distance = ndimage.distance_transform_edt(~mask)
            np.testing.assert_array_equal(dilated(mask, reach), distance <= reach)
            whole = int(min(reach, 10**9))
            found, squared = squared_distance(mask, whole).astype(float), np.rint(distance**2)
            limit = (whole + 1) ** 2
            np.testing.assert_array_equal(np.minimum(found, limit), np.minimum(squared, limit))
    assert not dilated(np.zeros((4, 5), bool), reach).any()


def test_components_meet_at_edges_not_at_corners():
    np.testing.assert_array_equal(components(grid("11.2 ..2. 2222") > 0), grid("11.2 ..3. 3333"))
    np.testing.assert_array_equal(components(grid("1122 1122")), grid("1122 1122"))


def test_a_mask_is_split_into_components_and_labels_are_kept():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [1, 0, 1, 0]])
    split = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [3, 0, 4, 0]])
    for array in (mask, mask > 0, mask.astype(np.float32), (255 * mask).astype(np.uint8), LARGEST * mask):
        assert is_mask(array)
        found = cells_of(array)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, split)
    labels = np.array([[5, 5, 0], [0, 0, 70_000]])
    assert not is_mask(labels)
    np.testing.assert_array_equal(cells_of(labels), labels)
    assert not is_mask(np.zeros((3, 4)))
    assert cells_of(np.zeros((3, 4))).max() == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 2), 0.5), "labels.tif: labels must be whole numbers, it holds fractions"),
        (np.full((2, 2), np.nan), "labels.tif: labels contain NaN or infinity"),
        (np.full((2, 2), -3), r"labels.tif: labels must be in 0 ... 2147483647, got -3"),
        (np.full((2, 2), 2**40), r"labels.tif: labels must be in 0 ... 2147483647"),
    ],
)
def test_values_that_are_no_labels(values, message):
    with pytest.raises(UserError, match=message):
        whole_numbers(values, "labels.tif")


def test_small_labels_are_removed_and_given_ones_are_spared():
    labels = grid("11.2 11.. 3344")
    np.testing.assert_array_equal(remove_small(labels, 3), grid("11.. 11.. ...."))
    np.testing.assert_array_equal(remove_small(labels, 3, first=4), grid("11.2 11.. 33.."))


def test_parts_belong_to_the_cell_that_holds_most_of_them():
    cells = grid("2222.7777 2222.7777 2222.7777 .........")
    nuclei = grid("11...5.77 11..55.77 ....9.... 3333.....")
    # 1 and 7 lie inside; 5 has 1 of 3 pixels outside; 9 and 3 lie outside.
    nucleus_of_cell, cell_of_nucleus = majority_owners(cells, nuclei)
    assert list(nucleus_of_cell) == [1, 7]
    assert list(cell_of_nucleus) == [2, 0, 7, 7, 0]


def test_half_a_part_is_not_enough():
    part_of_cell, cell_of_part = majority_owners(grid("1122"), grid(".33."))
    assert list(part_of_cell) == [0, 0]
    assert list(cell_of_part) == [0]
