"""Labels are cut at their necks, and those without one are left as they are; prominent maxima by their definition."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure, morphology, segmentation

from cellflax.labels import components
from cellflax.refine import maxima
from cellflax.refine.maxima import maxima_inside, prominent_maxima, split_at_necks
from cellflax.refine.sheet import Sheet, sheetfuls


def _by_reconstruction(height, region, depth):
    """Maxima of one region by itself."""
    height = np.where(region, height, 0.0)
    flattened = morphology.reconstruction(height - depth, height)
    markers = measure.label(morphology.local_maxima(flattened) & region)
    return markers if markers.any() else region.astype(int)


@pytest.mark.filterwarnings("ignore:Setting the shape")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("depth", [0.02, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("large", [False, True])
def test_maxima_of_many_regions_are_those_of_each_alone(depth, kind, large, monkeypatch):
    """Also of regions with one maximum, with several, with none, and with a small maximum far below the highest."""
    if large:
        monkeypatch.setattr(maxima, "_HARDLY_ONE_CELL", 50)
    rng = np.random.default_rng(round(100 * depth))
    for blur in (0.7, 1.5, 4.0):
        field = ndimage.gaussian_filter(rng.normal(size=(150, 110)), blur)
        height = (1 / (1 + np.exp(-2 * field / field.std()))).astype(kind)
        for threshold in (0.2, 0.5, 0.7):
            regions = measure.regionprops(components(height > threshold))
            heights, masks = [height[region.slice] for region in regions], [region.image for region in regions]
            found = prominent_maxima(heights, masks, depth)
            expected = np.zeros(height.shape, int)
            n = 0
            for region, own, markers in zip(regions, heights, found, strict=True):
                alone = _by_reconstruction(own, region.image, depth)
                np.testing.assert_array_equal(markers, alone)
                expected[region.slice] += np.where(alone > 0, alone + n, 0)
                n += alone.max()
            np.testing.assert_array_equal(maxima_inside(height, height > threshold, 0.0, depth), expected)


def test_a_small_peak_beside_one_many_times_as_high():
    height = np.zeros((9, 30))
    height[4, 2:28] = [1, 10, 100, 10, *[1] * 10, 2, 3, 4, 3, 2, *[1] * 7]
    (markers,) = prominent_maxima([height], [height > 0], 2.5)
    assert markers[4, 4] == 1
    assert markers[4, 18] == 2
    assert prominent_maxima([height], [height > 0], 3.5)[0].max() == 1
    assert not prominent_maxima([], [], 1.0)


def test_crops_lie_apart_on_a_sheet_and_come_back():
    rng = np.random.default_rng(0)
    masks = [rng.random(rng.integers(1, 30, 2)) > 0.3 for _ in range(60)]
    sheet = Sheet(masks)
    for i, mask in enumerate(masks):
        np.testing.assert_array_equal(sheet.take(sheet.labels, i), mask * (i + 1))
        around = sheet.take(sheet.labels, i, margin=1)
        assert around.shape == (mask.shape[0] + 2, mask.shape[1] + 2)
        assert set(np.unique(around)) <= {0, i + 1}
    heights = [rng.random(mask.shape) for mask in masks]
    for i, height in enumerate(heights):
        np.testing.assert_array_equal(sheet.take(sheet.put(heights), i), height)
    assert sheet.labels.size < 2 * sum(mask.size for mask in masks)


def test_objects_are_in_one_batch_each():
    shapes = [(100, 100)] * 13 + [(900, 900)] + [(2, 3)] * 5
    found = [range(len(shapes))[run] for run in sheetfuls(shapes)]
    assert [i for run in found for i in run] == list(range(len(shapes)))
    assert [len(run) for run in found] == [6, 6, 1, 1, 5]
    assert not list(sheetfuls([]))


def _by_watershed(labels, depth, smoothing_px):
    """Every label flooded from its maxima, whether it has several or one."""
    split, n = np.zeros(labels.shape, np.int32), 0
    for region in measure.regionprops(labels):
        shape = np.pad(region.image, 1)
        distance = ndimage.gaussian_filter(np.asarray(ndimage.distance_transform_edt(shape)), smoothing_px)
        parts = segmentation.watershed(-distance, _by_reconstruction(distance, shape, depth), mask=shape)[1:-1, 1:-1]
        split[region.slice] += np.where(parts > 0, parts + n, 0)
        n += int(parts.max())
    return split


@pytest.mark.filterwarnings("ignore:Setting the shape")
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
