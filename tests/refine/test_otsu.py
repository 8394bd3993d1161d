import itertools

import numpy as np
import pytest
from skimage import filters

from cellflax.refine.otsu import by_sensitivity, multi_otsu


@pytest.mark.parametrize(("n_thresholds", "bins"), [(1, 256), (2, 256), (3, 128), (5, 32)])
def test_the_thresholds_of_scikit_image(n_thresholds, bins):
    image = np.random.default_rng(n_thresholds).gamma(2, size=(60, 80))
    expected = filters.threshold_multiotsu(image, classes=n_thresholds + 1, nbins=bins)
    half_a_bin = np.ptp(image) / bins / 2
    np.testing.assert_allclose(multi_otsu(image, n_thresholds, bins), expected + half_a_bin)


def test_no_other_thresholds_leave_less_variance_within_the_classes():
    """By trying all, on an image that needs no rounding to bins, far from zero."""
    image = np.random.default_rng(0).poisson(3, 300) + 10_000.0
    levels = np.unique(image)

    def within(thresholds):
        classes = np.digitize(image, thresholds)
        return sum(np.sum((image[classes == k] - image[classes == k].mean()) ** 2) for k in np.unique(classes))

    least = min(within(cuts) for cuts in itertools.combinations(levels[1:], 4))
    assert within(multi_otsu(image, 4)) == pytest.approx(least)


def test_too_few_values_for_so_many_classes():
    thresholds = multi_otsu(np.array([[0.0, 1.0], [1.0, 3.0]]), 5)
    np.testing.assert_array_equal(np.digitize([0, 1, 3], np.unique(thresholds)), [0, 1, 2])
    assert len(thresholds) == 5
    flat = np.full((4, 4), 0.3)
    assert not np.any(flat >= multi_otsu(flat, 3)[0])


@pytest.mark.parametrize(
    ("sensitivity", "index"), [(100, 0), (81, 0), (80, 1), (61, 1), (60, 2), (41, 2), (40, 3), (20, 4), (1, 4)]
)
def test_five_thresholds_by_sensitivity(sensitivity, index):
    assert by_sensitivity(np.arange(5.0), sensitivity) == index
