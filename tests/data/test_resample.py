"""Images and labels at another physical scale."""

import numpy as np
import pytest
from skimage import morphology

from cellflax.data.example import Dataset, Example, Region
from cellflax.data.resample import NearestGrid, ScaleConfig, dataset_to_scale, labels_to_grid, resample, to_scale
from cellflax.errors import UserError


def test_sizes_follow_the_field_and_a_slope_stays_where_it_is():
    rows, columns = np.indices((60, 90)) + 0.5
    image = np.stack([rows, columns], -1) * 0.325  # um from the corner
    for to_um, shape in ((0.65, (30, 45)), (0.13, (150, 225)), (0.5, (39, 58))):
        out = resample(image, 0.325, to_um)
        assert (out.shape, out.dtype) == ((*shape, 2), np.float32)
        expected = (np.indices(shape) + 0.5) * (np.array([60, 90]) * 0.325 / shape)[:, None, None]
        inner = np.s_[5:-5, 5:-5]
        np.testing.assert_allclose(out[inner], np.moveaxis(expected, 0, -1)[inner], rtol=0, atol=1e-3)


def test_a_pattern_finer_than_the_new_pixels_is_averaged():
    image = np.zeros((120, 120, 1), np.uint16)
    image[::2] = 1000  # every other row
    out = resample(image, 0.2, 0.6)
    np.testing.assert_allclose(out[3:-3], 500, rtol=0.1)


def test_nearest_labels_and_windows():
    labels = np.arange(1, 25, dtype=np.int32).reshape(4, 6)
    np.testing.assert_array_equal(labels_to_grid(labels, (8, 12)), labels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(labels_to_grid(labels, (4, 2)), labels[:, [1, 4]])
    for shape in ((7, 5), (9, 14), (4, 6), (1, 3)):
        grid, whole = NearestGrid((4, 6), shape), labels_to_grid(labels, shape)
        out = np.zeros(shape, np.int32)
        for rows in (slice(0, 3), slice(3, 4)):
            for columns in (slice(0, 1), slice(1, 6)):
                out[grid.window((rows, columns))] += grid.take(labels[rows, columns], (rows, columns))
        np.testing.assert_array_equal(out, whole)


def test_tophat_is_by_physical_width_and_comes_first():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, (40, 50, 2)).astype(np.uint16)
    out = to_scale(image, 0.5, ScaleConfig(tophat_um=3.4))  # 7 pixels
    for channel in range(2):
        expected = morphology.white_tophat(image[..., channel], morphology.footprint_rectangle((7, 7)))
        np.testing.assert_array_equal(out[..., channel], expected)
    both = to_scale(image, 0.5, ScaleConfig(tophat_um=3.4, pixel_size_um=1.0))
    np.testing.assert_array_equal(both, resample(out, 0.5, 1.0))
    assert to_scale(image, None, ScaleConfig()) is image


def test_a_data_set_keeps_its_truth_and_what_is_held_out():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 9, (40, 60)).repeat(2, 0).repeat(2, 1).astype(np.int32)
    held_out = np.zeros(cells.shape, bool)
    held_out[:, 100:] = True
    whole = Example("a", rng.random((80, 120, 1), np.float32), (cells > 4).astype(np.int8), cells, cells, 0.325)
    train = Example("a", whole.image, np.where(held_out, -1, whole.classes), cells, None, 0.325)
    dataset = Dataset((train,), (Region(whole, 0, 100, 80, 120),), ("stain",), ("interior", "background"), "test")
    scaled = dataset_to_scale(dataset, ScaleConfig(pixel_size_um=0.65))
    (example,), (region,) = scaled.train, scaled.validation
    assert example.image is region.example.image
    np.testing.assert_array_equal(example.image, resample(whole.image, 0.325, 0.65))
    assert example.pixel_size_um == region.example.pixel_size_um == 0.65
    np.testing.assert_array_equal(region.example.cells, cells[::2, ::2])
    np.testing.assert_array_equal(region.example.nuclei, cells[::2, ::2])
    np.testing.assert_array_equal(example.classes, train.classes[::2, ::2])
    assert region.slices == (slice(0, 40), slice(50, 60))
    assert example.nuclei is None
    assert (example.classes[region.slices] == -1).all()
    assert dataset_to_scale(dataset, ScaleConfig()) is dataset


@pytest.mark.parametrize("key", ["tophat_um", "pixel_size_um"])
def test_what_cannot_be(key):
    with pytest.raises(UserError, match=f"scale.{key} must be above 0, or null, got -1"):
        ScaleConfig(**{key: -1.0})
    example = Example("set7", np.ones((4, 4, 1), np.float32), np.zeros((4, 4), np.int8), np.ones((4, 4), np.int32))
    dataset = Dataset((example,), (), ("stain",), ("interior", "background"), "test")
    with pytest.raises(UserError, match=f"set7: its pixel size is unknown.*scale.{key}=2 .*save it in the image file"):
        dataset_to_scale(dataset, ScaleConfig(**{key: 2.0}))


def test_a_factor_needs_no_pixel_size():
    image = np.random.default_rng(0).random((30, 40, 2)).astype(np.float32)
    half = ScaleConfig(factor=0.5)
    np.testing.assert_array_equal(to_scale(image, None, half), resample(image, 1.0, 2.0))
    assert to_scale(image, 0.3, ScaleConfig(factor=2.0)).shape == (60, 80, 2)
    assert half.pixel_size_after(0.3) == 0.6
    assert half.pixel_size_after(None) is None
    assert ScaleConfig(pixel_size_um=0.65).pixel_size_after(0.3) == 0.65
    assert ScaleConfig().changes_nothing
    assert not half.changes_nothing


def test_a_factor_comes_after_the_tophat_and_scales_labels():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 9, (20, 30)).astype(np.int32)
    whole = Example("a", rng.random((20, 30, 1), np.float32), (cells > 4).astype(np.int8), cells, pixel_size_um=0.5)
    data = Dataset((whole,), (Region(whole, 0, 20, 20, 30),), ("x",), ("interior", "background"), "")
    both = ScaleConfig(tophat_um=3.5, factor=2.0)
    scaled = dataset_to_scale(data, both)
    np.testing.assert_array_equal(scaled.train[0].cells, cells.repeat(2, 0).repeat(2, 1))
    assert scaled.train[0].pixel_size_um == 0.25
    assert scaled.validation[0].slices == (slice(0, 40), slice(40, 60))
    tophat = to_scale(whole.image, 0.5, ScaleConfig(tophat_um=3.5))
    np.testing.assert_array_equal(scaled.train[0].image, resample(tophat, 2.0, 1.0))
    with pytest.raises(UserError, match=r"scale\.tophat_um=3\.5 needs it"):
        to_scale(whole.image, None, both)


def test_two_ways_to_say_the_scale_are_refused():
    with pytest.raises(UserError, match=r"scale\.factor=2 and scale\.pixel_size_um=0\.65: .*give one of them"):
        ScaleConfig(pixel_size_um=0.65, factor=2.0)
    with pytest.raises(UserError, match=r"scale\.factor must be"):
        ScaleConfig(factor=0.0)
