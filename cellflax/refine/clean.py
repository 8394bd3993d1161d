"""Last steps that every refinement shares: holes, specks, growth and numbering of labelled cells."""

import numpy as np
from scipy import ndimage
from skimage import segmentation


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """Give background that is enclosed by a single cell to that cell.

    Background between several cells stays, unlike after filling the holes of their union: a ring of cells
    does not close over the gap in its middle. So does background that reaches the image's border.

    Args:
        labels: (H, W) integer labels, 0 = background.
    """
    # One border of background joins all that reaches the image's border into one component.
    padded = np.pad(labels, 1)
    holes, n_holes = ndimage.label(padded == 0)
    lowest = np.full(n_holes + 1, np.iinfo(labels.dtype).max, labels.dtype)
    highest = np.zeros(n_holes + 1, labels.dtype)
    for axis in (0, 1):
        for hole, beside in _neighbours(holes, axis), _neighbours(holes, axis, backwards=True):
            neighbour = padded[beside]
            touching = (holes[hole] > 0) & (neighbour > 0)
            np.minimum.at(lowest, holes[hole][touching], neighbour[touching])
            np.maximum.at(highest, holes[hole][touching], neighbour[touching])
    owner = np.where(lowest == highest, highest, 0)
    owner[[0, holes[0, 0]]] = 0
    return np.where(padded > 0, padded, owner[holes])[1:-1, 1:-1]


def remove_small(labels: np.ndarray, min_area_px: int, first: int = 1) -> np.ndarray:
    """Set labels of fewer than `min_area_px` pixels to 0, sparing those below `first`."""
    small = np.bincount(labels.ravel()) < min_area_px
    small[:first] = False
    return np.where(small[labels], 0, labels)


def expand(labels: np.ndarray, distance_px: int) -> np.ndarray:
    """Grow cells into the background by up to `distance_px` pixels; they meet half way and stay connected."""
    if distance_px == 0:
        return labels
    distance = ndimage.distance_transform_edt(labels == 0)
    return segmentation.watershed(distance, labels, mask=distance <= distance_px)


def renumber(labels: np.ndarray) -> np.ndarray:
    """Number the labels 1...n without gaps, keeping their order; int32."""
    return segmentation.relabel_sequential(labels)[0].astype(np.int32)


def _neighbours(
    holes: np.ndarray, axis: int, backwards: bool = False
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Two indices of an image, such that the second gives the pixels beside those of the first."""
    index, beside = [slice(None), slice(None)], [slice(None), slice(None)]
    index[axis], beside[axis] = slice(None, -1), slice(1, None)
    pair = (index[0], index[1]), (beside[0], beside[1])
    return pair[::-1] if backwards else pair
