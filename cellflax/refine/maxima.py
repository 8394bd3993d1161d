"""Markers for watersheds: maxima of a landscape that stand out from their surroundings; shapes cut between them."""

import threading
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage
from skimage import measure, morphology, segmentation

from cellflax.labels import components
from cellflax.refine.sheet import Sheet, sheetfuls

# Pixels of a region in which several maxima are so likely that nothing else is tried.
_HARDLY_ONE_CELL = 1 << 18


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


def prominent_maxima(heights: Sequence[np.ndarray], regions: Sequence[np.ndarray], depth: float) -> list[np.ndarray]:
    """Mark the maxima of each region from which every way to a higher one descends by more than `depth`.

    These are the h-maxima of Vincent (1993), IEEE Trans Image Process 2:176. A region too shallow to hold any is its
    own marker, so that it is never lost.

    Args:
        heights: of each region, (h, w) float; taken as 0 where it is negative, and outside the region.
        regions: (h, w) bool each.
        depth: the least descent, in the units of the heights.

    Returns:
        Of each region, (h, w) int32 markers 1...n in reading order, 0 elsewhere; n is at least 1.
    """
    found: list[np.ndarray] = []
    for some in sheetfuls([region.shape for region in regions]):
        sheet = Sheet(regions[some])
        markers, is_open = _by_levels(sheet.put(heights[some]), sheet.labels, depth)
        crops = [sheet.take(markers, i) for i in range(len(regions[some]))]
        undecided = np.flatnonzero(is_open).tolist()
        if undecided:
            rest = Sheet([regions[some][i] for i in undecided])
            flooded = _by_reconstruction(rest.put([heights[some][i] for i in undecided]), rest.labels > 0, depth)
            for place, i in enumerate(undecided):
                crops[i] = rest.take(flooded, place)
        found += map(_numbered, crops)
    return found


def _by_levels(height: np.ndarray, numbers: np.ndarray, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """The markers of regions that have one prominent maximum, which a few thresholds show.

    A maximum b is not prominent if a path from it to the highest one, m, stays above b - depth. So let t be m - depth,
    m - 2 depth, and so on. If every part of the region above t holds m or is nowhere higher than `depth`, no other
    maximum between t and t + depth is prominent. For round regions this takes a tenth of the time of a reconstruction.

    Args:
        height: (H, W) of a sheet.
        numbers: (H, W) labels 1...n of the regions.
        depth: as in `prominent_maxima`.

    Returns:
        (H, W) int32 markers, and (n,) bool, which regions may have further ones.
    """
    height = np.where(numbers > 0, np.maximum(height, 0.0), 0.0)
    n = int(numbers.max())
    top = _largest(height, numbers, n)
    shallow = top <= depth
    is_open = ~shallow & (np.bincount(numbers.ravel(), minlength=n + 1) > _HARDLY_ONE_CELL)
    is_open[0] = False
    markers = np.where(shallow[numbers], numbers, 0)
    level = np.where(shallow | is_open, np.inf, top - depth)
    level[0] = np.inf
    is_first = True
    while np.isfinite(level).any():
        parts = np.asarray(measure.label(height >= level[numbers]), np.int32)
        n_parts = int(parts.max())
        owner = np.zeros(n_parts + 1, np.int32)
        owner[parts] = numbers
        peak = _largest(height, parts, n_parts)
        holds_top = peak == top[owner]
        is_open[owner[~holds_top & (peak > depth)]] = True
        if is_first:
            markers = np.where(holds_top[parts] & (parts > 0), parts + n, markers)
            is_first = False
        level = np.where(is_open | (level <= depth), np.inf, level - depth)
    is_open[0] = False
    return markers, is_open[1:]


def _by_reconstruction(height: np.ndarray, inside: np.ndarray, depth: float) -> np.ndarray:
    """The markers of regions that have a maximum above `depth`, all of them."""
    height = np.where(inside, np.maximum(height, 0.0), 0.0)
    with _IGNORING_SHAPES_SET:
        flattened = morphology.reconstruction(height - depth, height)
    return np.asarray(measure.label(morphology.local_maxima(flattened) & inside), np.int32)


def _largest(values: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """Largest value of each label 0...n, which is at least 0."""
    largest = np.zeros(n + 1, values.dtype)
    np.maximum.at(largest, labels.ravel(), values.ravel())
    return largest


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Number labels 1...n in their own order."""
    numbered = np.zeros(labels.shape, np.int32)
    is_any = labels > 0
    numbered[is_any] = 1 + np.unique(labels[is_any], return_inverse=True)[1]
    return numbered


def maxima_inside(height: np.ndarray, inside: np.ndarray, smoothing_px: float, depth: float) -> np.ndarray:
    """Mark the prominent maxima of a smoothed map in every component of a mask; each component has one or more.

    Args:
        height: (H, W) float.
        inside: (H, W) bool.
        smoothing_px: standard deviation of a Gaussian over `height`.
        depth: as in `prominent_maxima`.

    Returns:
        (H, W) int32 markers 1...n, 0 elsewhere, in the order of the components.
    """
    smooth = ndimage.gaussian_filter(height, smoothing_px)
    seeds = np.zeros(inside.shape, np.int32)
    n = 0
    regions = measure.regionprops(components(inside))
    masks = [region.image for region in regions]
    markers = prominent_maxima([smooth[region.slice] for region in regions], masks, depth)
    for region, own in zip(regions, markers, strict=True):
        seeds[region.slice] += np.where(own > 0, own + n, 0)
        n += int(own.max())
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
    regions = measure.regionprops(labels)
    masks = [region.image for region in regions]
    distances = list(_smooth_distances(masks, pixel_size, smoothing_px))
    markers = prominent_maxima(distances, masks, depth)
    for region, mask, distance, own in zip(regions, masks, distances, markers, strict=True):
        if own.max() == 1 and in_one_piece[region.label]:  # most labels: the watershed would fill them
            parts = mask
        else:
            parts = segmentation.watershed(-distance, own, mask=mask)
        split[region.slice] += np.where(parts > 0, parts + n, 0)
        n += int(parts.max())
    return split


def _smooth_distances(masks: Sequence[np.ndarray], pixel_size: float, smoothing_px: float) -> Iterator[np.ndarray]:
    """Distance of each pixel of a mask to the nearest one that is not of it."""
    for some in sheetfuls([mask.shape for mask in masks]):
        sheet = Sheet(masks[some])
        # Background around each mask is nearer to its pixels than another mask is.
        distance = np.asarray(ndimage.distance_transform_edt(sheet.labels)) * pixel_size
        for i in range(len(masks[some])):
            around = sheet.take(distance, i, margin=1)
            yield (ndimage.gaussian_filter(around, smoothing_px) if smoothing_px > 0 else around)[1:-1, 1:-1]
