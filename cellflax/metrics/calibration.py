"""Do probabilities mean what they say? Of the cells that are right with probability 0.8, eight in ten must be right."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

_BINS = 10  # of equal width, as in Guo et al. 2017


@dataclass(frozen=True)
class Reliability:
    """Probabilities of being right, against what was right.

    Attributes:
        n: number of cells.
        n_right: number of them that are right.
        expected_calibration_error: mean over the cells of |mean probability - share that is right| of their bin, with
            ten bins of equal width (Guo et al. 2017, arXiv:1706.04599). In [0, 1], 0 is best.
        error_by_chance: what the same would be on average if every probability were exactly right. It is above 0,
            because a bin of few cells never has just its share.
        brier: mean squared difference of the probability and 1 (right) or 0 (wrong); in [0, 1], 0 is best.
        brier_of_rate: the same for the share of right cells in place of every probability. A useful probability is
            below it.
        bins: one row per bin that has cells: `low` and `high` (its ends), `n_cells`, `mean_probability`, `share_right`.
    """

    n: int
    n_right: int
    expected_calibration_error: float
    error_by_chance: float
    brier: float
    brier_of_rate: float
    bins: pd.DataFrame

    def to_json(self) -> dict[str, float | int]:
        """The numbers by their names in `metrics.json`."""
        names = ("expected_calibration_error", "error_by_chance", "brier", "brier_of_rate")
        return {"n_cells": self.n, "n_right": self.n_right, **{name: getattr(self, name) for name in names}}


def reliability(probability: np.ndarray, right: np.ndarray) -> Reliability:
    """Compare probabilities with what happened.

    Args:
        probability: (N,) in [0, 1], N > 0.
        right: (N,) bool.

    Raises:
        ValueError: for no cell, different shapes, or values that are no probabilities.
    """
    if probability.shape != right.shape or probability.ndim != 1 or not len(probability):
        raise ValueError(f"probability is {probability.shape} and right is {right.shape}; both must be (N,) with N > 0")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probability must be in [0, 1]")
    right, n = right.astype(bool), len(right)
    which = np.minimum((probability * _BINS).astype(np.intp), _BINS - 1)
    count = np.bincount(which, minlength=_BINS)
    total, found = (np.bincount(which, values, _BINS) for values in (probability, right))
    # The difference of both sums in a bin is nearly normal, and the mean size of a normal number is sqrt(2 / pi) sigma.
    variance = np.bincount(which, probability * (1 - probability), _BINS)
    used = count > 0
    edges = np.arange(_BINS + 1) / _BINS
    rate = right.mean()
    return Reliability(
        n=n,
        n_right=int(right.sum()),
        expected_calibration_error=float(np.abs(total - found).sum() / n),
        error_by_chance=float(np.sqrt(2 / np.pi * variance).sum() / n),
        brier=float(np.mean((probability - right) ** 2)),
        brier_of_rate=float(rate * (1 - rate)),
        bins=pd.DataFrame(
            {
                "low": edges[:-1][used],
                "high": edges[1:][used],
                "n_cells": count[used],
                "mean_probability": total[used] / count[used],
                "share_right": found[used] / count[used],
            }
        ),
    )


def bins_table(scores: Mapping[str, Reliability]) -> pd.DataFrame:
    """The bins of several probabilities, by name, in one table: `probability` (the name), and the columns of `bins`."""
    bins = [score.bins.assign(probability=name) for name, score in scores.items()]
    return pd.concat(bins, ignore_index=True).reindex(columns=["probability", *bins[0].columns.drop("probability")])
