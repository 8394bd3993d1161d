"""How an image looks: brightness, noise and sharpness of each channel, and the sizes of its cells.

The statistics find images that differ from others, and are no measurements of cells. They come from the central part
of a large image, so that they take moments.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cellflax.labels import compact

# Edges of the central parts that percentiles, and noise and sharpness, are taken from, pixels.
CENTRE_PX = 2048
_FINE_CENTRE_PX = 512
LOW_PERCENT, HIGH_PERCENT = 1.0, 99.8
_MOST_SORTED = 1 << 18
_NORMAL_QUARTILE = 0.6745  # median of |x| of a normal distribution of width 1
# The bands of detail that sharpness compares, by the widths of two Gaussians each, pixels.
_FINE, _COARSE = (1.0, 1.5), (2.0, 3.0)
_LEAST_SIGNAL = 2.0  # times the noise's share: below it, a band holds no detail to speak of


@dataclass(frozen=True)
class Appearance:
    """How one channel of one image looks.

    Attributes:
        low: 1st percentile of the intensities.
        middle: their median.
        high: their 99.8th percentile.
        contrast_to_noise: `high` - `low` in standard deviations of the noise; None where no noise can be measured.
        sharpness: detail of some 1 px, without the noise, as a share of that of 2 px; None where noise hides it.
    """

    low: float
    middle: float
    high: float
    contrast_to_noise: float | None
    sharpness: float | None

    @property
    def span(self) -> float:
        """`high` - `low`."""
        return self.high - self.low

    @property
    def level(self) -> float | None:
        """Where the median lies between `low` (0) and `high` (1): low where the background is dark; None of a blank."""
        return (self.middle - self.low) / self.span if self.span > 0 else None


def appearance_of(plane: np.ndarray) -> Appearance:
    """Measure one channel.

    Args:
        plane: (H, W), any real type.
    """
    sample = central_part(plane, CENTRE_PX)
    step = math.ceil(math.sqrt(sample.size / _MOST_SORTED)) | 1  # odd: rows and columns of both parities
    values = sample[::step, ::step].astype(np.float64)
    low, middle, high = (float(value) for value in np.percentile(values, (LOW_PERCENT, 50, HIGH_PERCENT)))
    part = central_part(plane, _FINE_CENTRE_PX).astype(np.float64)
    noise = noise_of(part)
    return Appearance(low, middle, high, (high - low) / noise if noise > 0 else None, _sharpness(part, noise))


def central_part(image: np.ndarray, edge: int) -> np.ndarray:
    """The central part of an (H, W, ...) image, at most `edge` pixels high and wide."""
    rows, columns = (
        slice(start, start + min(size, edge)) for size in image.shape[:2] for start in [max(size - edge, 0) // 2]
    )
    return image[rows, columns]


def noise_of(plane: np.ndarray) -> float:
    """Standard deviation of white noise in an (H, W) plane, from the differences of its diagonal differences.

    Their median hardly depends on structures. It is 0 where most pixels equal their neighbours.
    """
    if min(plane.shape) < 2:
        return 0.0
    detail = plane[1:, 1:] - plane[1:, :-1] - plane[:-1, 1:] + plane[:-1, :-1]
    return float(np.median(np.abs(detail))) / _NORMAL_QUARTILE / 2


def _sharpness(part: np.ndarray, noise: float) -> float | None:
    """Narrow bands: their ratio hardly depends on what the image shows, and a blur of 2 px lowers it by a third."""
    fine, coarse = (_detail(part, band, noise) for band in (_FINE, _COARSE))
    return None if fine is None or coarse is None else math.sqrt(fine / coarse)


def _detail(part: np.ndarray, band: tuple[float, float], noise: float) -> float | None:
    """Variance between two scales without that of the noise; None if there is hardly more than the noise's."""
    a, b = band
    if min(part.shape) < 4 * b:
        return None
    difference = ndimage.gaussian_filter(part, a) - ndimage.gaussian_filter(part, b)
    of_noise = noise**2 * (1 / a**2 + 1 / b**2 - 4 / (a**2 + b**2)) / (4 * math.pi)
    variance = float(difference.var())
    return variance - of_noise if variance > _LEAST_SIGNAL * of_noise and variance > 0 else None


def equivalent_diameters(labels: np.ndarray) -> np.ndarray:
    """Diameter of the disc of each cell's area, ascending by label, (n,) pixels.

    Args:
        labels: (H, W) integer labels, 0 = background.
    """
    _, numbers = compact(labels)
    areas = np.bincount(numbers.ravel())[1:]
    return np.sqrt(4 * areas / np.pi)
