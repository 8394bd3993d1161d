"""How fast tracked cells grow and divide, from their areas over time (Fig 3 of Van Valen 2016, P1)."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cellflax.checks import above, at_least, check


@dataclass
class GrowthConfig:
    """From areas to growth rates.

    Attributes:
        min_frames: a cell seen in fewer frames has no rate of its own.
        jump: smallest relative growth of the area in one frame that counts as a segmentation error.
        use_border_cells: also use the areas of cells cut by the border of the image.
    """

    min_frames: int = 3
    jump: float = 0.3
    use_border_cells: bool = False

    def __post_init__(self) -> None:
        check(self, "growth", at_least(2), "min_frames")
        check(self, "growth", above(0), "jump")


def step_rates(track: np.ndarray, time: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Instantaneous growth rate (dA/dt) / A = d ln A / dt of every cell since it was last seen.

    It is the difference of the logarithms over time, which is exact for exponential growth over any interval.

    Args:
        track: (n,) track of each row; rows of a track follow each other.
        time: (n,) ascending within a track, in any unit.
        area: (n,) in any unit; NaN where unknown.

    Returns:
        (n,) per unit of time; NaN in the first row of each track, and at and after an unknown area.
    """
    rate = np.full(len(track), np.nan)
    same = track[1:] == track[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log(area)) / np.diff(time)
    rate[1:][same] = steps[same]
    return rate


def count_jumps(track: np.ndarray, frame: np.ndarray, area: np.ndarray, jump: float) -> tuple[int, int]:
    """Count cells whose area grows by a share of `jump` or more in one frame, P1's estimate of the error rate.

    Args:
        track: (n,) as in `step_rates`.
        frame: (n,) number of the frame.
        area: (n,) as in `step_rates`.
        jump: 0.3 in P1, which finds 69 among 11,909.

    Returns:
        The number of jumps, and the number of times a cell was seen in two successive frames.
    """
    paired = (track[1:] == track[:-1]) & (np.diff(frame) == 1) & np.isfinite(area[1:]) & np.isfinite(area[:-1])
    return int(np.sum(area[1:][paired] >= (1 + jump) * area[:-1][paired])), int(paired.sum())


def track_rate(time: np.ndarray, area: np.ndarray, min_frames: int) -> tuple[float, float, float]:
    """Exponential growth rate of one cell over its life, and its 95 % confidence interval.

    The rate is the Theil-Sen slope of ln A (the median of the slopes between all pairs of frames). Up to 29 % of
    wrongly segmented frames change it little.

    Args:
        time: (n,) in any unit.
        area: (n,) in any unit; NaN where unknown.
        min_frames: smallest number of known areas.

    Returns:
        Rate, lower and upper limit, per unit of time; NaN where there are too few areas.
    """
    known = np.isfinite(area)
    if known.sum() < min_frames:
        return np.nan, np.nan, np.nan
    slope, _, low, high = map(float, stats.theilslopes(np.log(area[known]), time[known]))
    return slope, low, high


def cell_cycles(track: np.ndarray, parent: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divisions and the time between them.

    Args:
        track: (n,) unique tracks.
        parent: (n,) the track that each comes from, 0 if none. A lone child continues its parent and is not a
            daughter.
        start: (n,) time of the first appearance.

    Returns:
        For each track, in the given order: the number of daughters (0, or 2 or more), and the time from birth to
        division, NaN unless both were seen.
    """
    order = np.argsort(track)
    has_parent = np.isin(parent, track) & (parent != 0)
    mother = order[np.searchsorted(track[order], parent[has_parent])]  # row of each child's parent
    n_daughters = np.bincount(mother, minlength=len(track))
    n_daughters[n_daughters == 1] = 0
    division = np.full(len(track), np.inf)
    np.minimum.at(division, mother, start[has_parent])
    complete = (n_daughters > 0) & np.isin(parent, track[n_daughters > 0])
    return n_daughters, np.where(complete, division - start, np.nan)
