"""Settings of the search that chooses a refinement's settings on the held-out regions, see `cellflax.tuning`."""

from dataclasses import dataclass
from enum import Enum

from cellflax.checks import above, at_least, check


class TuneIndex(Enum):
    """What the search makes large: a score of the held-out cells, all regions pooled."""

    f1_50 = "f1_50"  # F1 of the cells matched at IoU 0.5
    f1_70 = "f1_70"  # F1 at IoU 0.7
    mean_f1 = "mean_f1"  # mean of F1 at IoU 0.5, 0.6, 0.7, 0.8, 0.9
    pq = "pq"  # panoptic quality at IoU 0.5: F1 times the mean IoU of the matched cells
    jaccard = "jaccard"  # mean best Jaccard index of the reference cells; cells found where there are none do not count


@dataclass
class TunerConfig:
    """How a refinement's settings are chosen on the held-out regions.

    Attributes:
        index: score that is made large: pq (panoptic quality at IoU 0.5), f1_50 or f1_70 (F1 at this IoU), mean_f1
            (of F1 at IoU 0.5, 0.6 ... 0.9), or jaccard (mean best Jaccard index of the reference cells).
        evaluations: largest number of settings that are tried.
        sample_megapixels: with more held-out megapixels than this, settings are tried on a fixed sample, and the best
            few are compared on all.
        share: largest part of `trainer.max_minutes` that the search may take, by its usual time for a megapixel, so
            that the number of settings depends on no clock; unlimited where `trainer.max_minutes` is null.
        margin: so many standard errors are taken from every gain. The search makes large what is left, and the first
            settings stay if that is never above 0. A jackknife over parts of the held-out regions estimates the error.
    """

    index: TuneIndex = TuneIndex.pq
    evaluations: int = 80
    sample_megapixels: float = 4.0
    share: float = 0.1
    margin: float = 1.0

    def __post_init__(self):
        check(self, "tuner", at_least(1), "evaluations")
        check(self, "tuner", above(0), "sample_megapixels")
        check(self, "tuner", above(0, at_most=1), "share")
        check(self, "tuner", at_least(0), "margin")
