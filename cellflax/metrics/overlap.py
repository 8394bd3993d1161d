"""The accuracy index of Van Valen et al. 2016, from the overlaps of the cells of two label images.

Everything here and in `detection` starts from one sparse table of joint label counts
(`cellflax.labels.overlap_table`); nothing loops over pairs of cells.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.labels import OverlapTable, components, overlap_table
from cellflax.metrics.comparable import comparable_parts

_DISK_1 = ndimage.generate_binary_structure(2, 1)  # the 3 x 3 cross: a disk of radius 1


@dataclass(frozen=True)
class CellAccuracy:
    """The best-overlapping predicted cell of every reference cell.

    Attributes:
        reference_label: (R,) labels of the reference cells.
        reference_area: (R,) pixels.
        matched_label: (R,) predicted cell of largest Jaccard index (the lowest label of equals);
            0 where none overlaps. One predicted cell may be the best of several reference cells.
        matched_area: (R,) pixels, 0 where none overlaps.
        jaccard: (R,) |r ∩ p| / |r ∪ p|, 0 where none overlaps.
        dice: (R,) 2 |r ∩ p| / (|r| + |p|), 0 where none overlaps.
        in_index: (R,) bool, the cells the means are taken over: those that hold a nucleus, or all.
    """

    reference_label: np.ndarray
    reference_area: np.ndarray
    matched_label: np.ndarray
    matched_area: np.ndarray
    jaccard: np.ndarray
    dice: np.ndarray
    in_index: np.ndarray

    @property
    def n_cells(self) -> int:
        """Number of reference cells the means are taken over."""
        return int(self.in_index.sum())

    @property
    def mean_jaccard(self) -> float:
        """The paper's Jaccard index (JI); NaN without cells."""
        return float(self.jaccard[self.in_index].mean()) if self.n_cells else float("nan")

    @property
    def mean_dice(self) -> float:
        """The paper's Dice index (DI); NaN without cells."""
        return float(self.dice[self.in_index].mean()) if self.n_cells else float("nan")


def best_overlaps(table: OverlapTable, in_index: np.ndarray) -> CellAccuracy:
    """Find the best-overlapping predicted cell of each reference cell; `in_index` as in CellAccuracy."""
    rows, columns, jaccard = table.pairs()
    best_first = np.lexsort((columns, -jaccard, rows))
    matched, first = np.unique(rows[best_first], return_index=True)
    best = best_first[first]
    n = len(table.reference_labels)
    label = np.zeros(n, table.predicted_labels.dtype)
    area = np.zeros(n, np.int64)
    best_jaccard = np.zeros(n)
    label[matched] = table.predicted_labels[columns[best]]
    area[matched] = table.predicted_area[columns[best]]
    best_jaccard[matched] = jaccard[best]
    return CellAccuracy(
        reference_label=table.reference_labels,
        reference_area=table.reference_area,
        matched_label=label,
        matched_area=area,
        jaccard=best_jaccard,
        dice=2 * best_jaccard / (1 + best_jaccard),
        in_index=in_index,
    )


def predicted_jaccard(table: OverlapTable) -> np.ndarray:
    """(P,) Jaccard index of each predicted cell with the reference cell that it overlaps best; 0 without any."""
    _, columns, iou = table.pairs()
    best = np.zeros(len(table.predicted_labels))
    np.maximum.at(best, columns, iou)
    return best


def erode_cells(labels: np.ndarray) -> np.ndarray:
    """Erode every cell of an (H, W) label image, or a bool mask, by disk(1).

    A pixel stays if its four neighbours carry its own label, so that touching cells come apart; as in
    scikit-image the image's border erodes nothing.
    """
    values = labels.view(np.uint8) if labels.dtype == bool else labels
    lowest = ndimage.minimum_filter(values, footprint=_DISK_1, mode="nearest")
    highest = ndimage.maximum_filter(values, footprint=_DISK_1, mode="nearest")
    return np.where(lowest == highest, labels, np.zeros_like(labels))


def crop_border(image: np.ndarray, border: int) -> np.ndarray:
    """Cut `border` pixels off each side of an (H, W, ...) image.

    Raises:
        UserError: if nothing is left.
    """
    height, width = image.shape[:2]
    if 2 * border >= min(height, width):
        raise UserError(f"border={border} leaves nothing of a {height} x {width} image; give a smaller border")
    return image[border : height - border, border : width - border]


def compared_cells(
    reference: np.ndarray,
    predicted: np.ndarray,
    *,
    border: int = 0,
    erode_reference: bool = False,
    ignored: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce two images to the label images that are compared.

    The order matters, and is the one that gives the paper's published values: the reference is eroded,
    both are cropped, and only then is a reference mask split into connected components.

    Args:
        reference: (H, W) integer labels, or a bool mask whose 4-connected components are the cells.
        predicted: (H, W) labels or a mask; the components of a mask are found before cropping.
        border: pixels cut off each side.
        erode_reference: erode each reference cell by disk(1).
        ignored: (H, W) codes of what is not annotated, see `cellflax.ignored`; None if everything is. What is left out
            for it: `comparable_parts`.

    Returns:
        Integer labels of both, (H - 2 border, W - 2 border).
    """
    if erode_reference:
        reference = erode_cells(reference)
    if predicted.dtype == bool:
        predicted = components(predicted)
    reference, predicted = crop_border(reference, border), crop_border(predicted, border)
    if reference.dtype == bool:
        reference = components(reference)
    return (
        (reference, predicted)
        if ignored is None
        else comparable_parts(reference, predicted, crop_border(ignored, border))
    )


def compare_cells(
    reference: np.ndarray,
    predicted: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    border: int = 0,
    erode_reference: bool = False,
    ignored: np.ndarray | None = None,
) -> tuple[OverlapTable, np.ndarray]:
    """Overlap table of the compared cells, and which reference cells hold a nucleus.

    Args:
        reference: as in `compared_cells`.
        predicted: as in `compared_cells`.
        nuclei: (H, W), not zero inside nuclei; without it every reference cell counts as holding one.
        border: pixels cut off each side.
        erode_reference: erode each reference cell by disk(1).
        ignored: as in `compared_cells`.

    Returns:
        The table, and (R,) bool.
    """
    if nuclei is not None and nuclei.shape != reference.shape:
        raise ValueError(f"reference is {reference.shape} but nuclei is {nuclei.shape}")
    reference, predicted = compared_cells(
        reference, predicted, border=border, erode_reference=erode_reference, ignored=ignored
    )
    table = overlap_table(reference, predicted)
    if nuclei is None:
        return table, np.ones(len(table.reference_labels), bool)
    with_nucleus = np.unique(reference[crop_border(nuclei, border) != 0])
    return table, np.isin(table.reference_labels, with_nucleus)


def accuracy_index(
    reference: np.ndarray,
    predicted: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    border: int = 0,
    erode_reference: bool = False,
) -> CellAccuracy:
    """Score predicted cells by the index of Van Valen et al. 2016, PLoS Comput Biol 12(11):e1005177.

    It gives every reference cell that holds a nucleus the Jaccard and Dice index of the best-overlapping
    predicted cell; the paper's Table 1 gives the means. Its settings are border=30 (the receptive field's
    radius for 61 x 61 networks), erode_reference=True, and the nuclei of its own segmentation.
    The arguments are those of `compare_cells`.
    """
    return best_overlaps(
        *compare_cells(reference, predicted, nuclei=nuclei, border=border, erode_reference=erode_reference)
    )
