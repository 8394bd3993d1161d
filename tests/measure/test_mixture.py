import numpy as np
import pytest

from cellflax.measure.mixture import fit_two_gaussians


def draw(rng, size, weight, low, high):
    """Values of a known mixture; low and high are (mean, deviation), weight that of high."""
    n = round(weight * size)
    return np.concatenate([rng.normal(*low, size - n), rng.normal(*high, n)])


def test_known_mixtures_are_found_all_at_once():
    rng = np.random.default_rng(0)
    truth = [(0.3, (100, 10), (150, 15)), (0.8, (20, 2), (60, 20)), (0.5, (1000, 30), (1200, 30))]
    sets = [draw(rng, size, *one) for size, one in zip((6000, 4000, 300), truth, strict=True)]
    owner = np.repeat([2, 0, 3], [len(values) for values in sets])
    order = rng.permutation(len(owner))
    fit = fit_two_gaussians(np.concatenate(sets)[order], owner[order], 4)
    for row, (weight, low, high) in zip((2, 0, 3), truth, strict=True):
        assert fit.weight[row] == pytest.approx([1 - weight, weight], abs=0.03)
        np.testing.assert_allclose(fit.mean[row], [low[0], high[0]], rtol=0.03)
        np.testing.assert_allclose(fit.deviation[row], [low[1], high[1]], rtol=0.15)
    assert fit.separation[3] == pytest.approx(200 / 30, rel=0.1)
    assert np.isnan(fit.mean[1]).all()


def test_is_a_fixed_point_of_the_likelihood():
    """Means, weights and deviations equal what their own responsibilities make of the values."""
    values = draw(np.random.default_rng(1), 200, 0.4, (0, 1), (3, 1.5))
    fit = fit_two_gaussians(values, np.zeros(200, int), 1)
    density = fit.weight * np.exp(-0.5 * ((values[:, None] - fit.mean) / fit.deviation) ** 2) / fit.deviation
    share = density / density.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fit.weight[0], share.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(fit.mean[0], (share * values[:, None]).sum(axis=0) / share.sum(axis=0), atol=1e-3)


def test_does_not_depend_on_scale_offset_or_a_hot_pixel():
    values = draw(np.random.default_rng(2), 3000, 0.5, (10, 1), (16, 1))
    fit = fit_two_gaussians(values, np.zeros(3000, int), 1)
    moved = fit_two_gaussians(1e-3 * values + 40, np.zeros(3000, int), 1)
    np.testing.assert_allclose(moved.mean, 1e-3 * fit.mean + 40, rtol=1e-9)
    hot = fit_two_gaussians(np.append(values, 200.0), np.zeros(3001, int), 1)
    np.testing.assert_allclose(hot.mean, fit.mean, atol=0.6)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 65535.0])
def test_equal_values(value):
    fit = fit_two_gaussians(np.full(25, value), np.zeros(25, int), 1)
    np.testing.assert_allclose(fit.mean, [[value, value]], rtol=1e-12)


def test_too_few_values():
    assert np.isnan(fit_two_gaussians(np.arange(9.0), np.zeros(9, int), 1).mean).all()
    assert fit_two_gaussians(np.zeros(0), np.zeros(0, int), 2).mean.shape == (2, 2)
