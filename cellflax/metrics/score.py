"""What the label images of a pair give to score them by, in one record, which pools over images."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

import numpy as np
import pandas as pd

from cellflax.labels import OverlapTable
from cellflax.metrics.detection import (
    IOU_THRESHOLDS,
    CellError,
    MatchCounts,
    count_matches,
    reference_errors,
    spurious_predictions,
)
from cellflax.metrics.f_score import f_scores
from cellflax.metrics.overlap import CellAccuracy, best_overlaps, compare_cells, predicted_jaccard
from cellflax.metrics.sm import PAPER_SM, SegmentationMetric, SmSettings, is_pair, segmentation_metric


@dataclass(frozen=True)
class CellScores:
    """Cells of one image, or of several pooled cell by cell, compared; what metrics are functions of.

    Attributes:
        accuracy: best overlap of each of the R reference cells.
        partner_label: (R,) predicted cell that stands for this reference cell alone, 0 without.
        f_score: (R,) F-score of the two, 0 without; see `f_score.corresponding_cells`.
        errors: (R,) CellError value of each reference cell.
        matches: one-to-one matching at each of IOU_THRESHOLDS.
        predicted_label: (P,) labels of the predicted cells.
        predicted_jaccard: (P,) Jaccard index of each with the reference cell that it overlaps best.
        n_spurious: predicted cells with less than half of their area on reference cells.
        tables: overlaps of the cells of each image.
        sm_settings: what `sm` leaves open.
    """

    accuracy: CellAccuracy
    partner_label: np.ndarray
    f_score: np.ndarray
    errors: np.ndarray
    matches: tuple[MatchCounts, ...]
    predicted_label: np.ndarray
    predicted_jaccard: np.ndarray
    n_spurious: int
    tables: tuple[OverlapTable, ...]
    sm_settings: SmSettings

    @property
    def n_reference(self) -> int:
        """Number of reference cells."""
        return len(self.errors)

    @property
    def n_predicted(self) -> int:
        """Number of predicted cells."""
        return len(self.predicted_label)

    @property
    def sm(self) -> SegmentationMetric:
        """SM of Al-Kofahi et al. 2018.

        Where nuclei are known, it is over the reference cells that hold one, as every cell of the paper's truth does:
        one that the border cuts off its nucleus is not missed, and the predicted cell at its place is not spurious.
        """
        counted, score = self.accuracy.in_index, self.f_score
        n_predicted = self.n_predicted - int(is_pair(score[~counted], self.sm_settings.min_jaccard).sum())
        return segmentation_metric(self.accuracy.dice[counted], score[counted], n_predicted, self.sm_settings)


def score_cells(
    reference: np.ndarray,
    predicted: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    border: int = 0,
    erode_reference: bool = False,
    ignored: np.ndarray | None = None,
    sm: SmSettings = PAPER_SM,
) -> CellScores:
    """Compare one image; arguments as in `overlap.compare_cells`, and `sm`: what SM leaves open."""
    table, in_index = compare_cells(
        reference, predicted, nuclei=nuclei, border=border, erode_reference=erode_reference, ignored=ignored
    )
    partner_label, f_score = f_scores(table)
    return CellScores(
        accuracy=best_overlaps(table, in_index),
        partner_label=partner_label,
        f_score=f_score,
        errors=reference_errors(table),
        matches=tuple(count_matches(table, threshold) for threshold in IOU_THRESHOLDS),
        predicted_label=table.predicted_labels,
        predicted_jaccard=predicted_jaccard(table),
        n_spurious=int(spurious_predictions(table).sum()),
        tables=(table,),
        sm_settings=sm,
    )


def pool(scores: Sequence[CellScores]) -> CellScores:
    """Pool images of the same settings: every cell weighs the same, whichever image it is in."""
    accuracy = CellAccuracy(
        *(np.concatenate([getattr(s.accuracy, f.name) for s in scores]) for f in fields(CellAccuracy))
    )
    return CellScores(
        accuracy=accuracy,
        partner_label=np.concatenate([s.partner_label for s in scores]),
        f_score=np.concatenate([s.f_score for s in scores]),
        errors=np.concatenate([s.errors for s in scores]),
        matches=tuple(reduce(add, at) for at in zip(*(s.matches for s in scores), strict=True)),
        predicted_label=np.concatenate([s.predicted_label for s in scores]),
        predicted_jaccard=np.concatenate([s.predicted_jaccard for s in scores]),
        n_spurious=sum(s.n_spurious for s in scores),
        tables=tuple(table for s in scores for table in s.tables),
        sm_settings=scores[0].sm_settings,
    )


def score_table(scores: dict[str, CellScores]) -> pd.DataFrame:
    """One row per reference cell; areas in pixels after border and erosion were applied.

    `matched_label`, `jaccard` and `dice` are of the best overlap, whose mean Dice is the first term of SM;
    `partner_label` and `f_score` of the one-to-one partner, and `sm_pair` marks the cells that the second term counts.
    """
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "image": name,
                    "reference_label": score.accuracy.reference_label,
                    "matched_label": score.accuracy.matched_label,
                    "jaccard": score.accuracy.jaccard,
                    "dice": score.accuracy.dice,
                    "partner_label": score.partner_label,
                    "f_score": score.f_score,
                    "sm_pair": is_pair(score.f_score, score.sm_settings.min_jaccard),
                    "reference_area_px": score.accuracy.reference_area,
                    "matched_area_px": score.accuracy.matched_area,
                    "in_index": score.accuracy.in_index,
                    "error_class": [CellError(error).name.lower() for error in score.errors],
                }
            )
            for name, score in scores.items()
        ],
        ignore_index=True,
    )
