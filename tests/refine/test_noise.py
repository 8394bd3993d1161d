"""The standard deviation of noise, against the one it was drawn with and against SciPy's."""

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from cellflax.refine.noise import noise_deviation


def test_a_minority_of_bright_pixels_does_not_count():
    values = np.random.default_rng(0).normal(0, 3.0, 100_000)
    assert noise_deviation(values) == pytest.approx(3.0, rel=0.01)
    scipy_s = median_abs_deviation(values, center=lambda *_, **__: 0.0, scale="normal")
    assert noise_deviation(values) == pytest.approx(scipy_s, rel=1e-5)
    values[:1000] = 1e6
    assert noise_deviation(values) == pytest.approx(3.0, rel=0.02)


def test_a_thousandth_of_the_brightest_stands_in_for_missing_noise():
    assert noise_deviation(np.zeros(9), brightest=50.0) == 0.05
    assert noise_deviation(np.array([-1.0, 1.0]), brightest=50.0) == 1.4826
    assert noise_deviation(np.zeros(9)) == 0
