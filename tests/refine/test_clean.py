import numpy as np
import pytest
from scipy import ndimage
from skimage import measure, morphology, segmentation

from cellflax.labels import remove_small
from cellflax.refine.clean import ExpandShape, expand, fill_holes, remove_odd, smooth_outlines
from tests.metrics.drawing import random_labels
from tests.refine.drawing import disc, n_components


def test_only_holes_enclosed_by_one_cell_are_filled():
    labels = np.array(
        [
            [1, 1, 1, 2, 2, 0, 3],
            [1, 0, 1, 0, 2, 0, 3],  # a hole of cell 1; a gap between 1 and 2
            [1, 1, 1, 2, 2, 0, 3],
            [4, 4, 4, 0, 3, 3, 3],
            [0, 4, 0, 0, 3, 0, 0],  # open to the image's border
        ]
    )
    expected = labels.copy()
    expected[1, 1] = 1
    np.testing.assert_array_equal(fill_holes(labels), expected)


def test_a_hole_meets_its_cell_on_every_side():
    ring = np.pad(np.zeros((1, 1), np.int32), 1, constant_values=7)
    for missing in ((0, 1), (1, 0), (1, 2), (2, 1)):
        other = np.pad(ring, 1)
        other[missing[0] + 1, missing[1] + 1] = 9
        assert fill_holes(other)[2, 2] == 0, f"the gap touches the other cell at {missing}"
    assert fill_holes(np.pad(ring, 1))[2, 2] == 7


@pytest.mark.parametrize("seed", range(5))
def test_holes_agree_with_filling_each_cell_alone(seed):
    labels = random_labels(seed, (20, 23), 9)
    labels[np.random.default_rng(seed).random(labels.shape) < 0.1] = 0
    expected = labels.copy()
    for label in np.unique(labels[labels > 0]):
        alone = ndimage.binary_fill_holes(labels == label)
        holes, n = ndimage.label(alone & (labels != label))
        for hole in range(1, n + 1):  # a hole that holds another cell stays
            if not labels[holes == hole].any():
                expected[holes == hole] = label
    np.testing.assert_array_equal(fill_holes(labels), expected)


def test_small_labels_go_except_the_spared():
    labels = np.array([[1, 2, 2, 3, 3, 3]])
    np.testing.assert_array_equal(remove_small(labels, 3), [[0, 0, 0, 3, 3, 3]])
    np.testing.assert_array_equal(remove_small(labels, 3, first=2), [[1, 0, 0, 3, 3, 3]])


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ({}, [1, 2, 3]),
        ({"max_area_px": 100}, [2, 3]),
        ({"max_area_px": 113}, [1, 2, 3]),  # a limit itself is allowed
        ({"max_eccentricity": 0.9}, [1, 3]),
        ({"max_eccentricity": 0.1}, [1]),
        ({"min_solidity": 0.75}, [1, 2]),
        ({"max_eccentricity": 0.9, "min_solidity": 0.75}, [1]),
    ],
)
def test_only_shapes_within_the_limits_stay(limit, kept):
    labels = np.zeros((40, 40), np.int32)
    labels[disc((40, 40), 8, 8, 6)] = 1  # a disc of 113 pixels
    labels[20:23, 2:22] = 2  # a bar, 3 by 20
    labels[28:38, 5:8] = labels[35:38, 5:15] = 3  # an L, which fills two thirds of its hull
    assert np.sum(labels == 1) == 113
    np.testing.assert_array_equal(remove_odd(labels, **limit), np.where(np.isin(labels, kept), labels, 0))


def test_expansion_is_by_euclidean_distance_and_meets_half_way():
    labels = np.zeros((15, 17), np.int32)
    labels[5:8, 3:6], labels[5:8, 11:14] = 1, 2
    np.testing.assert_array_equal(expand(labels, 2), segmentation.expand_labels(labels, 2))
    grown = expand(labels, 6)
    assert [np.sum(grown[6] == label) for label in (1, 2)] in ([9, 8], [8, 9])
    assert n_components(grown == 1) == n_components(grown == 2) == 1
    assert expand(labels, 0) is labels


