"""Cells found, missed, split and merged: the instance metrics of the field, from the overlap table."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from cellflax.labels import OverlapTable

IOU_THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in range(50, 100, 5))


@dataclass(frozen=True)
class MatchCounts:
    """Result of one-to-one matching at one IoU threshold; the counts of several images add up (`+`).

    A ratio 0 / 0, such as the precision of no predictions, is NaN.

    Attributes:
        threshold: smallest IoU of a match.
        true_positives: matched pairs (TP).
        false_positives: predicted cells without a partner (FP).
        false_negatives: reference cells without a partner (FN).
        iou_sum: sum of the IoU of the matched pairs.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    iou_sum: float

    def __add__(self, other: "MatchCounts") -> "MatchCounts":
        if self.threshold != other.threshold:
            raise ValueError(f"cannot add counts at IoU {self.threshold} and {other.threshold}")
        return MatchCounts(
            self.threshold,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.iou_sum + other.iou_sum,
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); also the recognition quality RQ of Kirillov et al."""
        double = 2 * self.true_positives
        return _ratio(double, double + self.false_positives + self.false_negatives)

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), called AP by DSB 2018, StarDist and Cellpose."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the matched pairs (SQ)."""
        return _ratio(self.iou_sum, self.true_positives)

    @property
    def panoptic_quality(self) -> float:
        """SQ x RQ = iou_sum / (TP + FP / 2 + FN / 2) (PQ); Kirillov et al. 2019, at IoU 0.5."""
        either = self.false_positives + self.false_negatives
        return _ratio(self.iou_sum, self.true_positives + either / 2)


def matched_pairs(table: OverlapTable, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match reference and predicted cells one to one.

    Among all matchings whose pairs have IoU >= threshold, this one has the most pairs and then the largest
    sum of IoU (StarDist's convention). Above 0.5 no cell has two candidates.

    Returns:
        Rows and columns of the overlap table, and the IoU of each pair; each (TP,).
    """
    rows, columns, iou = table.pairs()
    candidate = iou >= threshold
    rows, columns, iou = rows[candidate], columns[candidate], iou[candidate]
    candidates_of_row = np.bincount(rows, minlength=len(table.reference_labels))
    candidates_of_column = np.bincount(columns, minlength=len(table.predicted_labels))
    contested = (candidates_of_row[rows] > 1) | (candidates_of_column[columns] > 1)
    chosen = ~contested
    chosen[contested] = _assign(rows[contested], columns[contested], iou[contested])
    return rows[chosen], columns[chosen], iou[chosen]


def right_cells(table: OverlapTable, threshold: float) -> np.ndarray:
    """(P,) bool: predicted cells that are right, because they have a partner at a threshold (see `matched_pairs`)."""
    right = np.zeros(len(table.predicted_labels), bool)
    right[matched_pairs(table, threshold)[1]] = True
    return right


def _assign(rows: np.ndarray, columns: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Choose the most pairs that share no row or column, then those of largest summed IoU; bool (n,)."""
    if not len(rows):
        return np.zeros(0, bool)
    rows, columns = np.unique(rows, return_inverse=True)[1], np.unique(columns, return_inverse=True)[1]
    n_rows, n_columns = rows.max() + 1, columns.max() + 1
    # The sparse solver pairs every row with some column, so each row gets a column of its own that means
    # "no partner". Its cost of 2 outweighs all IoU terms together (< 1/2), so the number of pairs comes first.
    own = np.arange(n_rows)
    cost = np.concatenate([1 - iou / (2 * n_rows + 1), np.full(n_rows, 2.0)])
    at = (np.concatenate([rows, own]), np.concatenate([columns, n_columns + own]))
    graph = sparse.csr_array((cost, at), shape=(n_rows, n_columns + n_rows))
    row, column = csgraph.min_weight_full_bipartite_matching(graph)
    has_partner = column < n_columns
    return np.isin(rows * n_columns + columns, row[has_partner] * n_columns + column[has_partner])


def count_matches(table: OverlapTable, threshold: float) -> MatchCounts:
    """Match one to one at a threshold (see `matched_pairs`) and count."""
    _, _, iou = matched_pairs(table, threshold)
    return MatchCounts(
        threshold=threshold,
        true_positives=len(iou),
        false_positives=len(table.predicted_labels) - len(iou),
        false_negatives=len(table.reference_labels) - len(iou),
        iou_sum=float(iou.sum()),
    )


def mean_average_precision(counts: Sequence[MatchCounts]) -> float:
    """AP averaged over the thresholds of `counts`; DSB 2018's score for IOU_THRESHOLDS on one image."""
    return float(np.mean([count.average_precision for count in counts]))


class CellError(IntEnum):
    """What became of a reference cell: the first of these that applies.

    A cell lies *mostly* in another if the other holds more than half of its area, which at most one can.
    """

    MISSED = 0  # less than half of its area is covered by predicted cells
    MERGED = 1  # under-segmentation: the predicted cell that it mostly lies in also holds most of another one
    SPLIT = 2  # over-segmentation: two or more predicted cells lie mostly in it
    CORRECT = 3  # matched one to one at IoU >= 0.5
    INACCURATE = 4  # found as one cell, but its outline is too far off for IoU 0.5


def reference_errors(table: OverlapTable) -> np.ndarray:
    """(R,) CellError value of each reference cell."""
    overlap = table.intersection.tocoo()
    rows, columns = overlap.coords
    n_rows, n_columns = len(table.reference_labels), len(table.predicted_labels)
    reference_inside = 2 * overlap.data > table.reference_area[rows]
    predicted_inside = 2 * overlap.data > table.predicted_area[columns]
    references_held = np.bincount(columns[reference_inside], minlength=n_columns)
    merged_rows = rows[reference_inside & (references_held[columns] > 1)]
    pieces = np.bincount(rows[predicted_inside], minlength=n_rows)
    covered = np.asarray(table.intersection.sum(axis=1))

    errors = np.full(n_rows, CellError.INACCURATE)
    errors[matched_pairs(table, 0.5)[0]] = CellError.CORRECT
    errors[pieces > 1] = CellError.SPLIT
    errors[merged_rows] = CellError.MERGED
    errors[2 * covered < table.reference_area] = CellError.MISSED
    return errors


def spurious_predictions(table: OverlapTable) -> np.ndarray:
    """(P,) bool: predicted cells with less than half of their area on reference cells."""
    return 2 * np.asarray(table.intersection.sum(axis=0)) < table.predicted_area


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
