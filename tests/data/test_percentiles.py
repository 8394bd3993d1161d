"""`normalize.intensity=percentile`: invariant under gain and offset, exact or sampled, never divided by zero."""

import numpy as np
import pytest

from cellflax.data import normalize as module
from cellflax.data.normalize import Intensity, NormalizeConfig, intensity_scale, normalize
from cellflax.errors import BlankError, UserError

PERCENTILE = NormalizeConfig(Intensity.percentile, subtract_local_mean=False)
WITH_LOCAL_MEAN = NormalizeConfig(Intensity.percentile, window_px=21)


def cells(rows: int = 200, columns: int = 300) -> np.ndarray:
    """Bright discs with a bright rim on a dim background, (H, W, 1) float64 of 300 to 5000."""
    y, x = np.indices((rows, columns))
    distance = np.hypot(y % 40 - 20, x % 50 - 25)
    noise = np.random.default_rng(0).normal(0, 30, (rows, columns))
    return (500 + 3000 / (1 + np.exp(distance - 12)) + 500 * np.exp(-((distance - 12) ** 2) / 8) + noise)[..., None]


@pytest.mark.parametrize("config", [PERCENTILE, WITH_LOCAL_MEAN])
@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0, 10.0])
@pytest.mark.parametrize("offset", [-400.0, 0.0, 1000.0])
def test_gain_and_offset_do_not_matter(config, gain, offset):
    image = cells()
    changed = gain * image + offset
    expected = normalize(image, config, 61)
    assert np.ptp(expected) > 0.7
    np.testing.assert_allclose(normalize(changed, config, 61), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(normalize(changed.astype(np.float32), config, 61), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "gain", "offset"),
    [
        (np.uint16, 1.0, 0.0),
        (np.uint16, 10.0, 0.0),
        (np.uint16, 0.1, 0.0),
        (np.uint16, 1.0, -300.0),  # background-subtracted
        (np.uint8, 0.05, 0.0),
        (np.uint8, 0.06, -10.0),
        (np.int16, 1.0, -2000.0),
    ],
)
def test_types_change_no_more_than_they_round(dtype, gain, offset):
    image = cells()
    changed = gain * image + offset
    assert np.iinfo(dtype).min < changed.min()
    assert changed.max() < np.iinfo(dtype).max
    steps = gain * intensity_scale(image, PERCENTILE).divisor[0]  # grey levels from 0 to 1
    expected, found = (normalize(x, PERCENTILE, 61) for x in (image, np.round(changed).astype(dtype)))
    # Half a level at the pixel, at both percentiles.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 / steps)
    assert steps > 100


def test_subtracted_background_that_is_cut_at_zero():
    """Many pixels become 0; what the cells are remains, up to the noise of the background."""
    image = cells()
    cut = np.maximum(image - 500, 0)
    assert np.mean(cut == 0) > 0.15
    expected, found = (normalize(x, PERCENTILE, 61) for x in (image, cut))
    inside = image[..., 0] > 1500
    np.testing.assert_allclose(found[inside], expected[inside], rtol=0, atol=0.03)


def test_large_images_are_sampled_on_the_same_pixels(monkeypatch):
    image = np.round(cells(1200, 1100)).astype(np.uint16)
    exact = intensity_scale(image, PERCENTILE)
    monkeypatch.setattr(module, "MOST_SORTED", 2**19)  # every second pixel would be few enough
    assert module._grid(image[..., 0]).shape == (400, 367)
    sampled = intensity_scale(image, PERCENTILE)
    assert sampled != exact
    for a, b in zip(sampled, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=0.01 * exact.divisor[0])
    np.testing.assert_array_equal(intensity_scale(image.copy(order="F"), PERCENTILE), sampled)
    rows, columns = np.indices((1200, 1100))  # interlaced: both kinds of rows and columns are seen
    assert all(set(np.unique(module._grid(index) % 2)) == {0, 1} for index in (rows, columns))


def test_up_to_four_million_pixels_are_exact():
    plane = np.random.default_rng(0).integers(0, 65535, (2048, 2048), np.uint16)
    scale = intensity_scale(plane[..., None], PERCENTILE)
    low, high = np.percentile(plane, (1.0, 99.8))
    assert (scale.offset[0], scale.divisor[0]) == (low, high - low)
    assert module._grid(np.zeros((2049, 2048))).shape == (683, 683)


@pytest.mark.parametrize("gain", [1, 7])
@pytest.mark.parametrize("share", [0.01, 0.001, 1e-5])
def test_sparse_images(share, gain):
    """Few bright pixels among zeros: by the 99.8th percentile, else by the largest value."""
    plane = np.zeros(100_000, np.uint16)
    bright = plane[: round(share * plane.size)]
    bright[:] = gain * np.linspace(100, 200, bright.size).round()
    normalized = normalize(plane.reshape(250, 400, 1), PERCENTILE, 61).ravel()
    assert np.isfinite(normalized).all()
    assert (normalized[bright.size :] == 0).all()
    assert normalized.max() == pytest.approx(1, abs=0.12)
    assert (normalized[: bright.size] > 0.4).all()


def test_bright_pixels_beside_the_grid(monkeypatch):
    monkeypatch.setattr(module, "MOST_SORTED", 100)
    image = np.zeros((60, 60, 1), np.uint8)
    image[1, 1] = 9
    assert not module._grid(image[..., 0]).any()
    assert normalize(image, PERCENTILE, 61)[1, 1, 0] == 1


@pytest.mark.parametrize("count", [1, 500, 999])
def test_two_values_become_zero_and_one(count):
    plane = np.full(1000, 7, np.int32)
    plane[:count] = 19
    normalized = normalize(plane.reshape(20, 50, 1), PERCENTILE, 61).ravel()
    np.testing.assert_allclose(normalized[:count], 1, atol=1e-6)
    np.testing.assert_allclose(normalized[count:], 0, atol=1e-6)


def test_a_constant_channel_is_named():
    image = np.concatenate([cells(), np.full_like(cells(), 3)], axis=-1)
    with pytest.raises(BlankError, match=r"^set7: channel 1 is constant \(3\); is it the right file\?$"):
        normalize(image, PERCENTILE, 61, "set7")


def test_each_channel_has_its_own_percentiles():
    one = cells()
    both = normalize(np.concatenate([one, 5 * one + 3], axis=-1), PERCENTILE, 61)
    np.testing.assert_allclose(both[..., 0], both[..., 1], rtol=0, atol=1e-6)


def test_ends_can_be_set():
    image = np.arange(101.0).reshape(1, 101, 1)
    scale = intensity_scale(image, NormalizeConfig(Intensity.percentile, low_percentile=10, high_percentile=60))
    assert (scale.offset[0], scale.divisor[0]) == (10, 50)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ({"low_percentile": -1.0}, r"normalize.low_percentile must be in \[0, 100\], got -1"),
        ({"high_percentile": 100.5}, r"normalize.high_percentile must be in \[0, 100\], got 100.5"),
        ({"low_percentile": 50.0, "high_percentile": 50.0}, "low_percentile must be below .*, got 50 and 50"),
    ],
)
def test_unusable_ends_are_refused(ends, message):
    with pytest.raises(UserError, match=message):
        NormalizeConfig(Intensity.percentile, **ends)


def test_a_method_that_no_training_resolved_is_refused():
    with pytest.raises(UserError, match=r"normalize\.intensity is null"):
        normalize(cells(), NormalizeConfig(None), 61)
