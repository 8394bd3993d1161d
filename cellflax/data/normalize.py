"""Intensity normalisation of whole images (P1, P2, percentiles) for training and prediction."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cellflax.checks import check, odd, within
from cellflax.errors import BlankError, ContentError, UserError

# Percentiles of planes of up to this many pixels are exact. Of larger ones, they are those of a grid: every third pixel
# of every third row at least leaves 466,000 pixels, 900 of them above the 99.8th percentile.
MOST_SORTED = 2**22


class Intensity(Enum):
    """How an image is brought to a common scale (P1, S13 compares median, maximum and none; P2: range)."""

    median = "median"
    percentile = "percentile"
    range = "range"
    maximum = "maximum"
    none = "none"


@dataclass
class NormalizeConfig:
    """How intensities are brought to a common scale.

    Attributes:
        intensity: `median` and `maximum` divide each channel by this value, `none` leaves it as it is. `range` maps its
            smallest and largest value to 0 and 1, then subtracts its median. `percentile` maps its percentiles
            `low_percentile` and `high_percentile` to 0 and 1, and values beyond them to values beyond 0 and 1. All
            values are of the whole image. Null chooses by the data: percentile for your own images (data=folder),
            median for the papers' and simulated data.
        low_percentile: for `percentile`: share of the pixels, in percent, that become 0 or less.
        high_percentile: for `percentile`: share of the pixels, in percent, that become 1 or less. Where this percentile
            equals the low one, as in an image of few bright pixels, the smallest and largest value take their place.
            Images of more than 4 million pixels are sampled on a regular grid.
        subtract_local_mean: then subtract the mean over a box around each pixel.
        window_px: edge of that box in pixels; null takes the network's receptive field, as P1 does.
    """

    intensity: Intensity | None = Intensity.median  # not null: records without this key were trained so
    low_percentile: float = 1.0
    high_percentile: float = 99.8
    subtract_local_mean: bool = True
    window_px: int | None = None

    def __post_init__(self):
        check(self, "normalize", odd(3), "window_px")
        check(self, "normalize", within(0, 100), "low_percentile", "high_percentile")
        if self.low_percentile >= self.high_percentile:
            raise UserError(
                f"normalize.low_percentile must be below normalize.high_percentile, got {self.low_percentile:g} and "
                f"{self.high_percentile:g}"
            )


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
        BlankError: for `percentile`, if all pixels of a channel are equal.
    """
    scale = intensity_scale(
        image, config, name, "give raw (not background-subtracted) intensities or set normalize.intensity=percentile"
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
        BlankError: as in `normalize`.
        UserError: if the configuration names no method.
    """
    if config.intensity is None:
        raise UserError("normalize.intensity is null, which only a training resolves; name a method")
    offset, divisor = np.transpose([_scale(image[..., c], config, config.intensity) for c in range(image.shape[-1])])
    return checked_scale(offset, divisor, config, name, remedy)


def checked_scale(
    offset: np.ndarray, divisor: np.ndarray, config: NormalizeConfig, name: str, remedy: str
) -> IntensityScale:
    """A scale whose divisors are above 0.

    Args:
        offset: as in `IntensityScale`.
        divisor: as in `IntensityScale`.
        config: as for `intensity_scale`.
        name: as for `intensity_scale`.
        remedy: as for `intensity_scale`.

    Raises:
        ContentError: as in `normalize`.
        BlankError: as in `normalize`.
        UserError: if the configuration names no method.
    """
    if config.intensity is None:
        raise UserError("normalize.intensity is null, which only a training resolves; name a method")
    if np.any(divisor <= 0):
        channel = int(np.argmax(divisor <= 0))
        if config.intensity is Intensity.percentile:
            raise BlankError(f"{name}: channel {channel} is constant ({offset[channel]:g}); is it the right file?")
        raise ContentError(
            f"{name}: the {config.intensity.name} of channel {channel} is {divisor[channel]:g}, so the channel cannot "
            f"be divided by it; {remedy}"
        )
    return IntensityScale(offset, divisor)


def _scale(plane: np.ndarray, config: NormalizeConfig, intensity: Intensity) -> tuple[float, float]:
    """Offset and divisor of one channel; no divisor (0) if it cannot be divided."""
    match intensity:
        case Intensity.percentile:
            return _percentile_scale(plane, config.low_percentile, config.high_percentile)
        case Intensity.median:
            return 0.0, _median(plane)
        case Intensity.maximum:
            return 0.0, float(plane.max())
        case Intensity.range:  # mapping to 0 ... 1, then subtracting the median, in one step
            return _median(plane), float(plane.max()) - float(plane.min())
        case Intensity.none:
            return 0.0, 1.0


def _percentile_scale(plane: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Lower end and width of the range between two percentiles; of the whole range where they are equal."""
    start, end = np.percentile(_grid(plane).astype(np.float64), (low, high))
    if start == end:
        start, end = float(plane.min()), float(plane.max())
    return float(start), float(end - start)


def _grid(plane: np.ndarray) -> np.ndarray:
    """Every n-th pixel of every n-th row, `MOST_SORTED` at most: the same pixels at each call.

    An odd n takes even and odd rows and columns in turn, which differ in interlaced images.
    """
    step = grid_step(plane.shape)
    return plane[::step, ::step]


def grid_step(shape: tuple[int, ...]) -> int:
    """Distance between the pixels of a plane's grid, of which there are `MOST_SORTED` at most."""
    step = 1
    while -(-shape[0] // step) * -(-shape[1] // step) > MOST_SORTED:
        step += 2
    return step


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
