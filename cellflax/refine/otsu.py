"""Exact multi-level thresholds by Otsu's criterion, and the choice among them by sensitivity."""

import math

import numpy as np


def multi_otsu(image: np.ndarray, n_thresholds: int, bins: int = 256) -> np.ndarray:
    """The thresholds with the least variance within the classes (Otsu 1979, IEEE Trans SMC 9:62).

    Dynamic programming over the histogram finds them in time n_thresholds x bins^2. They differ from those of
    `skimage.filters.threshold_multiotsu` by half a bin (see Returns). That function tries all combinations, which for
    five thresholds takes seconds with 96 bins and would take days with 256.

    Args:
        image: finite values, any shape.
        n_thresholds: 1 or more.
        bins: bins of the histogram over the range of the values.

    Returns:
        (n_thresholds,) ascending; a pixel belongs to a higher class if it is at least as high (`>=`). Each is the
        upper end of the highest bin of its class, not the middle, which would cut through the values of that bin. If
        the image has too few different values for all classes, the highest threshold is repeated.
    """
    counts, edges = np.histogram(image, bins)
    occupied = np.flatnonzero(counts)
    upper = edges[occupied + 1]
    n_cuts = min(n_thresholds, len(occupied) - 1)
    if n_cuts == 0:
        return np.full(n_thresholds, upper[0])
    centres = (edges[occupied] + upper) / 2
    thresholds = upper[_best_cuts(counts[occupied], centres, n_cuts) - 1]
    return np.pad(thresholds, (0, n_thresholds - n_cuts), mode="edge")


def _best_cuts(counts: np.ndarray, values: np.ndarray, n_cuts: int) -> np.ndarray:
    """Where the classes after the first begin: indices into the values, ascending."""
    values = values - values.mean()  # the criterion does not change, and large offsets would cost digits
    # A class of the bins i to j - 1 adds (sum of its pixels)^2 / (number of its pixels) to the criterion.
    n_pixels = np.concatenate([[0], np.cumsum(counts)])
    total = np.concatenate([[0], np.cumsum(counts * values)])
    n_between = n_pixels - n_pixels[:, None]
    gain = np.full(n_between.shape, -np.inf)
    np.divide((total - total[:, None]) ** 2, n_between, out=gain, where=n_between > 0)
    best = gain[0]  # of the bins before j in one class, in two, ...
    begins = []
    for _ in range(n_cuts):
        options = best[:, None] + gain
        begins.append(options.argmax(0))
        best = options.max(0)
    cuts = [len(values)]
    for begin in reversed(begins):
        cuts.append(begin[cuts[-1]])
    return np.array(cuts[:0:-1])


def by_sensitivity(thresholds: np.ndarray, sensitivity: float) -> float:
    """Choose among ascending thresholds: a higher sensitivity takes a lower threshold.

    A sensitivity of 100 % takes the lowest of n thresholds; each 100 / n % less takes the next higher one. With five
    thresholds, 41 to 60 % takes the third.

    Args:
        thresholds: (n,) ascending.
        sensitivity: percent, in (0, 100].
    """
    return float(thresholds[-math.ceil(len(thresholds) * sensitivity / 100)])
