import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from cellflax.errors import UserError
from cellflax.refine.blob_nuclei import BlobNucleiConfig, blob_nuclei, split_by_shape
from cellflax.refine.maxima import prominent_maxima
from tests.refine.drawing import disc, n_components
from tests.refine.whole_cells import overlaps

SHAPE = (60, 90)


@pytest.mark.parametrize("h", [3, 40, 400])
def test_extended_h_maxima_by_definition(h):
    """A maximum counts unless a higher pixel is reached without descending by more than h."""
    height = np.random.default_rng(h).permutation(1200).reshape(30, 40) + 1000.0
    maxima = np.argwhere(height == ndimage.maximum_filter(height, 3))
    prominent = []
    for y, x in maxima:
        reached = np.asarray(measure.label(height >= height[y, x] - h, connectivity=2))
        if height[reached == reached[y, x]].max() == height[y, x]:
            prominent.append((y, x))
    (markers,) = prominent_maxima([height], [np.ones(height.shape, bool)], h)
    assert sorted(markers[y, x] for y, x in prominent) == list(range(1, markers.max() + 1))
    assert len(prominent) < len(maxima)


# Discs of radius 10 whose centres are 16 apart have a neck of half-width sqrt(10^2 - 8^2) = 6: a depth of 4.
@pytest.mark.parametrize(("depth_um", "pixel_size_um", "n"), [(3, 1, 2), (5, 1, 1), (3, 0.5, 1), (1.5, 0.5, 2)])
def test_shapes_are_cut_where_their_neck_is_deep_enough(depth_um, pixel_size_um, n):
    first, second = disc(SHAPE, 30, 30, 10), disc(SHAPE, 30, 46, 10)
    labels = split_by_shape((first | second).astype(np.int32), pixel_size_um, depth_um)
    assert labels.max() == n
    np.testing.assert_array_equal(labels > 0, first | second)
    if n == 2:
        np.testing.assert_array_equal(labels[:, :38], 1 * first[:, :38])
        np.testing.assert_array_equal(labels[:, 39:], 2 * second[:, 39:])


def test_touching_labels_stay_apart_thin_ones_stay_and_holes_are_filled():
    labels = np.zeros(SHAPE, np.int32)
    labels[10:30, 10:30] = 1
    labels[15, 15] = 0
    labels[10:30, 30:50] = 2
    labels[50, 5:20] = 3
    expected = labels.copy()
    expected[15, 15] = 1
    np.testing.assert_array_equal(split_by_shape(labels, 1.0, 3.0), expected)


def test_nuclei_reach_to_the_outline_in_the_map():
    """Without it they are smaller, except a faint one, which ends where its blob does anyway."""
    truth = 1 * disc(SHAPE, 30, 16, 9) + 2 * disc(SHAPE, 30, 43, 9) + 3 * disc(SHAPE, 30, 72, 9)
    image = ndimage.gaussian_filter(np.array([0, 1, 1, 0.45])[truth], 1.0)
    grown = blob_nuclei(BlobNucleiConfig(), image, 0.65, outline=0.5)
    blobs = blob_nuclei(BlobNucleiConfig(), image, 0.65)
    assert grown.max() == blobs.max() == 3
    assert np.all(overlaps(grown, truth)[:2] > 0.95)
    assert np.all(overlaps(blobs, truth)[:2] < 0.92)
    np.testing.assert_array_equal(grown[:, 57:] > 0, blobs[:, 57:] > 0)


def test_the_more_sensitive_the_more_nuclei():
    heights = np.zeros(SHAPE)
    for x, height in ((10, 1.0), (28, 0.8), (46, 0.6), (64, 0.4), (82, 0.2)):
        heights[disc(SHAPE, 30, x, 6)] = height
    image = ndimage.gaussian_filter(heights, 1.0)
    found = [
        blob_nuclei(BlobNucleiConfig(max_radius_um=4, sensitivity=percent, min_response=0), image, 0.65).max()
        for percent in (20, 60, 100)
    ]
    assert found[0] < found[1] < found[2] == 5


def test_noise_specks_and_nothing_are_no_nuclei():
    rng = np.random.default_rng(0)
    assert blob_nuclei(BlobNucleiConfig(), rng.normal(0.05, 0.02, SHAPE), 0.65, 0.5).max() == 0
    assert blob_nuclei(BlobNucleiConfig(), np.zeros(SHAPE), 0.65, 0.5).max() == 0
    speck = ndimage.gaussian_filter(1.0 * disc(SHAPE, 30, 30, 2), 0.5)
    assert blob_nuclei(BlobNucleiConfig(), speck, 0.65, 0.5).max() == 0
    assert blob_nuclei(BlobNucleiConfig(min_nucleus_um2=2), speck, 0.65, 0.5).max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_every_nucleus_is_one_piece(seed):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(120, 140)), 3)
    image = np.clip(0.3 + image / image.std() / 3, 0, 1)
    labels = blob_nuclei(BlobNucleiConfig(split_depth_um=0.5), image, 0.65, 0.5)
    assert labels.max() > 10
    assert [n_components(labels == k) for k in range(1, labels.max() + 1)] == [1] * labels.max()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_radius_um": 0.0}, r"refine\.min_radius_um must be above 0, got 0\.0"),
        ({"max_radius_um": 1.0}, r"refine\.max_radius_um must be at least refine\.min_radius_um, got 1\.0 and 2\.0"),
        ({"n_scales": 0}, r"refine\.n_scales must be 1 or more, got 0"),
        ({"n_thresholds": 0}, r"refine\.n_thresholds must be 1 or more, got 0"),
        ({"sensitivity": 0.0}, r"refine\.sensitivity must be in \(0, 100\], got 0\.0"),
        ({"sensitivity": 101.0}, r"refine\.sensitivity must be in \(0, 100\], got 101\.0"),
        ({"min_response": -0.1}, r"refine\.min_response must be in \[0, 1\), got -0\.1"),
        ({"split_depth_um": 0.0}, r"refine\.split_depth_um must be above 0, got 0\.0"),
        ({"min_nucleus_um2": -1.0}, r"refine\.min_nucleus_um2 must be above 0, got -1\.0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        BlobNucleiConfig(**settings)
