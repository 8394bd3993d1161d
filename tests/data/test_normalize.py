"""P1's and P2's intensity normalisation against their definitions, pixel by pixel."""

import numpy as np
import pytest

from cellflax.data.normalize import Intensity, NormalizeConfig, normalize
from cellflax.errors import UserError


def raw_image(rows: int = 9, columns: int = 13, channels: int = 2) -> np.ndarray:
    image = np.random.default_rng(0).integers(200, 3000, (rows, columns, channels))
    return (image * np.arange(1, channels + 1)).astype(np.uint16)


def transcription(image: np.ndarray, intensity: Intensity, window: int) -> np.ndarray:
    """Divide by the statistic, subtract the mean of the (2w + 1)^2 box over the reflected image."""
    out = np.empty(image.shape)
    for c in range(image.shape[-1]):
        channel = image[..., c].astype(float)
        if intensity is Intensity.percentile:
            low, high = np.percentile(channel, 1.0), np.percentile(channel, 99.8)
            channel = (channel - low) / (high - low)
        elif intensity is Intensity.range:
            channel = (channel - channel.min()) / (channel.max() - channel.min())
            channel = channel - np.median(channel)
        else:
            channel = channel / {"median": np.median(channel), "maximum": channel.max(), "none": 1.0}[intensity.name]
        padded = np.pad(channel, window // 2, mode="symmetric")
        for y, x in np.ndindex(channel.shape):
            out[y, x, c] = channel[y, x] - padded[y : y + window, x : x + window].mean()
    return out


@pytest.mark.parametrize("intensity", Intensity)
@pytest.mark.parametrize("window", [3, 7])
def test_equals_the_definition(intensity, window):
    image = raw_image()
    expected = transcription(image, intensity, window)
    config = NormalizeConfig(intensity=intensity, window_px=window)
    actual = normalize(image, config, receptive_field=61)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_box_is_the_receptive_field_unless_given():
    image = raw_image()
    expected = transcription(image, Intensity.median, 5)
    np.testing.assert_allclose(normalize(image, NormalizeConfig(), receptive_field=5), expected, atol=1e-6)


def test_local_mean_can_be_left_in():
    image = raw_image()
    config = NormalizeConfig(subtract_local_mean=False)
    expected = image / np.median(image.astype(float), axis=(0, 1))
    np.testing.assert_allclose(normalize(image, config, receptive_field=5), expected, rtol=1e-6)


def test_gain_of_the_camera_does_not_matter():
    image = raw_image()
    for config in (NormalizeConfig(), NormalizeConfig(intensity=Intensity.maximum)):
        np.testing.assert_allclose(
            normalize(image, config, 5), normalize(image.astype(float) * 37.5, config, 5), rtol=1e-5, atol=1e-7
        )


def test_small_contrast_on_a_bright_background_is_kept():
    """Sums over the box in float32 would drown a contrast of 1e-6."""
    image = np.ones((80, 80, 1))
    image[40, 40] += 1e-6
    normalized = normalize(image, NormalizeConfig(), receptive_field=61)
    assert normalized[40, 40, 0] == pytest.approx(1e-6 * (1 - 1 / 61**2), rel=1e-4)
    assert normalized[60, 60, 0] == pytest.approx(-1e-6 / 61**2, rel=1e-4)


def test_image_is_left_as_it_is():
    image = raw_image()
    before = image.copy()
    normalize(image, NormalizeConfig(), 5)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("window", [0, 1, 4, -3])
def test_unusable_windows_are_refused(window):
    with pytest.raises(UserError, match=f"normalize.window_px must be odd and 3 or more, or null, got {window}"):
        NormalizeConfig(window_px=window)


@pytest.mark.parametrize(
    ("background", "intensity", "message"),
    [
        (0, Intensity.median, "set7: the median of channel 1 is 0, .* normalize.intensity=percentile"),
        (-5, Intensity.maximum, "set7: the maximum of channel 1 is -5, "),
        (7, Intensity.range, "set7: the range of channel 1 is 0, "),
    ],
)
def test_a_channel_that_cannot_divide_is_named(background, intensity, message):
    image = np.random.default_rng(0).uniform(1, 2, (6, 6, 2))
    image[..., 1] = background
    with pytest.raises(UserError, match=message):
        normalize(image, NormalizeConfig(intensity=intensity), 3, "set7")
    assert normalize(image, NormalizeConfig(intensity=Intensity.none), 3).shape == image.shape
