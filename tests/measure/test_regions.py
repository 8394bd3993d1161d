"""Shapes of all cells at once are those that scikit-image measures one by one."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from cellflax.labels import compact
from cellflax.measure.regions import region_shapes

NAMES = (
    *("bbox", "centroid", "area", "perimeter", "axis_major_length", "axis_minor_length", "eccentricity", "solidity"),
    "orientation",
)


def _noise(rng, shape):
    return rng.integers(0, 4, shape)


def _blobs(rng, shape):
    return measure.label(ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 4)) > 0)


def _scattered(rng, shape):
    return (rng.random(shape) < 0.02) * rng.integers(1, 30, shape)


def _squares(rng, shape):
    return rng.integers(0, 40, shape).repeat(10, 0).repeat(10, 1)[: shape[0], : shape[1]]


@pytest.mark.parametrize("draw", [_noise, _blobs, _scattered, _squares])
def test_agrees_with_regionprops(draw):
    rng = np.random.default_rng(0)
    measured = 0
    for _ in range(20):
        labels = compact(draw(rng, rng.integers(1, 90, 2)).astype(np.int32))[1]
        if not labels.any():
            continue
        expected, found = measure.regionprops_table(labels, properties=NAMES), region_shapes(labels)
        measured += len(expected["area"])
        orientation, its = expected.pop("orientation"), found.pop("orientation")
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            # The minor axis of a line of pixels is the root of a rounding error there.
            np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-6 if "axis" in name else 1e-12)
        np.testing.assert_array_equal(found["solidity"], expected["solidity"])
        long = expected["axis_major_length"] > 1.001 * expected["axis_minor_length"]  # others have no direction
        apart = np.abs(its - orientation)[long]
        np.testing.assert_allclose(np.minimum(apart, np.pi - apart), 0, atol=1e-9)
    assert measured > 50


def test_round_cells_have_the_orientation_of_regionprops():
    labels = np.zeros((9, 9), np.int32)
    labels[2:5, 2:5] = 1
    labels[7, 7] = 2
    expected = measure.regionprops_table(labels, properties=("orientation", "eccentricity"))
    found = region_shapes(labels)
    np.testing.assert_array_equal(found["orientation"], expected["orientation"])
    np.testing.assert_array_equal(found["eccentricity"], expected["eccentricity"])


@pytest.mark.parametrize("offset", [0, 50_000])
def test_coordinates_far_from_the_origin_lose_nothing(offset):
    wide = np.zeros((12, offset + 20), np.int32)
    wide[2:9, offset + 3 : offset + 11] = 1
    wide[4:6, offset + 10 : offset + 17] = 1
    near, far = region_shapes(wide[:, offset:].copy()), region_shapes(wide)
    for name in ("area", "perimeter", "axis_major_length", "axis_minor_length", "solidity", "orientation"):
        np.testing.assert_array_equal(near[name], far[name])
    assert far["centroid-1"] == near["centroid-1"] + offset


def test_a_hull_over_rows_without_a_pixel():
    labels = np.zeros((7, 5), np.int32)
    labels[0, 2] = labels[6, 2] = 1  # between them lies a line of 7 pixels
    assert region_shapes(labels)["solidity"] == 2 / 7


def test_no_cells():
    found = region_shapes(np.zeros((4, 5), np.int32))
    assert {len(values) for values in found.values()} == {0}
    assert found["perimeter"].dtype == found["area"].dtype == np.float64
