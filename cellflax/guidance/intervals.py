"""Held-out scores with their uncertainty, by resampling what was held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflax.metrics.score import CellScores

_RESAMPLES = 2000
_SEED = 0
_PERCENT = (2.5, 97.5)
ENOUGH_IMAGES = 6  # of which samples are drawn; of fewer, cells are drawn


@dataclass(frozen=True)
class Interval:
    """A score with the ends of its 95 % confidence interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None:
            return "unknown"
        return f"{self.value:.2f}" + ("" if self.low is None else f" ({self.low:.2f} to {self.high:.2f})")


@dataclass(frozen=True)
class HeldOutScores:
    """What the held-out regions say of a network.

    Attributes:
        f1: of the cells matched at IoU 0.5.
        jaccard: mean Jaccard index of the reference cells with their best match (that hold a nucleus, where known).
        drawn: what the samples of the bootstrap are drawn of: images, or cells where there are few images.
    """

    f1: Interval
    jaccard: Interval
    drawn: str


def with_intervals(scores: Sequence[CellScores]) -> HeldOutScores:
    """F1 and Jaccard index of regions, pooled over their cells, with bootstrap intervals (percentiles 2.5 and 97.5).

    Cells of an image are alike, so that images are drawn where there are 6 or more. Of fewer images, cells are drawn;
    that understates the uncertainty for images of another kind.
    """
    rng = np.random.default_rng(_SEED)
    counts = np.array([_counts(each) for each in scores])
    jaccard = [each.accuracy.jaccard[each.accuracy.in_index] for each in scores]
    sums = np.array([(each.sum(), len(each)) for each in jaccard], np.float64)
    if len(scores) >= ENOUGH_IMAGES:
        drawn = rng.integers(0, len(scores), (_RESAMPLES, len(scores)))
        f1, means = _f1(counts[drawn].sum(axis=1)), _mean(sums[drawn].sum(axis=1))
    else:
        f1, means = _f1(_drawn_cells(rng, counts.sum(axis=0))), _drawn_means(rng, np.concatenate(jaccard))
    return HeldOutScores(
        f1=_interval(_f1(counts.sum(axis=0)[None]), f1),
        jaccard=_interval(_mean(sums.sum(axis=0)[None]), means),
        drawn="images" if len(scores) >= ENOUGH_IMAGES else "cells",
    )


def _counts(scores: CellScores) -> tuple[int, int, int]:
    at_half = scores.matches[0]
    return at_half.true_positives, at_half.false_positives, at_half.false_negatives


def _drawn_cells(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Counts of samples of the cells. Half a wrong cell is added to what is drawn from: few cells without an error do
    not mean that there are none."""
    chances = counts + np.array([0.5, 0.25, 0.25])
    return rng.multinomial(counts.sum(), chances / chances.sum(), _RESAMPLES)


def _drawn_means(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    if not len(values):
        return np.array([])
    return np.array([rng.choice(values, len(values)).mean() for _ in range(_RESAMPLES)])


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 of (N, 3) true positives, false positives and false negatives; NaN without any."""
    return _ratio(2 * counts[:, 0], 2 * counts[:, 0] + counts[:, 1] + counts[:, 2])


def _mean(sums: np.ndarray) -> np.ndarray:
    """Means of (N, 2) sums and numbers; NaN without any."""
    return _ratio(sums[:, 0], sums[:, 1])


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _interval(value: np.ndarray, resampled: np.ndarray) -> Interval:
    if np.isnan(value[0]):
        return Interval(None, None, None)
    known = resampled[~np.isnan(resampled)]
    low, high = np.percentile(known, _PERCENT) if len(known) else (None, None)
    return Interval(float(value[0]), None if low is None else float(low), None if high is None else float(high))
