"""Scores of held-out cells as sums over parts of the regions, and the standard error of the difference of two."""

from dataclasses import dataclass

import numpy as np

from cellflax.labels import compact, overlap_table
from cellflax.metrics.detection import matched_pairs
from cellflax.metrics.overlap import best_overlaps, compared_cells
from cellflax.training.tuner import TuneIndex

# IoU of a match. F1 counts cells, panoptic quality weighs each match by its IoU.
_IOU = {
    TuneIndex.f1_50: (0.5,),
    TuneIndex.f1_70: (0.7,),
    TuneIndex.mean_f1: (0.5, 0.6, 0.7, 0.8, 0.9),
    TuneIndex.pq: (0.5,),
}


@dataclass(frozen=True)
class PartCounts:
    """What an index is computed from: the mean over T ratios, each of two sums over P parts of the regions.

    Attributes:
        gained: (T, P) numerators.
        possible: (T, P) denominators.
    """

    gained: np.ndarray
    possible: np.ndarray

    @property
    def value(self) -> float:
        """The index of all parts; 0 where there is nothing to find and nothing was found."""
        return float(_index(self.gained.sum(axis=1), self.possible.sum(axis=1)))


def join(counts: list[PartCounts]) -> PartCounts:
    """The parts of several regions."""
    return PartCounts(*(np.concatenate([getattr(c, name) for c in counts], axis=1) for name in ("gained", "possible")))


def gain_error(before: PartCounts, after: PartCounts) -> float:
    """Standard error of the difference of two indices of the same parts, by a jackknife that leaves out a part each.

    Parts without any cell do not count.

    Returns:
        Infinity with fewer than two parts, because then nothing is known.
    """
    held = (before.possible.sum(axis=0) > 0) | (after.possible.sum(axis=0) > 0)
    n = int(held.sum())
    if n < 2:
        return float("inf")
    without = [
        _index(*(side.sum(axis=1, keepdims=True) - side[:, held] for side in (counts.gained, counts.possible)))
        for counts in (before, after)
    ]
    difference = without[1] - without[0]
    return float(np.sqrt((n - 1) / n * np.sum((difference - difference.mean()) ** 2)))


def part_counts(
    index: TuneIndex,
    reference: np.ndarray,
    predicted: np.ndarray,
    parts: tuple[int, int],
    *,
    nuclei: np.ndarray | None = None,
    ignored: np.ndarray | None = None,
) -> PartCounts:
    """Compare one region. A cell belongs to the part that its centre lies in.

    Args:
        index: the index.
        reference: (H, W) labels.
        predicted: (H, W) labels.
        parts: rows and columns of the grid that divides the region.
        nuclei: (H, W), not zero inside nuclei; only `jaccard` is over the reference cells that hold one.
        ignored: (H, W) codes of what is not annotated.
    """
    reference, predicted = compared_cells(reference, predicted, ignored=ignored)
    table = overlap_table(reference, predicted)
    row_parts, n = _parts_of(reference, parts), parts[0] * parts[1]
    if index is TuneIndex.jaccard:
        counted = np.ones(len(table.reference_labels), bool)
        if nuclei is not None:
            counted = np.isin(table.reference_labels, reference[nuclei != 0])
        jaccard = best_overlaps(table, counted).jaccard
        sums = [np.bincount(row_parts[counted], weights, n) for weights in (jaccard[counted], counted[counted])]
        return PartCounts(*(each[None].astype(float) for each in sums))
    # A match counts half in the part of either cell, so that every sum is over cells, whose parts are fixed.
    column_parts = _parts_of(predicted, parts)
    cells = (np.bincount(row_parts, minlength=n) + np.bincount(column_parts, minlength=n)) / 2
    gained = []
    for threshold in _IOU[index]:
        rows, columns, iou = matched_pairs(table, threshold)
        weights = (iou if index is TuneIndex.pq else np.ones(len(iou))) / 2
        gained.append(np.bincount(row_parts[rows], weights, n) + np.bincount(column_parts[columns], weights, n))
    return PartCounts(np.array(gained, float), np.broadcast_to(cells.astype(float), (len(gained), n)))


def _index(gained: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Mean over the first axis of the ratios, 0 for 0 / 0."""
    return np.divide(gained, possible, out=np.zeros_like(gained, float), where=possible > 0).mean(axis=0)


def _parts_of(labels: np.ndarray, parts: tuple[int, int]) -> np.ndarray:
    """(n,) part of each cell's centre, by ascending label."""
    values, number = compact(labels)
    if parts == (1, 1) or not len(values):
        return np.zeros(len(values), np.intp)
    inside = np.nonzero(number)
    which = number[inside] - 1
    area = np.bincount(which, minlength=len(values))
    found = np.zeros(len(values), np.intp)
    for axis, count in enumerate(parts):
        centre = np.bincount(which, inside[axis], len(values)) / area
        found = found * count + np.minimum(centre * count / labels.shape[axis], count - 1).astype(np.intp)
    return found
