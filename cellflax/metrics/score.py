"""All cell metrics of an image in one record, which pools over images and turns into JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from cellflax.metrics.detection import (
    IOU_THRESHOLDS,
    CellError,
    MatchCounts,
    count_matches,
    mean_average_precision,
    reference_errors,
    spurious_predictions,
)
from cellflax.metrics.f_score import curve_area, f_scores, share_at_least
from cellflax.metrics.overlap import CellAccuracy, best_overlaps, compare_cells, predicted_jaccard
from cellflax.metrics.sm import PAPER_K, SegmentationMetric, is_pair, segmentation_metric

_F_OF_SHARE = 0.6  # P2 (Sadanandan et al. 2017) reports the share of cells at this F-score and above


@dataclass(frozen=True)
class CellScores:
    """Metrics of one image, or of several pooled cell by cell.

    Attributes:
        accuracy: best overlap of each of the R reference cells.
        partner_label: (R,) predicted cell that stands for this reference cell alone, 0 without.
        f_score: (R,) F-score of the two, 0 without; see `f_score.corresponding_cells`.
        errors: (R,) CellError value of each reference cell.
        matches: one-to-one matching at each of IOU_THRESHOLDS.
        predicted_label: (P,) labels of the predicted cells.
        predicted_jaccard: (P,) Jaccard index of each with the reference cell that it overlaps best.
        n_spurious: predicted cells with less than half of their area on reference cells.
    """

    accuracy: CellAccuracy
    partner_label: np.ndarray
    f_score: np.ndarray
    errors: np.ndarray
    matches: tuple[MatchCounts, ...]
    predicted_label: np.ndarray
    predicted_jaccard: np.ndarray
    n_spurious: int

    @property
    def n_predicted(self) -> int:
        """Number of predicted cells."""
        return len(self.predicted_label)

    def segmentation_metric(self, k: float = PAPER_K, min_jaccard: float = 0.0) -> SegmentationMetric:
        """SM of Al-Kofahi et al. 2018; arguments as in `sm.segmentation_metric`.

        Where nuclei are known, it is over the reference cells that hold one, as every cell of the paper's truth does:
        one that the border cuts off its nucleus is not missed, nor is the predicted cell that stands for it spurious.
        """
        counted, score = self.accuracy.in_index, self.f_score
        n_predicted = self.n_predicted - int(is_pair(score[~counted], min_jaccard).sum())
        return segmentation_metric(
            self.accuracy.dice[counted], score[counted], n_predicted, k=k, min_jaccard=min_jaccard
        )

    def summary(self, sm_k: float = PAPER_K, sm_min_jaccard: float = 0.0) -> dict[str, Any]:
        """Values for JSON; undefined ratios (0 / 0) are None.

        `jaccard_index`, `dice_index` and SM are over the `n_cells_in_index` reference cells that hold a nucleus, where
        nuclei are known; everything else counts all cells. The arguments are the settings of SM.
        """
        at_half = self.matches[0]
        sm = self.segmentation_metric(sm_k, sm_min_jaccard)
        counts = np.bincount(self.errors, minlength=len(CellError))
        return {
            "jaccard_index": _defined(self.accuracy.mean_jaccard),
            "dice_index": _defined(self.accuracy.mean_dice),
            "n_cells_in_index": self.accuracy.n_cells,
            "n_reference": len(self.errors),
            "n_predicted": self.n_predicted,
            "precision": _defined(at_half.precision),
            "recall": _defined(at_half.recall),
            "f1": _defined(at_half.f1),
            "panoptic_quality": _defined(at_half.panoptic_quality),
            "segmentation_quality": _defined(at_half.segmentation_quality),
            "recognition_quality": _defined(at_half.f1),
            "mean_average_precision": _defined(mean_average_precision(self.matches)),
            "sm": _defined(sm.value),
            "sm_outlines": _defined(sm.outlines),
            "sm_detection": _defined(sm.detection),
            **f_score_summary(self.f_score),
            "by_iou": [
                {
                    "iou": match.threshold,
                    "true_positives": match.true_positives,
                    "false_positives": match.false_positives,
                    "false_negatives": match.false_negatives,
                    "precision": _defined(match.precision),
                    "recall": _defined(match.recall),
                    "f1": _defined(match.f1),
                    "average_precision": _defined(match.average_precision),
                }
                for match in self.matches
            ],
            "cells": {error.name.lower(): int(counts[error]) for error in CellError},
            "spurious": self.n_spurious,
        }


def f_score_summary(f_score: np.ndarray) -> dict[str, float | None]:
    """`share_f_0.6`, the share of cells with F >= 0.6, and `f_score_area`, the area under the curve, for JSON."""
    share = float(share_at_least(f_score, np.array([_F_OF_SHARE]))[0])
    return {f"share_f_{_F_OF_SHARE}": _defined(share), "f_score_area": _defined(curve_area(f_score))}


def score_cells(
    reference: np.ndarray,
    predicted: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    border: int = 0,
    erode_reference: bool = False,
) -> CellScores:
    """Score one image; arguments as in `overlap.compare_cells`."""
    table, in_index = compare_cells(reference, predicted, nuclei=nuclei, border=border, erode_reference=erode_reference)
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
    )


def pool(scores: Sequence[CellScores]) -> CellScores:
    """Pool images: every cell weighs the same, whichever image it is in."""
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
    )


def score_table(scores: dict[str, CellScores], sm_min_jaccard: float = 0.0) -> pd.DataFrame:
    """One row per reference cell; areas in pixels after border and erosion were applied.

    `matched_label`, `jaccard` and `dice` are of the best overlap, whose mean Dice is the first term of SM;
    `partner_label` and `f_score` of the one-to-one partner, and `sm_pair` tells which cells the second term counts.
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
                    "sm_pair": is_pair(score.f_score, sm_min_jaccard),
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


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