def test_expansion_by_a_square_is_a_dilation_that_merges_nothing():
    """P2's 3 x 3 and 9 x 9: alone it is scikit-image's dilation; neighbours share what lies between them."""
    labels = np.zeros((30, 34), np.int32)
    labels[disc(labels.shape, 12, 10, 4)], labels[disc(labels.shape, 17, 22, 5)] = 1, 2
    for n in (3, 9):
        grown = expand(labels, n // 2, ExpandShape.square)
        np.testing.assert_array_equal(grown > 0, morphology.dilation(labels > 0, np.ones((n, n), bool)))
        np.testing.assert_array_equal(grown[labels > 0], labels[labels > 0])
        for label in (1, 2):
            assert n_components(grown == label) == 1
            own, other = (ndimage.distance_transform_cdt(labels != n) for n in (label, 3 - label))
            nearer = own + 1 < other  # growing by steps to the four sides, a corner can be a step late
            np.testing.assert_array_equal(grown[nearer & (grown > 0)], label)
    assert not expand(np.zeros((5, 5), np.int32), 3, ExpandShape.square).any()


def test_expansion_of_a_part_is_that_of_the_whole():
    labels = random_labels(0, (60, 60), 40) * (np.indices((60, 60)).sum(0) % 7 > 3)
    for shape in ExpandShape:
        whole, part = expand(labels, 3, shape), expand(labels[10:, 20:], 3, shape)
        np.testing.assert_array_equal(part[12:, 12:], whole[22:, 32:])


def test_a_smooth_outline_is_half_of_the_cells_gaussian():
    rng = np.random.default_rng(0)
    ragged = np.pad(ndimage.gaussian_filter(rng.normal(size=(60, 70)), 3) > 0, 15)
    cell = segmentation.flood(ragged, tuple(np.argwhere(ragged)[300]), connectivity=1).astype(np.int32)
    marker = np.zeros_like(cell)
    marker[tuple(np.argwhere(morphology.erosion(cell, morphology.disk(4)))[0])] = 1
    for sigma in (1.0, 2.5):
        expected = ndimage.gaussian_filter(cell.astype(float), sigma) > 0.5
        expected = segmentation.flood(expected, tuple(np.argwhere(marker)[0]), connectivity=1)
        smooth = smooth_outlines(cell, marker, sigma)
        np.testing.assert_array_equal(smooth, expected)
        assert measure.perimeter(smooth) < measure.perimeter(cell)
    assert smooth_outlines(cell, marker, 0) is cell


def test_smooth_neighbours_still_touch_and_lose_what_is_thin():
    labels, markers = np.zeros((40, 50), np.int32), np.zeros((40, 50), np.int32)
    labels[5:35, 5:25], labels[5:35, 25:45] = 1, 2
    labels[20, 45:] = 2  # a spike
    markers[20, 15], markers[20, 35] = 1, 2
    smooth = smooth_outlines(labels, markers, 2)
    assert not smooth[20, 46:].any()
    np.testing.assert_array_equal(smooth[12:28, 8:42], labels[12:28, 8:42])  # the seam has neither moved nor opened


def test_a_cell_smaller_than_the_smoothing_keeps_its_seed():
    labels, markers = np.zeros((30, 30), np.int32), np.zeros((30, 30), np.int32)
    labels[4:6, 4:9], labels[10:28, 10:28], labels[20, 20] = 1, 2, 3  # 3 within 2
    markers[4, 4], markers[15, 15], markers[20, 20] = 1, 2, 3
    smooth = smooth_outlines(labels, markers, 3)
    np.testing.assert_array_equal(smooth[markers > 0], markers[markers > 0])
    for label in (1, 2, 3):
        assert n_components(smooth == label) == 1
