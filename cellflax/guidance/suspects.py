"""Annotated cells that a network does not agree with, and how sure it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import ndimage

from cellflax.labels import OverlapTable, compact, overlap_table
from cellflax.metrics.comparable import comparable_parts
from cellflax.metrics.detection import CellError, reference_errors, spurious_predictions
from cellflax.metrics.overlap import best_overlaps, predicted_jaccard

LEAST_CONFIDENCE = 0.5  # below it, the network itself rather agrees with the annotation
_LEAST_IOU = 0.1  # of a cell and an annotation that are one cell with two outlines
_BAND_PX = 1.5  # two cells count as nearest where they are at most so much farther apart than at the nearest place


class Doubt(Enum):
    """In what a network does not agree with an annotation; the values are words for a person."""

    not_there = "annotated, and the network sees background"
    not_annotated = "the network sees a cell that is not annotated"
    seen_as_one = "annotated as two cells, and the network sees one"
    seen_as_several = "annotated as one cell, and the network sees several"
    outline = "the network draws the outline elsewhere"


@dataclass(frozen=True)
class Suspect:
    """A place where a network does not agree with the annotation.

    Attributes:
        kind: in what.
        label: the annotated cell, 0 if none is annotated.
        other: the second annotated cell of `seen_as_one`, else 0.
        y: row of the middle of the cell, pixels of the image.
        x: column of it.
        confidence: how sure the network is, in [0, 1]: the mean of its own probabilities over the pixels that decide.
        iou: of the annotated cell and the predicted one that overlaps it most.
        area_px: pixels of the annotated cell; of the predicted one where none is annotated.
        box: rows and columns of all cells concerned.
    """

    kind: Doubt
    label: int
    other: int
    y: float
    x: float
    confidence: float
    iou: float
    area_px: int
    box: tuple[slice, slice]


def find_suspects(
    reference: np.ndarray,
    predicted: np.ndarray,
    foreground: np.ndarray,
    interior: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    ignored: np.ndarray | None = None,
) -> list[Suspect]:
    """Compare an annotation with what a network sees.

    Args:
        reference: (H, W) annotated cells, 0 = background.
        predicted: (H, W) cells of the network.
        foreground: (H, W) probability that a pixel is no background.
        interior: (H, W) probability that a pixel is inside a cell; low between cells that touch.
        nuclei: (H, W) nuclei that the predicted cells were grown from, or None. Two of them in one annotated cell are
            the evidence for two cells.
        ignored: (H, W) codes of what is not annotated, see `cellflax.ignored`; nothing is said about that.

    Returns:
        Those with a confidence of 0.5 or more, the surest first.
    """
    if ignored is not None:
        reference, predicted = comparable_parts(reference, predicted, ignored)
    found = _Comparison(reference, predicted, foreground, interior, nuclei, ignored).suspects()
    return sorted((s for s in found if s.confidence >= LEAST_CONFIDENCE), key=lambda s: (-s.confidence, s.y, s.x))


class _Comparison:
    """Overlaps of two label images, and their cells by number: row r of the table is the annotated cell r + 1."""

    def __init__(
        self,
        reference: np.ndarray,
        predicted: np.ndarray,
        foreground: np.ndarray,
        interior: np.ndarray,
        nuclei: np.ndarray | None,
        ignored: np.ndarray | None,
    ):
        self._foreground, self._interior = foreground, interior
        self._nuclei, self._ignored = nuclei, ignored
        self._table: OverlapTable = overlap_table(reference, predicted)
        self._names, self._reference = compact(reference)
        _, self._predicted = compact(predicted)
        self._reference_boxes = ndimage.find_objects(self._reference)
        self._predicted_boxes = ndimage.find_objects(self._predicted)
        best = best_overlaps(self._table, np.ones(len(self._names), bool))
        self._iou, self._predicted_iou = best.jaccard, predicted_jaccard(self._table)
        self._match = np.searchsorted(self._table.predicted_labels, best.matched_label)  # of cells that have one
        joint = self._table.intersection.tocoo()
        self._rows, self._columns = joint.coords
        self._in_predicted = 2 * joint.data > self._table.reference_area[self._rows]
        self._in_reference = 2 * joint.data > self._table.predicted_area[self._columns]

    def suspects(self) -> Iterator[Suspect]:
        """All places, however sure the network is."""
        yield from self._seen_as_one()
        yield from self._seen_as_several()
        errors, spurious = reference_errors(self._table), spurious_predictions(self._table)
        explained = set()
        for r in np.flatnonzero((errors == CellError.MISSED) | (errors == CellError.INACCURATE)).tolist():
            if self._is_one_cell(r) or errors[r] == CellError.INACCURATE:
                explained.add(int(self._match[r]))
                yield self._outline(r)
            else:
                yield self._not_there(r)
        for p in np.flatnonzero(spurious).tolist():
            if p not in explained:
                yield self._not_annotated(p)

    def _is_one_cell(self, r: int) -> bool:
        """Whether an annotated cell and the predicted one that overlaps it most are each other's best."""
        if self._iou[r] < _LEAST_IOU:
            return False
        return bool(self._iou[r] >= self._predicted_iou[self._match[r]])

    def _seen_as_one(self) -> Iterator[Suspect]:
        """Each annotated cell but the largest in a predicted one that holds several, with the nearest of the others."""
        columns = self._columns[self._in_predicted]
        rows = self._rows[self._in_predicted]
        for p in np.flatnonzero(np.bincount(columns, minlength=1) > 1).tolist():
            held = rows[columns == p]
            held = held[np.argsort(-self._table.reference_area[held], kind="stable")].tolist()
            for index, r in enumerate(held[1:], start=1):
                other = min(held[:index], key=lambda other, r=r: self._between(r, other))
                box, zone = self._contact(self._reference, r, other)
                confidence = float(self._interior[box][zone].mean())
                yield self._of_reference(Doubt.seen_as_one, r, confidence, other=other)

    def _seen_as_several(self) -> Iterator[Suspect]:
        """Annotated cells that hold several predicted ones; the two largest of those decide."""
        rows = self._rows[self._in_reference]
        columns = self._columns[self._in_reference]
        for r in np.flatnonzero(np.bincount(rows, minlength=1) > 1).tolist():
            held = columns[rows == r]
            held = held[np.argsort(-self._table.predicted_area[held], kind="stable")].tolist()
            if self._nuclei is not None:
                confidence = self._mean_in(self._foreground, self._predicted, self._predicted_boxes, held[1])
            else:
                box, zone = self._contact(self._predicted, held[0], held[1])
                confidence = float(1 - self._interior[box][zone].mean())
            yield self._of_reference(Doubt.seen_as_several, r, confidence)

    def _outline(self, r: int) -> Suspect:
        """How sure the network is of the pixels that only one of the two outlines holds."""
        p = int(self._match[r])
        box = _around(self._reference_boxes[r], self._predicted_boxes[p])
        predicted = self._predicted[box]
        disputed = (self._reference[box] == r + 1) != (predicted == p + 1)
        foreground = self._foreground[box]
        sure = np.where(predicted > 0, foreground, 1 - foreground)[disputed]
        return self._of_reference(Doubt.outline, r, float(sure.mean()), box=box)

    def _not_there(self, r: int) -> Suspect:
        seen = self._mean_in(self._foreground, self._reference, self._reference_boxes, r)
        return self._of_reference(Doubt.not_there, r, 1 - seen)

    def _not_annotated(self, p: int) -> Suspect:
        box = self._predicted_boxes[p]
        inside = (self._predicted[box] == p + 1) & (self._reference[box] == 0)
        if self._ignored is not None:
            inside &= self._ignored[box] == 0
        sure = float(self._foreground[box][inside].mean()) if inside.any() else 0.0
        y, x = _middle(self._predicted[box] == p + 1, box)
        area = int(self._table.predicted_area[p])
        return Suspect(Doubt.not_annotated, 0, 0, y, x, sure, float(self._predicted_iou[p]), area, box)

    def _of_reference(
        self,
        kind: Doubt,
        r: int,
        confidence: float,
        *,
        other: int | None = None,
        box: tuple[slice, slice] | None = None,
    ) -> Suspect:
        own = self._reference_boxes[r]
        inside = self._reference[own] == r + 1
        box = box or own
        if other is not None:
            box = _around(own, self._reference_boxes[other])
            own, inside = box, np.isin(self._reference[box], (r + 1, other + 1))
        y, x = _middle(inside, own)
        return Suspect(
            kind=kind,
            label=int(self._names[r]),
            other=0 if other is None else int(self._names[other]),
            y=y,
            x=x,
            confidence=confidence,
            iou=float(self._iou[r]),
            area_px=int(self._table.reference_area[r]),
            box=box,
        )

    def _between(self, a: int, b: int) -> float:
        """Distance of the middles of two annotated cells' boxes, pixels."""
        boxes = self._reference_boxes[a], self._reference_boxes[b]
        (y, x), (v, u) = (((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2) for rows, columns in boxes)
        return float(np.hypot(y - v, x - u))

    def _contact(self, labels: np.ndarray, a: int, b: int) -> tuple[tuple[slice, slice], np.ndarray]:
        """A box around two cells, and the pixels half way between them where they are nearest."""
        boxes = self._reference_boxes if labels is self._reference else self._predicted_boxes
        box = _around(boxes[a], boxes[b])
        to_a, to_b = (np.asarray(ndimage.distance_transform_edt(labels[box] != n + 1)) for n in (a, b))
        distance = to_a + to_b
        half_way = (distance <= distance.min() + _BAND_PX) & (np.abs(to_a - to_b) <= 1)
        return box, half_way

    def _mean_in(self, values: np.ndarray, labels: np.ndarray, boxes: list, index: int) -> float:
        box = boxes[index]
        return float(values[box][labels[box] == index + 1].mean())


def _around(a: tuple[slice, slice], b: tuple[slice, slice]) -> tuple[slice, slice]:
    """The smallest box that holds two."""
    rows, columns = (
        slice(min(first.start, second.start), max(first.stop, second.stop)) for first, second in zip(a, b, strict=True)
    )
    return rows, columns


def _middle(inside: np.ndarray, box: tuple[slice, slice]) -> tuple[float, float]:
    """Row and column of the middle of a mask in a box."""
    y, x = (float(indices.mean()) for indices in np.nonzero(inside))
    return box[0].start + y, box[1].start + x
