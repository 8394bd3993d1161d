"""Labels are cut at their necks, and those without one are left as they are."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure, segmentation

from cellflax.labels import components
from cellflax.refine.maxima import prominent_maxima, split_at_necks


def _by_watershed(labels, depth, smoothing_px):
    """Every label flooded from its maxima, whether it has several or one."""
    split, n = np.zeros(labels.shape, np.int32), 0
    for region in measure.regionprops(labels):
        shape = np.pad(region.image, 1)
        distance = ndimage.gaussian_filter(np.asarray(ndimage.distance_transform_edt(shape)), smoothing_px)
        parts = segmentation.watershed(-distance, prominent_maxima(distance, shape, depth), mask=shape)[1:-1, 1:-1]
        split[region.slice] += np.where(parts > 0, parts + n, 0)
        n += int(parts.max())
    return split


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("depth", [0.3, 1.0, 3.0])
def test_labels_with_one_maximum_need_no_watershed(depth, in_pieces):
    rng = np.random.default_rng(0)
    for smoothing_px in (0.0, 1.0, 2.0):
        field = ndimage.gaussian_filter(rng.normal(size=(120, 90)), 3)
        high = np.quantile(field, [0.5, 0.8])
        labels = np.digitize(field, high).astype(np.int32) if in_pieces else components(field > high[0])
        expected = _by_watershed(labels, depth, smoothing_px)
        np.testing.assert_array_equal(split_at_necks(labels, depth, smoothing_px=smoothing_px), expected)


def test_two_discs_that_touch():
    rows, columns = np.indices((30, 60))
    labels = (np.hypot(rows - 15, columns - 18) < 11) | (np.hypot(rows - 15, columns - 38) < 11)
    split = split_at_necks(labels.astype(np.int32), 1.0)
    assert split.max() == 2
    assert split[15, 18] != split[15, 38]
    assert split_at_necks(labels.astype(np.int32), 9.0).max() == 1
