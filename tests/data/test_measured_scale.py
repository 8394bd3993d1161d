"""The scale of an image that is read window by window is that of the image in memory."""

import numpy as np
import pytest

from cellflax.data import normalize
from cellflax.data.measured_scale import measured_scale
from cellflax.data.normalize import Intensity, NormalizeConfig, intensity_scale
from cellflax.errors import BlankError, ContentError

SHAPE = (61, 83)


def drawn(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = 100 + 40 * rng.normal(size=(*SHAPE, 2)) + np.arange(83)[None, :, None]
    return np.clip(values, 1, 255).astype(dtype)


@pytest.mark.parametrize("sorted_px", [2**22, 500])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
@pytest.mark.parametrize("intensity", list(Intensity))
def test_the_scale_is_that_of_the_whole_image(intensity, dtype, sorted_px, monkeypatch):
    monkeypatch.setattr(normalize, "MOST_SORTED", sorted_px)
    image, config = drawn(dtype), NormalizeConfig(intensity=intensity)
    expected = intensity_scale(image, config)
    found = measured_scale(lambda window: image[window], SHAPE, image.dtype, config, 25, "image")
    counted = dtype not in ("int32", "float32")
    if counted or sorted_px > 500 or intensity not in (Intensity.median, Intensity.range):
        np.testing.assert_array_equal(found, expected)
    else:  # the one exception: medians of many pixels that are not counted
        np.testing.assert_allclose(found, expected, rtol=0.05)


def test_few_bright_pixels_span_the_whole_range():
    image = np.full((40, 40, 1), 7, np.uint16)
    image[30, 30] = 900
    scale = measured_scale(
        lambda w: image[w], (40, 40), image.dtype, NormalizeConfig(Intensity.percentile), 16, "image"
    )
    assert scale == intensity_scale(image, NormalizeConfig(Intensity.percentile)) == ([7.0], [893.0])


def test_what_cannot_be_scaled_is_refused():
    image = np.full((40, 40, 1), 7.0, np.float32)
    config = NormalizeConfig(Intensity.percentile)
    with pytest.raises(BlankError, match=r"slide: channel 0 is constant \(7"):
        measured_scale(lambda w: image[w], (40, 40), image.dtype, config, 16, "slide")
    image[39, 39] = np.nan
    with pytest.raises(ContentError, match="slide: contains NaN"):
        measured_scale(lambda w: image[w], (40, 40), image.dtype, config, 16, "slide")
    image[:] = np.arange(1600).reshape(40, 40, 1) % 2 - 1
    with pytest.raises(ContentError, match="median of channel 0 is"):
        measured_scale(lambda w: image[w], (40, 40), image.dtype, NormalizeConfig(), 16, "slide")
