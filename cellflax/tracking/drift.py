"""Stage drift: how far the whole field moved from frame to frame, by phase correlation."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import window
from skimage.registration import phase_cross_correlation

from cellflax.frame_sequence import FrameSequence
from cellflax.tracking.cells import FrameCells, MovieCells, overlaps

# A shift is accepted if it puts this much more of the cells, as a share of their area, onto single earlier cells: the
# stage does not drift in most movies, and a small shift does not harm linking.
_MIN_GAIN = 0.05
_NORMALIZATIONS: tuple[Any, ...] = ("phase", None)
_BACKGROUND_SIGMA = 0.05  # of the image's shorter side: illumination and dirt of the camera do not drift
_MEANS = 3  # this many running means are nearly a Gaussian, in a time that does not grow with its width


class DriftMethod(Enum):
    """Whether the field is registered before linking."""

    auto = "auto"
    none = "none"


@dataclass
class DriftConfig:
    """Registration of frames before linking.

    Attributes:
        method: auto corrects a shift of the field that explains the cells better than no shift; none trusts the
            stage.
    """

    method: DriftMethod = DriftMethod.auto


def estimate_drift(movie: MovieCells, images: FrameSequence | None = None, missing: Collection[int] = ()) -> np.ndarray:
    """Shift of the field from each frame to the next.

    Phase correlation of the cells' masks, and of the images where there are any, proposes shifts by whole pixels. The
    one that lays the cells best onto those of the previous frame is taken, or no shift if none is better.

    Args:
        movie: the cells.
        images: (T, H, W) intensities.
        missing: frames that were not recorded; the shift over them counts for the frame after them.

    Returns:
        (T, 2) int64, rows and columns; the first is 0.
    """
    shifts = np.zeros((len(movie.frames), 2), np.int64)
    # Opposite borders of an image do not match, so it is faded out there.
    taper = np.zeros(0) if images is None else window("hann", images.shape[1:])
    flat = None if images is None else _flatten(images[0], taper)
    before = movie.frames[0]
    for t, after in enumerate(movie.frames[1:], start=1):
        if t in missing:
            continue
        proposals = _proposals(before.index > 0, after.index > 0)
        if images is not None and flat is not None:
            previous, flat = flat, _flatten(images[t], taper)
            proposals += _proposals(previous, flat)
        shifts[t] = _best(before, after, proposals)
        before = after
    return shifts


def _flatten(image: np.ndarray, taper: np.ndarray) -> np.ndarray:
    """Subtract the slow background of an image, and fade the image out with a taper."""
    values = image.astype(np.float32)
    sigma = _BACKGROUND_SIGMA * min(image.shape)
    width = max(1, round(np.sqrt(12 * sigma**2 / _MEANS + 1)))  # their variances, (width^2 - 1) / 12, add up
    background = values
    for _ in range(_MEANS):
        background = ndimage.uniform_filter(background, width)
    return (values - background) * taper


def _proposals(before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """Shifts by phase correlation, and by plain cross-correlation, which noise in fine detail disturbs less."""
    a, b = before.astype(np.float32), after.astype(np.float32)
    if a.min() == a.max() or b.min() == b.max():
        return []
    found = [phase_cross_correlation(a, b, normalization=how)[0] for how in _NORMALIZATIONS]
    return [-np.rint(shift).astype(np.int64) for shift in found]


def _best(before: FrameCells, after: FrameCells, proposals: list[np.ndarray]) -> np.ndarray:
    still = np.zeros(2, np.int64)
    best, score = still, _explained(before, after, still) + _MIN_GAIN
    for shift in proposals:
        explained = _explained(before, after, shift)
        if explained > score:
            best, score = shift, explained
    return best


def _explained(before: FrameCells, after: FrameCells, shift: np.ndarray) -> float:
    """Share of the later cells' area that lies on the one earlier cell which each overlaps most."""
    shared = overlaps(before, after, shift)
    largest = np.zeros(len(after), np.int64)
    np.maximum.at(largest, shared.after, shared.pixels)
    return float(largest.sum()) / max(int(after.area.sum()), 1)
