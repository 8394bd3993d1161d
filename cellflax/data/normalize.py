"""Intensity normalisation of whole images (P1), the same in training and prediction."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import ndimage

from cellflax.errors import UserError


class Intensity(Enum):
    """What an image is divided by (P1, S13 compares the three)."""

    median = "median"
    maximum = "maximum"
    none = "none"


@dataclass
class NormalizeConfig:
    """How intensities are brought to one scale.

    Attributes:
        intensity: each channel is divided by its median, its maximum, or nothing.
        subtract_local_mean: then subtract the mean over a box around each pixel.
        window_px: edge of that box; None takes the network's receptive field, as P1 does.
    """

    intensity: Intensity = Intensity.median
    subtract_local_mean: bool = True
    window_px: int | None = None

    def __post_init__(self):
        if self.window_px is not None and (self.window_px < 3 or self.window_px % 2 == 0):
            raise UserError(f"normalize.window_px must be odd and 3 or more, got {self.window_px}")


def normalize(image: np.ndarray, config: NormalizeConfig, receptive_field: int, name: str = "image") -> np.ndarray:
    """Normalise each channel of one image: divide by its median, subtract the local mean.

    Args:
        image: (H, W, C), any real type.
        config: the method.
        receptive_field: edge of the averaging box where the configuration leaves it open, pixels.
        name: what to call the image in an error.

    Returns:
        (H, W, C) float32.

    Raises:
        UserError: if a channel cannot be divided by its median or maximum because that is zero.
    """
    image = image.astype(np.float64)  # sums over the box in float32 would show in the result
    if config.intensity is not Intensity.none:
        statistic = np.median if config.intensity is Intensity.median else np.max
        scale = statistic(image, axis=(0, 1))
        if np.any(scale <= 0):
            channel = int(np.argmax(scale <= 0))
            raise UserError(
                f"{name}: the {config.intensity.name} of channel {channel} is {scale[channel]:g}, so it cannot "
                "be divided by it; give raw (not background-subtracted) intensities or set "
                "normalize.intensity=none"
            )
        image = image / scale
    if config.subtract_local_mean:
        window = config.window_px or receptive_field
        image = image - ndimage.uniform_filter(image, size=(window, window, 1), mode="reflect")  # pyright: ignore[reportArgumentType]
    return image.astype(np.float32)
