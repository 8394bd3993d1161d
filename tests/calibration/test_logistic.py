"""Logistic regression with a ridge, by its own equations; and predictions by fits to other groups alone."""

import numpy as np
import pytest
from scipy.special import expit

from cellflax.calibration.logistic import cross_fitted, fit_logistic
from cellflax.metrics.calibration import reliability


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A design, outcomes, and the probabilities that they were drawn by."""
    rng = np.random.default_rng(seed)
    design = np.concatenate([np.ones((n, 1)), rng.normal(size=(n, 3))], axis=1)
    probability = expit(design @ np.array([1.0, 1.5, -0.5, 0.0]))
    return design, rng.random(n) < probability, probability


def test_the_gradient_is_zero():
    design, right, _ = drawn(300)
    weights = fit_logistic(design, right)
    ridge = np.array([1e-3, 10, 10, 10])
    np.testing.assert_allclose(design.T @ (right - expit(design @ weights)), ridge * weights, atol=0.01)


def test_known_weights_are_found():
    design, right, probability = drawn(20_000)
    assert np.abs(expit(design @ fit_logistic(design, right)) - probability).mean() < 0.01


def test_all_right_is_finite():
    weights = fit_logistic(np.ones((50, 1)), np.ones(50, bool))
    assert 0.98 < expit(weights[0]) < 1


def test_a_group_has_no_part_in_its_own_probabilities():
    design, right, _ = drawn(200)
    group = np.arange(200) // 20
    first = cross_fitted(design, right, group)
    changed = right.copy()
    changed[group == 3] = ~changed[group == 3]
    second = cross_fitted(design, changed, group)
    np.testing.assert_array_equal(first[group == 3], second[group == 3])
    assert (first != second).sum() >= 120  # and in those of the other folds


def test_cross_fitting_shows_what_a_fit_to_the_same_cells_hides():
    """Measurements that say nothing, and few cells: the fit looks useful on its own cells alone."""
    rng = np.random.default_rng(0)
    design = np.concatenate([np.ones((60, 1)), rng.normal(size=(60, 12))], axis=1)
    right, group = rng.random(60) < 0.5, np.arange(60) % 10
    seen = reliability(expit(design @ fit_logistic(design, right)), right)
    unseen = reliability(cross_fitted(design, right, group), right)
    assert seen.brier < seen.brier_of_rate < unseen.brier
    with pytest.raises(ValueError, match="two groups"):
        cross_fitted(design, right, np.zeros(60, int))
