import numpy as np
import pytest
from skimage import measure

from cellflax.errors import UserError
from cellflax.refine import ThresholdConfig, refine
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
        ({"expand_px": -2}, r"refine\.expand_px must be 0 or more, got -2"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        ThresholdConfig(**settings)
