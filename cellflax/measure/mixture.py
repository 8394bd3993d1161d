"""Mixtures of two Gaussians, one for each of many sets of numbers, all fitted at once."""

from dataclasses import dataclass

import numpy as np
from scipy import special

_MIN_VALUES = 10  # fewer cannot distinguish two Gaussians from one
_BINS = 256
_MAX_ITERATIONS = 500
_TOLERANCE = 1e-5  # of the means, in standard deviations of the set
_MIN_DEVIATION = 0.01  # in the same unit; keeps a component from closing in on a single value


@dataclass(frozen=True)
class Mixture:
    """Mixtures of n sets, each array (n, 2); the component of lower mean is first. NaN where a set is too small."""

    weight: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @property
    def separation(self) -> np.ndarray:
        """(n,) distance of the means over the root mean square deviation (Ashman's D); two modes show above 2."""
        with np.errstate(invalid="ignore"):
            return np.diff(self.mean)[:, 0] / np.sqrt(np.mean(self.deviation**2, axis=1))


def fit_two_gaussians(values: np.ndarray, owner: np.ndarray, n: int) -> Mixture:
    """Fit a mixture of two Gaussians to each set of values by expectation maximisation (Dempster et al. 1977).

    The fit starts from the best split of the sorted values in two (the exact optimum of 2-means), so the result
    does not depend on chance. Sets of more than 256 values are represented by the means of 256 equal shares of their
    sorted values; outliers do not make these shares coarser.

    Args:
        values: (N,) finite.
        owner: (N,) set of each value, 0 ... n - 1.
        n: number of sets.

    Returns:
        The mixtures. In a set of equal values both components are that value.
    """
    x, count = _shares(values.astype(np.float64), owner, n)
    size = count.sum(axis=1)
    enough = size >= _MIN_VALUES
    result = Mixture(*(np.full((n, 2), np.nan) for _ in range(3)))
    if not enough.any():
        return result
    x, share = x[enough], count[enough] / size[enough, None]
    centre = np.sum(share * x, axis=1, keepdims=True)
    scale = np.sqrt(np.sum(share * (x - centre) ** 2, axis=1, keepdims=True))
    scale[scale <= 1e-12 * np.abs(centre)] = 1  # equal values except for rounding
    fit = _expectation_maximisation((x - centre) / scale, share)
    order = np.argsort(fit.mean, axis=1, kind="stable")
    weight, mean, deviation = (np.take_along_axis(a, order, axis=1) for a in (fit.weight, fit.mean, fit.deviation))
    result.weight[enough], result.mean[enough], result.deviation[enough] = (
        weight,
        centre + scale * mean,
        scale * deviation,
    )
    return result


def _shares(values: np.ndarray, owner: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) means of equal shares of each set's sorted values, ascending, and how many values each stands for."""
    order = np.lexsort((values, owner))
    values, owner = values[order], owner[order]
    size = np.bincount(owner, minlength=n)
    rank = np.arange(len(values)) - (np.cumsum(size) - size)[owner]
    bins = max(1, min(_BINS, size.max(initial=0)))
    place = owner * bins + np.where(size[owner] > bins, rank * bins // np.maximum(size[owner], 1), rank)
    count = np.bincount(place, minlength=n * bins).reshape(n, bins)
    total = np.bincount(place, values, n * bins).reshape(n, bins)
    return total / np.maximum(count, 1), count


def _expectation_maximisation(x: np.ndarray, share: np.ndarray) -> Mixture:
    """Mixtures of (m, K) standardised values that make up the given shares of their sets."""
    bright = _best_split(x, share)
    fit = _maximise(x, share, bright)
    for _ in range(_MAX_ITERATIONS):
        before = fit.mean
        fit = _maximise(x, share, _expect(x, fit))
        if np.abs(fit.mean - before).max() < _TOLERANCE:
            break
    return fit


def _best_split(x: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(m, K) 1.0 above the split of the ascending values with the largest variance between its two sides."""
    weight, moment = np.cumsum(share, axis=1), np.cumsum(share * x, axis=1)  # all values: weight 1, moment 0
    inner = weight * (1 - weight)
    between = np.where(inner > 1e-12, moment**2 / np.maximum(inner, 1e-12), 0)
    return (np.arange(x.shape[1]) > between.argmax(axis=1, keepdims=True)).astype(np.float64)


def _expect(x: np.ndarray, fit: Mixture) -> np.ndarray:
    """(m, K) probability that each value belongs to the second component."""
    with np.errstate(divide="ignore"):  # the weight of an abandoned component
        score = np.log(fit.weight) - np.log(fit.deviation)
    distance = (x[..., None] - fit.mean[:, None]) / fit.deviation[:, None]
    score = score[:, None] - distance**2 / 2
    return special.expit(score[..., 1] - score[..., 0])


def _maximise(x: np.ndarray, share: np.ndarray, bright: np.ndarray) -> Mixture:
    """Weights, means and deviations from the part of each value that belongs to the second component."""
    part = share[..., None] * np.stack([1 - bright, bright], axis=-1)
    weight = part.sum(axis=1)
    held = np.maximum(weight, np.finfo(np.float64).tiny)
    mean = np.sum(part * x[..., None], axis=1) / held
    variance = np.sum(part * (x[..., None] - mean[:, None]) ** 2, axis=1) / held
    return Mixture(weight, mean, np.sqrt(np.maximum(variance, _MIN_DEVIATION**2)))
