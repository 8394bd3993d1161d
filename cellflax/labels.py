"""Arithmetic of label images: components, masks, numbering, overlaps and majority owners.

The ground floor: everything else may import it, and it imports nothing of cellflax but errors. A label image is an
array of integers, 0 = background. Numbers need not be consecutive: an image may hold the label 2^31 - 1, and no
function here takes memory in proportion to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from skimage import measure

from cellflax.errors import UserError

_LARGEST_LABEL = np.iinfo(np.int32).max
# Reach in pixels beyond which a whole distance transform is quicker than shifts.
_MOST_SHIFTS = 40


def components(image: np.ndarray) -> np.ndarray:
    """Label the 4-connected components of a mask, or of each label of a label image.

    Args:
        image: (H, W) bool or integers, 0 = background.

    Returns:
        (H, W) int32 labels 1...n in reading order.
    """
    return np.asarray(measure.label(image, connectivity=1), np.int32)


def squared_distance(mask: np.ndarray, reach_px: int) -> np.ndarray:
    """Squared distance of each pixel to the nearest one of a mask, in whole numbers, as far as it reaches.

    A few shifts of the whole mask make it, so that a reach of some pixels takes a tenth of the time of a whole distance
    transform.

    Args:
        mask: (H, W) bool.
        reach_px: at least 0.

    Returns:
        (H, W) unsigned integers, exact below (reach_px + 1)^2; elsewhere some number that is not smaller than this.
    """
    reach_px = min(reach_px, sum(mask.shape))  # nothing is farther
    if reach_px > _MOST_SHIFTS and mask.any():
        return np.rint(np.asarray(ndimage.distance_transform_edt(~mask)) ** 2).astype(np.uint64)
    beyond = (reach_px + 1) ** 2
    distance = np.where(mask, 0, beyond).astype(np.min_scalar_type(beyond + 2 * reach_px**2))
    for axis in (1, 0):
        nearest = distance.copy()
        source, target = np.moveaxis(distance, axis, 0), np.moveaxis(nearest, axis, 0)
        for step in range(1, min(reach_px, len(source) - 1) + 1):
            farther = source + source.dtype.type(step**2)
            np.minimum(target[step:], farther[:-step], out=target[step:])
            np.minimum(target[:-step], farther[step:], out=target[:-step])
        distance = nearest
    return distance


def dilated(mask: np.ndarray, distance_px: float) -> np.ndarray:
    """A mask dilated by a disc: its own pixels, and those at most this far from them.

    Args:
        mask: (H, W) bool.
        distance_px: between the centres of pixels, at least 0.
    """
    distance_px = min(distance_px, sum(mask.shape))
    largest = int(distance_px**2) + 1
    while np.sqrt(largest) > distance_px:
        largest -= 1
    return squared_distance(mask, int(distance_px)) <= largest


def is_mask(labels: np.ndarray) -> bool:
    """Whether a label image has exactly one value besides 0, such as 0/1 or 0/255, so that it does not name cells."""
    inside = labels[labels != 0]
    return inside.size > 0 and bool((inside == inside[0]).all())


def cells_of(labels: np.ndarray) -> np.ndarray:
    """Take a label image as it is, and a mask (see `is_mask`) as its 4-connected components.

    Args:
        labels: (H, W) bool, integers, or floats that are whole numbers, 0 = background.

    Returns:
        (H, W) int32; the labels of a label image are kept, the components of a mask are 1...n.

    Raises:
        UserError: as `whole_numbers`.
    """
    labels = whole_numbers(labels, "the label image")
    return components(labels) if is_mask(labels) else labels


def whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Labels of any data type as int32, the values as they are.

    Args:
        values: bool, integers, or floats that are whole numbers (some programs save labels as 0.0, 1.0, 2.0).
        name: file or option that they come from, for errors.

    Raises:
        UserError: for NaN, infinity, fractions, negative values or values above 2^31 - 1.
    """
    if values.dtype.kind not in "biuf":
        raise UserError(f"{name}: labels must be whole numbers, got {values.dtype}; save them as integers")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise UserError(f"{name}: labels contain NaN or infinity; background must be 0")
        if (values != np.rint(values)).any():
            raise UserError(f"{name}: labels must be whole numbers, it holds fractions (a probability map?)")
    # As Python's numbers: 2^31 - 1 is not a float16 or float32, so that a comparison in these types would be another.
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > _LARGEST_LABEL:
        raise UserError(
            f"{name}: labels must be in 0 ... {_LARGEST_LABEL}, got {low} ... {high}; number the cells from 1, "
            "background is 0"
        )
    return values.astype(np.int32)


def label_values(labels: np.ndarray) -> np.ndarray:
    """The labels that occur, ascending, without the background."""
    values, _ = compact(labels)
    return values


