"""Types of cells from fluorescent markers in their nuclei, one marker per type: the reference for `cell_type`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import segmentation

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.labels import label_values
from cellflax.refine.noise import noise_deviation

NO_MARKER, SEVERAL_MARKERS = "no_marker", "several_markers"


@dataclass
class MarkerConfig:
    """From marker images to types; brightness is compared in units of each marker's own background noise.

    Attributes:
        min_snr: smallest brightness of a marker that is present.
        dominance: the marker of a cell's type must be this many times brighter than any other, because markers
            bleed into each other's channels.
        guard_px: pixels around a nucleus that its blur reaches, left out of the background.
        ring_px: width of the ring beyond these pixels; its median is the background.
    """

    min_snr: float = 5.0
    dominance: float = 3.0
    guard_px: int = 2
    ring_px: int = 8

    def __post_init__(self) -> None:
        check(self, "cell_type", above(0), "min_snr")
        check(self, "cell_type", at_least(1), "dominance", "ring_px")
        check(self, "cell_type", at_least(0), "guard_px")


def marker_brightness(marker: np.ndarray, nuclei: np.ndarray, config: MarkerConfig) -> tuple[np.ndarray, float]:
    """Mean intensity of every nucleus over the background around it, and the noise of that background.

    The background of a nucleus is the median of a ring around it without any nucleus. If its neighbours leave
    no ring, it is the median of all rings. The noise is the standard deviation of single pixels in the rings
    (from the median absolute deviation, which debris does not affect).

    Args:
        marker: (H, W) intensities.
        nuclei: (H, W) integer labels of n nuclei, 0 = background.
        config: the ring.

    Returns:
        (n,) brightness by ascending label, and the noise, both in the image's unit.

    Raises:
        UserError: if no pixel is left for the background.
    """
    names = label_values(nuclei)
    if not len(names):
        return np.zeros(0), 0.0
    near = segmentation.expand_labels(nuclei, config.guard_px)
    territory = segmentation.expand_labels(nuclei, config.guard_px + config.ring_px)
    ring = (territory > 0) & (near == 0)
    if not ring.any():
        raise UserError("the nuclei leave no background around them; are they labels of nuclei?")
    around, owner = marker[ring].astype(np.float64), np.searchsorted(names, territory[ring])
    surrounded = np.unique(owner)
    background = np.full(len(names), np.median(around))
    background[surrounded] = ndimage.median(around, owner, surrounded)
    brightness = ndimage.mean(marker.astype(np.float64), nuclei, names) - background
    noise = noise_deviation(around - background[owner], float(np.abs(brightness).max()))
    return brightness, max(noise, np.finfo(float).tiny)


def marker_types(snr: Mapping[str, np.ndarray], config: MarkerConfig) -> np.ndarray:
    """Type of every nucleus: that of its brightest marker, if it is present and dominates all others.

    No threshold is fitted to the population, so a field with a single type is judged like a mixed one.

    Args:
        snr: by type, (n,) brightness of that type's marker in units of its noise; two types or more.
        config: the thresholds.

    Returns:
        (n,) types; "no_marker" where none is present, "several_markers" where none dominates.
    """
    values = np.stack(list(snr.values()), axis=-1)
    second, strongest = np.sort(values, axis=-1)[:, -2:].T
    chosen = np.asarray(list(snr), dtype=object)[values.argmax(axis=-1)]
    chosen[strongest < config.dominance * second] = SEVERAL_MARKERS
    chosen[strongest < config.min_snr] = NO_MARKER
    return chosen
