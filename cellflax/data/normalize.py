"""Intensity normalisation of whole images (Van Valen 2016, P1; Sadanandan 2017, P2) for training and prediction."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cellflax.checks import check, odd
from cellflax.errors import ContentError


class Intensity(Enum):
    """How an image is brought to a common scale (P1, S13 compares the first and the last two; P2: range)."""

    median = "median"
    range = "range"
    maximum = "maximum"
    none = "none"


@dataclass
class NormalizeConfig:
    """How intensities are brought to a common scale.

    Attributes:
        intensity: `median` and `maximum` divide each channel by this value, `none` leaves it as it is. `range` maps its
            smallest and largest value to 0 and 1, then subtracts its median. All values are of the whole image.
        subtract_local_mean: then subtract the mean over a box around each pixel.
        window_px: edge of that box in pixels; null takes the network's receptive field, as P1 does.
    """

    intensity: Intensity = Intensity.median
    subtract_local_mean: bool = True
    window_px: int | None = None

    def __post_init__(self):
        check(self, "normalize", odd(3), "window_px")


def normalize(image: np.ndarray, config: NormalizeConfig, receptive_field: int, name: str = "image") -> np.ndarray:
    """Normalise each channel of one image: bring it to a common scale, subtract the local mean.

    Args:
        image: (H, W, C), any real type.
        config: the method.
        receptive_field: edge of the averaging box in pixels, if the configuration does not set it.
        name: what to call the image in an error.

    Returns:
        (H, W, C) float32.

    Raises:
        ContentError: if a channel cannot be divided by its median, maximum or range because that is zero.
    """
    scale = intensity_scale(
        image, config, name, "give raw (not background-subtracted) intensities or set normalize.intensity=none"
    )
    return rescale(image, scale, box_px(config, receptive_field))


def box_px(config: NormalizeConfig, receptive_field: int) -> int | None:
    """Edge of the averaging box, pixels; None where no local mean is subtracted."""
    return (config.window_px or receptive_field) if config.subtract_local_mean else None


class IntensityScale(NamedTuple):
    """How the channels of an image become (value - offset) / divisor.

    Attributes:
        offset: (C,) float64.
        divisor: (C,) float64, above 0.
    """

    offset: np.ndarray
    divisor: np.ndarray


def intensity_scale(
    image: np.ndarray, config: NormalizeConfig, name: str = "image", remedy: str = ""
) -> IntensityScale:
    """The scale of an (H, W, C) image, computed in the image's own type.

    Args:
        image: the raw image.
        config: the method.
        name: what to call the image in an error.
        remedy: what the user of this command can do about an image that cannot be divided.

    Raises:
        ContentError: as in `normalize`.
    """
    offset, divisor = np.transpose([_scale(image[..., c], config.intensity) for c in range(image.shape[-1])])
    if np.any(divisor <= 0):
        channel = int(np.argmax(divisor <= 0))
        raise ContentError(
            f"{name}: the {config.intensity.name} of channel {channel} is {divisor[channel]:g}, so the channel cannot "
            f"be divided by it; {remedy}"
        )
    return IntensityScale(offset, divisor)


def _scale(plane: np.ndarray, intensity: Intensity) -> tuple[float, float]:
    """Offset and divisor of one channel."""
    match intensity:
        case Intensity.median:
            return 0.0, _median(plane)
        case Intensity.maximum:
            return 0.0, float(plane.max())
        case Intensity.range:  # mapping to 0 ... 1, then subtracting the median, in one step
            return _median(plane), float(plane.max()) - float(plane.min())
        case Intensity.none:
            return 0.0, 1.0


def _median(plane: np.ndarray) -> float:
    """`np.median` in double precision, without a copy of the plane in double precision."""
    middle = (plane.size - 1) // 2, plane.size // 2
    return float(np.mean(np.partition(plane, middle, axis=None)[list(middle)], dtype=np.float64))


def rescale(image: np.ndarray, scale: IntensityScale, box: int | None) -> np.ndarray:
    """Bring an image, or a part of it, to its scale and subtract the local mean.

    Args:
        image: (H, W, C), any real type; mirrored beyond its borders.
        scale: result of `intensity_scale` for the whole image.
        box: edge of the averaging box, or None.

    Returns:
        (H, W, C) float32.
    """
    image = image - scale.offset  # in float64: sums over the box in float32 would show in the result
    image /= scale.divisor
    if box is not None:
        image -= ndimage.uniform_filter(image, size=(box, box, 1), mode="reflect")  # pyright: ignore[reportArgumentType]
    return image.astype(np.float32)
