"""Markers for watersheds: maxima of a landscape that stand out from their surroundings; shapes cut between them."""

import threading
import warnings

import numpy as np
from scipy import ndimage
from skimage import measure, morphology, segmentation

from cellflax.labels import components


class _IgnoringShapesSet:
    """Ignores that scikit-image 0.26 sets the shape of an array, which NumPy 2.5 deprecates.

    Python has one list of ignored warnings for all threads, and `warnings.catch_warnings` of two threads disturb each
    other. Here the first thread that needs it changes the list, and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._before.__exit__(None, None, None)


_IGNORING_SHAPES_SET = _IgnoringShapesSet()


def prominent_maxima(height: np.ndarray, region: np.ndarray, depth: float) -> np.ndarray:
    """Mark the maxima of a connected region from which every way to a higher one descends by `depth`.

    These are the h-maxima of Vincent (1993), IEEE Trans Image Process 2:176. A region too shallow to hold
    any is its own marker, so that it is never lost.

    Args:
        height: (H, W) float; taken as 0 outside the region.
        region: (H, W) bool.
        depth: the least descent, in the units of `height`.

    Returns:
        (H, W) int32 markers 1...n, 0 elsewhere.
    """
    height = np.where(region, height, 0.0)
    with _IGNORING_SHAPES_SET:
        flattened = morphology.reconstruction(height - depth, height)
    markers = np.asarray(measure.label(morphology.local_maxima(flattened) & region), np.int32)
    return markers if markers.any() else region.astype(np.int32)


def maxima_inside(height: np.ndarray, inside: np.ndarray, smoothing_px: float, depth: float) -> np.ndarray:
    """Mark the prominent maxima of a smoothed map in every component of a mask; each component has one or more.

    Args:
        height: (H, W) float.
        inside: (H, W) bool.
        smoothing_px: standard deviation of a Gaussian over `height`.
        depth: as in `prominent_maxima`.

    Returns:
        (H, W) int32 markers 1...n, 0 elsewhere.
    """
    smooth = ndimage.gaussian_filter(height, smoothing_px)
    seeds = np.zeros(inside.shape, np.int32)
    n = 0
    for region in measure.regionprops(components(inside)):
        markers = prominent_maxima(smooth[region.slice], region.image, depth)
        seeds[region.slice] += np.where(markers > 0, markers + n, 0)
        n += int(markers.max())
    return seeds


def split_at_necks(
    labels: np.ndarray, depth: float, *, pixel_size: float = 1.0, smoothing_px: float = 0.0
) -> np.ndarray:
    """Cut each label between the prominent maxima of its own distance to the outline.

    Args:
        labels: (H, W) int32, 0 = background.
        depth: how far the distance must dip between two maxima, in the unit of `pixel_size`.
        pixel_size: edge of a pixel.
        smoothing_px: standard deviation of a Gaussian over the distance, because its ridge follows every notch.

    Returns:
        (H, W) int32 labels 1...n. A label too narrow for any maximum of that depth stays whole.
    """
    split = np.zeros(labels.shape, np.int32)
    n = 0
    pieces = components(labels)
    owner = np.zeros(int(pieces.max()) + 1, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    in_one_piece = np.bincount(owner[1:], minlength=int(labels.max()) + 1) == 1
    for region in measure.regionprops(labels):
        shape = np.pad(region.image, 1)
        distance = np.asarray(ndimage.distance_transform_edt(shape)) * pixel_size
        distance = ndimage.gaussian_filter(distance, smoothing_px)
        markers = prominent_maxima(distance, shape, depth)
        if markers.max() == 1 and in_one_piece[region.label]:  # most labels: the watershed would fill them
            parts = region.image
        else:
            parts = segmentation.watershed(-distance, markers, mask=shape)[1:-1, 1:-1]
        split[region.slice] += np.where(parts > 0, parts + n, 0)
        n += int(parts.max())
    return split
