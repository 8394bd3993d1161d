"""Steps that every refinement shares: components, holes, specks, growth and numbering of labelled cells."""

from enum import Enum

import numpy as np
from scipy import ndimage
from skimage import measure, segmentation

from cellflax.labels import components, squared_distance


class ExpandShape(Enum):
    """The shape that a single pixel becomes when it grows by r pixels."""

    disc = "disc"  # of radius r
    square = "square"  # of 2 r + 1 pixels, as in a dilation by n x n (P2: 9 x 9 is r = 4, 3 x 3 is r = 1)


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """Give background that is enclosed by a single cell to that cell.

    Background between several cells stays: the gap inside a ring of cells is not filled, unlike a hole in their
    union. Background that reaches the image's border also stays.

    Args:
        labels: (H, W) integer labels, 0 = background.
    """
    # A frame of background joins all that reaches the image's border into one component.
    padded = np.pad(labels, 1)
    holes = components(padded == 0)
    n_holes = holes.max()
    lowest = np.full(n_holes + 1, np.iinfo(labels.dtype).max, labels.dtype)
    highest = np.zeros(n_holes + 1, labels.dtype)
    for axis in (0, 1):
        for step in (-1, 1):
            # Only the frame rolls over the border.
            neighbour = np.roll(padded, step, axis)
            touching = (holes > 0) & (neighbour > 0)
            np.minimum.at(lowest, holes[touching], neighbour[touching])
            np.maximum.at(highest, holes[touching], neighbour[touching])
    owner = np.where(lowest == highest, highest, 0)
    owner[[0, holes[0, 0]]] = 0
    return np.where(padded > 0, padded, owner[holes])[1:-1, 1:-1]


def remove_odd(
    labels: np.ndarray,
    *,
    max_area_px: int | None = None,
    max_eccentricity: float | None = None,
    min_solidity: float | None = None,
) -> np.ndarray:
    """Set labels outside the limits to 0; shapes are measured as in `skimage.measure.regionprops`, None is no limit."""
    odd = np.zeros(labels.max() + 1, bool)
    for region in measure.regionprops(labels):  # lazy: what has no limit is not measured
        odd[region.label] = (
            (max_area_px is not None and region.area > max_area_px)
            or (max_eccentricity is not None and region.eccentricity > max_eccentricity)
            or (min_solidity is not None and region.solidity < min_solidity)
        )
    return np.where(odd[labels], 0, labels)


def smooth_outlines(labels: np.ndarray, markers: np.ndarray, sigma_px: float) -> np.ndarray:
    """Smooth the outline of every cell: keep the pixels where a Gaussian over its mask exceeds one half.

    Args:
        labels: (H, W) integer labels, 0 = background.
        markers: (H, W) integer, > 0 inside the cells' seeds, one per cell. Seeds stay part of their cells, and of a
            cell that comes apart, the piece with the seed stays.
        sigma_px: standard deviation of the Gaussian; 0 changes nothing.
    """
    if sigma_px == 0:
        return labels
    reach = int(np.ceil(4 * sigma_px))  # where the Gaussian ends
    share, smooth = np.full(labels.shape, 0.5, np.float32), np.zeros_like(labels)
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        around = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in box)
        mask = (labels[around] == label).astype(np.float32)
        own = ndimage.gaussian_filter(mask, sigma_px, mode="nearest")
        won = own > share[around]
        share[around][won], smooth[around][won] = own[won], label
    seeds = (markers > 0) & (labels > 0)
    smooth[seeds] = labels[seeds]
    pieces = components(smooth)
    return np.where(np.isin(pieces, pieces[seeds]), smooth, 0)


def expand(labels: np.ndarray, distance_px: int, shape: ExpandShape = ExpandShape.disc) -> np.ndarray:
    """Grow cells into the background by up to `distance_px` pixels; they meet half way and stay connected.

    A pixel equally near to two cells goes to the one that is reached first in reading order, so that a part of an
    image gives the same result as the whole.
    """
    if distance_px == 0 or not labels.any():  # without cells there is no distance to one
        return labels
    if shape is ExpandShape.square:
        distance = np.asarray(ndimage.distance_transform_cdt(labels == 0, metric="chessboard"))
        near = distance <= distance_px
    else:
        distance = squared_distance(labels > 0, distance_px)
        near = distance <= distance_px**2
    # Every pixel has its own place in the queue, because a watershed alone resolves ties by the state of its queue.
    inside, grown = labels > 0, near & (labels == 0)
    order = np.zeros(labels.shape, np.int32)
    order[inside] = np.arange(np.count_nonzero(inside))
    order[grown] = np.count_nonzero(inside) + _ranks(distance[grown])
    return segmentation.watershed(order, labels, mask=near)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value among all; of equal ones, the first comes first."""
    ranks = np.empty(values.size, np.int32)
    ranks[np.argsort(values, kind="stable")] = np.arange(values.size, dtype=np.int32)
    return ranks
