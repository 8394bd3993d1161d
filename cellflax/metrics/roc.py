"""ROC, AUC and ACC of pixels (Al-Kofahi et al. 2018), from counts that add up over images."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

# A power of two: float32 probabilities are binned without rounding, and 0.5 is the edge of a bin.
N_BINS = 2**20
_CURVE_STEPS = 1000  # per unit of either rate


@dataclass(frozen=True)
class RocCounts:
    """Number of pixels by probability; the counts of several images add up (`+`) in constant memory.

    Attributes:
        positive: (N_BINS,) int64, pixels of the reference's foreground with probability in each bin of [0, 1].
        negative: (N_BINS,) int64, the other pixels.
    """

    positive: np.ndarray
    negative: np.ndarray

    def __add__(self, other: "RocCounts") -> "RocCounts":
        return RocCounts(self.positive + other.positive, self.negative + other.negative)

    @property
    def n_positive(self) -> int:
        """Foreground pixels in the reference."""
        return int(self.positive.sum())

    @property
    def n_negative(self) -> int:
        """Background pixels in the reference."""
        return int(self.negative.sum())

    @property
    def is_defined(self) -> bool:
        """Whether there are pixels of both kinds; rates and AUC exist only then."""
        return self.n_positive > 0 and self.n_negative > 0

    @property
    def auc(self) -> float:
        """Area under the ROC curve: how often a foreground pixel has the higher probability; equals count half.

        NaN without pixels of both kinds. Values in one bin count as equal; `auc_error` bounds what that changes.
        """
        if not self.is_defined:
            return float("nan")
        below = np.cumsum(self.negative) - self.negative
        return float(self.positive @ (below + self.negative / 2) / (self.n_positive * self.n_negative))

    @property
    def auc_error(self) -> float:
        """Largest possible difference of `auc` from that of the probabilities before binning."""
        if not self.is_defined:
            return float("nan")
        return float(self.positive @ (self.negative / 2) / (self.n_positive * self.n_negative))

    @property
    def accuracy(self) -> float:
        """Share of the pixels on the right side of probability 0.5 (ACC); 0.5 is foreground. NaN without pixels."""
        total = self.n_positive + self.n_negative
        right = self.positive[N_BINS // 2 :].sum() + self.negative[: N_BINS // 2].sum()
        return float(right / total) if total else float("nan")

    def curve(self) -> pd.DataFrame:
        """Points of the ROC curve from (0, 0) to (1, 1), at most 2001, which keep all visible detail.

        Returns:
            Columns threshold (foreground is at or above it; the first is infinite), false_positive_rate,
            true_positive_rate.
        """
        false_rate, true_rate = (
            np.concatenate([[0], np.cumsum(counts[::-1])]) / counts.sum() for counts in (self.negative, self.positive)
        )
        threshold = np.concatenate([[np.inf], np.arange(N_BINS)[::-1] / N_BINS])
        progress = np.floor(_CURVE_STEPS * (false_rate + true_rate))
        kept = np.unique(progress, return_index=True)[1]
        columns = {"threshold": threshold, "false_positive_rate": false_rate, "true_positive_rate": true_rate}
        return pd.DataFrame({name: values[kept] for name, values in columns.items()})


def roc_counts(probability: np.ndarray, foreground: np.ndarray) -> RocCounts:
    """Count the pixels of one image.

    Args:
        probability: float in [0, 1], any shape.
        foreground: bool, same shape.

    Raises:
        ValueError: for different shapes.
    """
    if probability.shape != foreground.shape:
        raise ValueError(f"probability is {probability.shape} but foreground is {foreground.shape}")
    bins = np.minimum((probability * N_BINS).astype(np.int64), N_BINS - 1)
    return RocCounts(
        positive=np.bincount(bins[foreground], minlength=N_BINS),
        negative=np.bincount(bins[~foreground], minlength=N_BINS),
    )
