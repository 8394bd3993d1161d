"""The metrics of cells that `cellflax.evaluate` reports: one line each in `METRICS`."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cellflax.metrics.detection import CellError, mean_average_precision
from cellflax.metrics.f_score import curve_area, share_at_least
from cellflax.metrics.score import CellScores

# P2 (Sadanandan et al. 2017) reports the share of cells at this F-score and above.
_F_OF_SHARE = 0.6

# What numbers or, for JSON, lists and dictionaries of them a metric makes of one image, or of several pooled.
# NaN, such as a ratio 0 / 0, is undefined.
Metric = Callable[[CellScores], Any]


def _share_of_good(f_score: np.ndarray) -> float:
    return float(share_at_least(f_score, np.array([_F_OF_SHARE]))[0])


def _by_iou(scores: CellScores) -> list[dict[str, float | int | None]]:
    """Counts and ratios at each IoU threshold."""
    return [
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
        for match in scores.matches
    ]


def _error_counts(scores: CellScores) -> dict[str, int]:
    """How many reference cells there are of each `CellError`."""
    counts = np.bincount(scores.errors, minlength=len(CellError))
    return {error.name.lower(): int(counts[error]) for error in CellError}


# `jaccard_index`, `dice_index` and SM are over the `n_cells_in_index` reference cells that hold a nucleus, where nuclei
# are known; everything else counts all cells. Ratios without a threshold in their name are at IoU 0.5.
METRICS: dict[str, Metric] = {
    "jaccard_index": lambda scores: scores.accuracy.mean_jaccard,
    "dice_index": lambda scores: scores.accuracy.mean_dice,
    "n_cells_in_index": lambda scores: scores.accuracy.n_cells,
    "n_reference": lambda scores: scores.n_reference,
    "n_predicted": lambda scores: scores.n_predicted,
    "precision": lambda scores: scores.matches[0].precision,
    "recall": lambda scores: scores.matches[0].recall,
    "f1": lambda scores: scores.matches[0].f1,
    "panoptic_quality": lambda scores: scores.matches[0].panoptic_quality,
    "segmentation_quality": lambda scores: scores.matches[0].segmentation_quality,
    "recognition_quality": lambda scores: scores.matches[0].f1,
    "mean_average_precision": lambda scores: mean_average_precision(scores.matches),
    "sm": lambda scores: scores.sm.value,
    "sm_outlines": lambda scores: scores.sm.outlines,
    "sm_detection": lambda scores: scores.sm.detection,
    "share_f_0.6": lambda scores: _share_of_good(scores.f_score),
    "f_score_area": lambda scores: curve_area(scores.f_score),
    "by_iou": _by_iou,
    "cells": _error_counts,
    "spurious": lambda scores: scores.n_spurious,
}


def cell_metrics(scores: CellScores) -> dict[str, Any]:
    """All of `METRICS` for JSON; undefined ones are None."""
    return {name: _defined(metric(scores)) for name, metric in METRICS.items()}


def f_score_summary(f_score: np.ndarray) -> dict[str, float | None]:
    """Those of `METRICS` that the F-scores alone give, for JSON."""
    return {"share_f_0.6": _defined(_share_of_good(f_score)), "f_score_area": _defined(curve_area(f_score))}


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def metrics_line(metrics: Mapping[str, float | int | None]) -> str:
    """Names and values in one line, a dash where a value is undefined."""
    values = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in metrics.items()}
    return "  ".join(f"{name} {'-' if value is None else value}" for name, value in values.items())
