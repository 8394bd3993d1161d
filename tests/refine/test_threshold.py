import numpy as np
import pytest
from scipy import ndimage
from skimage import filters, measure

from cellflax.errors import UserError
from cellflax.refine import refine
from cellflax.refine.threshold import ThresholdConfig, local_median
from tests.refine.drawing import CLASSES, disc, probability_of, random_probability

SHAPE = (40, 60)


def test_components_are_labelled_in_reading_order_and_specks_dropped():
    first, second = disc(SHAPE, 12, 40, 6), disc(SHAPE, 25, 15, 8)
    speck = disc(SHAPE, 35, 50, 1)
    labels = refine(ThresholdConfig(min_area_px=10), probability_of(first | second | speck), CLASSES)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, first + 2 * second)


def test_equals_a_plain_labelling():
    probability = random_probability(np.random.default_rng(0), SHAPE, 2)
    config = ThresholdConfig(interior=0.5, fill_holes=False, min_area_px=0)
    expected = measure.label(probability[..., 1] > 0.5, connectivity=1)
    assert expected.max() > 5
    np.testing.assert_array_equal(refine(config, probability, CLASSES), expected)


def test_cells_that_touch_at_a_corner_stay_apart():
    interior = np.zeros((8, 8))
    interior[:4, :4] = interior[4:, 4:] = 1
    assert refine(ThresholdConfig(min_area_px=0), probability_of(interior), CLASSES).max() == 2


def test_holes_are_filled_on_request():
    ring = disc(SHAPE, 20, 30, 10) & ~disc(SHAPE, 20, 30, 4)
    filled = refine(ThresholdConfig(), probability_of(ring), CLASSES)
    np.testing.assert_array_equal(filled > 0, disc(SHAPE, 20, 30, 10))
    kept = refine(ThresholdConfig(fill_holes=False), probability_of(ring), CLASSES)
    np.testing.assert_array_equal(kept > 0, ring)


def test_expansion_by_one_pixel_adds_the_four_neighbours():
    dot = disc(SHAPE, 20, 30, 0)
    labels = refine(ThresholdConfig(min_area_px=1, expand_px=1), probability_of(dot), CLASSES)
    np.testing.assert_array_equal(labels > 0, disc(SHAPE, 20, 30, 1))


def test_interior_classes_are_summed():
    cell = disc(SHAPE, 20, 30, 9)
    halves = np.stack([0 * cell, 0.4 * cell, 0.4 * cell, 1 - 0.8 * cell], -1)
    names = ("edge", "interior_3t3", "interior_mcf10a", "background")
    np.testing.assert_array_equal(refine(ThresholdConfig(interior=0.5), halves, names), cell)
    assert refine(ThresholdConfig(interior=0.5), halves, ("edge", "interior", "debris", "background")).max() == 0


@pytest.mark.parametrize("block_px", [3, 21, 61])
def test_the_local_median(block_px):
    """That of SciPy for probabilities that need no rounding, and near it for all."""
    probability = random_probability(np.random.default_rng(3), SHAPE, 3)[..., 1]
    rounded = np.round(probability * 1023) / 1023
    expected = ndimage.median_filter(rounded, block_px, mode="reflect")
    np.testing.assert_allclose(local_median(rounded, block_px), expected, atol=1e-6)
    exact = ndimage.median_filter(probability, block_px, mode="reflect")
    np.testing.assert_allclose(local_median(probability, block_px), exact, atol=0.0005)


def test_adaptive_is_the_local_threshold_of_scikit_image():
    probability = random_probability(np.random.default_rng(4), SHAPE, 2)
    interior = np.round(probability[..., 1] * 1023) / 1023
    above = interior > filters.threshold_local(interior, 21, method="median", offset=-0.075)
    config = ThresholdConfig(0.075, adaptive=True, block_px=21, fill_holes=False, min_area_px=0)
    labels = refine(config, probability_of(interior), CLASSES)
    np.testing.assert_array_equal(labels, measure.label(above, connectivity=1))
    floor = ThresholdConfig(0.5, adaptive=True, block_px=21, fill_holes=False, min_area_px=0)
    labels = refine(floor, probability_of(interior), CLASSES)
    np.testing.assert_array_equal(labels > 0, above & (interior > 0.5))


def test_adaptive_finds_dim_cells_beside_bright_ones():
    bright, dim = disc(SHAPE, 20, 15, 8), disc(SHAPE, 20, 45, 8)
    probability = probability_of(0.02 + 0.9 * bright + 0.2 * dim)
    np.testing.assert_array_equal(refine(ThresholdConfig(), probability, CLASSES), bright)
    found = refine(ThresholdConfig(interior=0.075, adaptive=True, block_px=41), probability, CLASSES)
    np.testing.assert_array_equal(found, bright + 2 * dim)


def test_cells_beyond_the_limits_are_dropped_once_their_holes_are_filled():
    ring = disc(SHAPE, 20, 15, 9) & ~disc(SHAPE, 20, 15, 7)  # solid when filled
    crescent = disc(SHAPE, 20, 45, 10) & ~disc(SHAPE, 20, 45, 6) & (np.arange(60) < 46)
    probability = probability_of(ring | crescent)
    limited = refine(ThresholdConfig(min_area_px=10, min_solidity=0.8), probability, CLASSES)
    np.testing.assert_array_equal(limited, disc(SHAPE, 20, 15, 9))
    limited = refine(ThresholdConfig(min_area_px=10, max_area_px=150), probability, CLASSES)
    np.testing.assert_array_equal(limited, crescent)


def test_nothing_gives_no_cells():
    labels = refine(ThresholdConfig(), probability_of(np.zeros(SHAPE)), CLASSES)
    assert labels.shape == SHAPE
    assert labels.max() == 0


def test_seeds_change_nothing():
    probability = probability_of(disc(SHAPE, 20, 30, 9))
    seeds = np.zeros(SHAPE, np.int32)
    assert refine(ThresholdConfig(), probability, CLASSES, seeds).max() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interior": 0.0}, r"refine\.interior must be in \(0, 1\), got 0\.0"),
        ({"interior": 1.5}, r"refine\.interior must be in \(0, 1\), got 1\.5"),
        ({"min_area_px": -1}, r"refine\.min_area_px must be 0 or more, got -1"),
        ({"block_px": 60}, r"refine\.block_px must be odd and 3 or more, got 60"),
        ({"block_px": 1}, r"refine\.block_px must be odd and 3 or more, got 1"),
        ({"offset": -1.0}, r"refine\.offset must be in \(-1, 1\), got -1\.0"),
        ({"max_area_px": 49}, r"refine\.max_area_px must be at least refine\.min_area_px, got 49 and 50"),
        ({"max_eccentricity": 1.5}, r"refine\.max_eccentricity must be in \(0, 1\], or null, got 1\.5"),
        ({"min_solidity": 0.0}, r"refine\.min_solidity must be in \(0, 1\], or null, got 0\.0"),
        ({"expand_px": -2}, r"refine\.expand_px must be 0 or more, got -2"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        ThresholdConfig(**settings)
