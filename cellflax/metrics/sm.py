"""The segmentation metric SM of Al-Kofahi et al. 2018, BMC Bioinformatics 19:365."""

from dataclasses import dataclass

import numpy as np

PAPER_K = 0.6
_ROUNDING = 1e-12  # a Jaccard index of 1/2 computed from F = 2/3 is a little less


@dataclass(frozen=True)
class SmSettings:
    """What SM leaves open.

    Attributes:
        k: weight of the outlines against the detection.
        min_jaccard: smallest Jaccard index of a matched pair.
    """

    k: float = PAPER_K
    min_jaccard: float = 0.0


PAPER_SM = SmSettings()


@dataclass(frozen=True)
class SegmentationMetric:
    """SM and its terms; NaN where there is nothing to average or count.

    Attributes:
        outlines: mean over the N reference cells of the Dice index of the best-overlapping predicted cell.
        detection: 2 |P| / (N + M) for |P| one-to-one pairs of N reference and M predicted cells.
        k: weight of the outlines.
    """

    outlines: float
    detection: float
    k: float

    @property
    def value(self) -> float:
        """SM = k * outlines + (1 - k) * detection."""
        return self.k * self.outlines + (1 - self.k) * self.detection


def is_pair(f_score: np.ndarray, min_jaccard: float = 0.0) -> np.ndarray:
    """(R,) bool: reference cells that count as matched, by the F-score with their one-to-one partner.

    `f_score.corresponding_cells` chooses the partners. The paper names no limit for a match, so any overlap counts
    unless `min_jaccard` is above 0.
    """
    return (f_score > 0) & (f_score / (2 - f_score) >= min_jaccard - _ROUNDING)


def segmentation_metric(
    best_dice: np.ndarray,
    f_score: np.ndarray,
    n_predicted: int,
    settings: SmSettings,
) -> SegmentationMetric:
    """Compute SM: the image-level SM for the cells of one image, the cell-level SM for those of all images.

    Args:
        best_dice: (R,) Dice index of each reference cell with the predicted cell that it overlaps best.
        f_score: (R,) F-score of each reference cell with its one-to-one partner, 0 without one.
        n_predicted: number of predicted cells.
        settings: weight of the terms, and what counts as a pair.
    """
    n_reference = len(best_dice)
    both = n_reference + n_predicted
    return SegmentationMetric(
        outlines=float(best_dice.mean()) if n_reference else float("nan"),
        detection=2 * int(is_pair(f_score, settings.min_jaccard).sum()) / both if both else float("nan"),
        k=settings.k,
    )