def compact(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the labels 1...n without gaps, in ascending order.

    Args:
        labels: integers >= 0 of any shape, 0 = background.

    Returns:
        The labels that occur, (n,), ascending, without the background; and for each pixel the position of its label
        among them plus one, 0 in the background, int32, in the shape of `labels`.

    Raises:
        ValueError: for an array that does not hold integers, or holds negative ones.
    """
    if not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels must not be negative, got {labels.min()}")
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    largest = int(labels.max(initial=0))
    if largest <= labels.size:  # a table of all numbers is no larger than the image
        present = np.zeros(largest + 1, bool)
        present[labels.ravel()] = True
        present[0] = False
        return np.flatnonzero(present).astype(labels.dtype), np.cumsum(present, dtype=np.int32)[labels]
    flat = labels.ravel()
    first = _run_starts(flat[1:] != flat[:-1], flat.size)
    values, index = np.unique(np.append(np.zeros(1, flat.dtype), flat[first]), return_inverse=True)
    number = np.repeat(index[1:].astype(np.int32), np.diff(first, append=flat.size))
    return values[1:], number.reshape(labels.shape)


def renumber(labels: np.ndarray) -> np.ndarray:
    """Number the labels 1...n without gaps, keeping their order; (H, W) int32."""
    return compact(labels)[1]


def renumber_away(labels: np.ndarray, reserved: Sequence[int]) -> tuple[np.ndarray, dict[int, int]]:
    """Labels without numbers that mean something else, such as "not annotated".

    Args:
        labels: (H, W) integers.
        reserved: the numbers that no cell may have.

    Returns:
        (H, W) labels, and the new numbers, above all others, by the old.
    """
    clashing = np.intersect1d(label_values(labels), np.array(list(reserved), int)).tolist()
    if not clashing:
        return labels, {}
    first = max(int(labels.max()), *reserved) + 1
    numbers = {old: first + i for i, old in enumerate(clashing)}
    renumbered = labels.copy()
    for old, new in numbers.items():
        renumbered[labels == old] = new
    return renumbered, numbers


def remove_small(labels: np.ndarray, min_area_px: int, first: int = 1) -> np.ndarray:
    """Set labels of fewer than `min_area_px` pixels to 0, sparing those below `first`.

    Args:
        labels: (H, W) labels 1...n, as from `components` or `renumber`.
        min_area_px: the smallest area that stays.
        first: the first label that may be removed.
    """
    small = np.bincount(labels.ravel()) < min_area_px
    small[:first] = False
    return np.where(small[labels], 0, labels)


@dataclass(frozen=True)
class OverlapTable:
    """Areas and intersections of the cells of two label images; background (0) is left out.

    Attributes:
        reference_labels: (R,) labels of the reference cells, ascending.
        predicted_labels: (P,) labels of the predicted cells, ascending.
        reference_area: (R,) int64, pixels.
        predicted_area: (P,) int64, pixels.
        intersection: (R, P) sparse int64, pixels common to reference cell r and predicted cell p.
    """

    reference_labels: np.ndarray
    predicted_labels: np.ndarray
    reference_area: np.ndarray
    predicted_area: np.ndarray
    intersection: sparse.csr_array

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and Jaccard index |r ∩ p| / |r ∪ p| of all pairs of cells that overlap."""
        table = self.intersection.tocoo()
        rows, columns = table.coords
        union = self.reference_area[rows] + self.predicted_area[columns] - table.data
        return rows, columns, table.data / union


def overlap_table(reference: np.ndarray, predicted: np.ndarray) -> OverlapTable:
    """Count the joint labels of two label images, in one pass over the pixels.

    Args:
        reference: (H, W) integer labels of any width, 0 = background; labels need not be consecutive.
        predicted: (H, W) integer labels of the same kind.

    Raises:
        ValueError: for different shapes, or arrays that do not hold integers >= 0.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"reference is {reference.shape} but predicted is {predicted.shape}")
    for name, labels in (("reference", reference), ("predicted", predicted)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{name} must hold integer labels, got {labels.dtype}")
    # Neighbours mostly carry the same pair of labels, so that runs of pixels are far fewer than pixels.
    a, b = reference.ravel(), predicted.ravel()
    first = _run_starts((a[1:] != a[:-1]) | (b[1:] != b[:-1]), a.size)
    length = np.diff(first, append=a.size)
    reference_labels, rows = compact(a[first])
    predicted_labels, columns = compact(b[first])
    shape = (len(reference_labels) + 1, len(predicted_labels) + 1)
    joint = sparse.coo_array((length, (rows, columns)), shape=shape).tocsr()
    return OverlapTable(
        reference_labels=reference_labels,
        predicted_labels=predicted_labels,
        reference_area=np.asarray(joint.sum(axis=1))[1:],
        predicted_area=np.asarray(joint.sum(axis=0))[1:],
        intersection=joint[1:, 1:],
    )


def _run_starts(changes: np.ndarray, size: int) -> np.ndarray:
    """Where runs of equal values begin, given whether each value but the first differs from the one before."""
    return np.concatenate([np.zeros(min(size, 1), np.int64), np.flatnonzero(changes) + 1])


def majority_owners(labels: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the owner of each part: a part belongs to the cell that has more than half of its pixels.

    The parts may be nuclei of the cells, the cells of another segmentation, or those of a track.

    Args:
        labels: (H, W) labels of the cells, 0 = background.
        parts: (H, W) labels of the parts; their numbers are independent of the cells'.

    Returns:
        The part of every cell (if it owns several, the one that fills most of it), and the cell of every part. Both
        by ascending label, 0 where there is none.
    """
    table = overlap_table(labels, parts)
    joint = table.intersection.tocoo()
    rows, columns = joint.coords
    inside = 2 * joint.data > table.predicted_area[columns]
    rows, columns, overlap = rows[inside], columns[inside], joint.data[inside]
    cell_of_part = np.zeros(len(table.predicted_labels), np.int64)
    cell_of_part[columns] = table.reference_labels[rows]
    part_of_cell = np.zeros(len(table.reference_labels), np.int64)
    order = np.argsort(overlap, kind="stable")  # the largest is written last and stays
    part_of_cell[rows[order]] = table.predicted_labels[columns[order]]
    return part_of_cell, cell_of_part
