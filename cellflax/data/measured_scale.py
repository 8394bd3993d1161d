"""The scale of an image that is larger than memory, measured band by band: that of `normalize.intensity_scale`."""

from collections.abc import Callable

import numpy as np

from cellflax.data.normalize import Intensity, IntensityScale, NormalizeConfig, checked_scale, grid_step
from cellflax.data.resample import Window
from cellflax.errors import BlankError, ContentError

_SHORT = 1 << 16  # of integers with at most this many values, all are counted


def measured_scale(
    read: Callable[[Window], np.ndarray],
    shape: tuple[int, int],
    dtype: np.dtype,
    config: NormalizeConfig,
    edge: int,
    name: str,
    remedy: str = "",
) -> IntensityScale:
    """The scale of all channels, which equals that of the whole image.

    There is one exception: the median (for `median` and `range`) of pixels that are no integers of 8 or 16 bits is that
    of a regular grid of at most `MOST_SORTED` pixels.

    Args:
        read: gives a window of the image, (h, w, C).
        shape: height and width.
        dtype: type of the pixels.
        config: the method.
        edge: edge of the windows that are read at once, pixels.
        name: what to call the image in an error.
        remedy: as for `normalize.intensity_scale`.

    Raises:
        ContentError: as `normalize.normalize`, and for pixels that are not finite.
        BlankError: for a channel whose pixels are all equal.
    """
    step, counted = grid_step(shape), dtype.kind in "iub" and 8 * dtype.itemsize <= 16
    low, high, counts, sampled = None, None, None, None
    for y in range(0, shape[0], edge):
        for x in range(0, shape[1], edge):
            pixels = read((slice(y, min(y + edge, shape[0])), slice(x, min(x + edge, shape[1]))))
            if dtype.kind == "f" and not np.isfinite(pixels).all():
                raise ContentError(f"{name}: contains NaN or infinity; replace these pixels first")
            bottom, top = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
            low = bottom if low is None else np.minimum(low, bottom)
            high = top if high is None else np.maximum(high, top)
            if counted:
                found = _counts(pixels)
                counts = found if counts is None else counts + found
            if sampled is None:
                sampled = np.empty((-(-shape[0] // step), -(-shape[1] // step), pixels.shape[-1]), dtype)
            part = pixels[-y % step :: step, -x % step :: step]
            top_left = -(-y // step), -(-x // step)
            sampled[top_left[0] : top_left[0] + len(part), top_left[1] : top_left[1] + part.shape[1]] = part
    assert low is not None
    assert high is not None
    assert sampled is not None
    if (low == high).any():
        channel = int(np.argmax(low == high))
        raise BlankError(f"{name}: channel {channel} is constant ({low[channel]}); is it the right file?")
    scales = []
    for c in range(len(low)):
        ends = float(low[c]), float(high[c])
        if counts is not None:
            middle = _median_of_counts(counts[c]) + _smallest(dtype)
        else:
            middle = float(np.median(sampled[..., c].astype(np.float64)))
        scales.append(_scale(config, sampled[..., c], ends, middle))
    offset, divisor = np.transpose(scales)
    return checked_scale(offset, divisor, config, name, remedy)


def _scale(
    config: NormalizeConfig, sampled: np.ndarray, ends: tuple[float, float], median: float
) -> tuple[float, float]:
    """Offset and divisor of one channel, as `normalize` has them."""
    match config.intensity:
        case Intensity.percentile:
            levels = config.low_percentile, config.high_percentile
            start, end = np.percentile(sampled.astype(np.float64), levels).tolist()
            start, end = ends if start == end else (start, end)
            return start, end - start
        case Intensity.median:
            return 0.0, median
        case Intensity.maximum:
            return 0.0, ends[1]
        case Intensity.range:
            return median, ends[1] - ends[0]
        case _:
            return 0.0, 1.0


def _smallest(dtype: np.dtype) -> int:
    return -_SHORT // 2 if dtype.kind == "i" else 0


def _counts(pixels: np.ndarray) -> np.ndarray:
    """(C, 65536) numbers of the pixels of each value, from the smallest that integers of 16 bits have."""
    planes = [pixels[..., c].ravel() for c in range(pixels.shape[-1])]
    smallest = _smallest(pixels.dtype)
    moved = [plane.astype(np.int32) - smallest for plane in planes] if smallest else planes
    return np.stack([np.bincount(plane, minlength=_SHORT) for plane in moved])


def _median_of_counts(counts: np.ndarray) -> float:
    """The median of values of which value i occurs `counts[i]` times."""
    until = np.cumsum(counts)
    size = int(until[-1])
    middle = np.searchsorted(until, [(size - 1) // 2, size // 2], side="right")
    return float(middle.mean())
