"""Noise of an image, measured where no cells are."""

import numpy as np

_STANDARD_DEVIATION = 1.4826  # of a normal distribution, in median absolute deviations
_FLOOR = 1e-3


def noise_deviation(deviations: np.ndarray, brightest: float = 0.0) -> float:
    """Standard deviation of the noise, from the median absolute deviation: a minority of bright pixels has no effect.

    Args:
        deviations: deviations of pixels from the background, any shape; at least half of the pixels are background.
        brightest: signal of the image; a thousandth of it replaces the noise of an image that has less.

    Returns:
        the deviation, in the unit of the pixels.
    """
    return max(float(_STANDARD_DEVIATION * np.median(np.abs(deviations))), _FLOOR * brightest)
