"""Convolution by FFT against XLA's convolution, and against sums in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.models.large_kernel import fourier_convolution
from tests.models.networks import assert_relative, normal, reference_convolution


@pytest.mark.parametrize(
    ("size", "kernel"),
    [
        ((12, 12), (12, 12)),  # one output
        ((12, 15), (12, 11)),
        ((33, 34), (11, 11)),  # 23 rows: two blocks, the last cut short; 24 columns: two
        ((41, 16), (5, 3)),  # 37 rows: four blocks; 14 columns: three
        ((6, 7), (1, 2)),
        ((31, 31), (10, 10)),  # 22 outputs of 20: blocks of 11, windows of 20
    ],
)
def test_values_and_gradients_are_those_of_xla(size, kernel):
    x, kernel = normal(0, 2, *size, 3), normal(1, *kernel, 3, 4)
    expected, expected_pullback = jax.vjp(reference_convolution, x, kernel)
    actual, pullback = jax.vjp(jax.jit(fourier_convolution), x, kernel)
    assert actual.shape == expected.shape
    assert_relative(actual, expected, 2e-6)
    cotangent = normal(2, *expected.shape)
    for a, b in zip(pullback(cotangent), expected_pullback(cotangent), strict=True):
        assert_relative(a, b, 5e-6)


def test_a_large_kernel_over_many_channels_is_exact_to_single_precision():
    """50,000 products are in each output of P1's widest branch."""
    x, kernel = normal(3, 1, 29, 28, 64), normal(4, 28, 28, 64, 2)
    windows = np.stack([np.asarray(x[0, i : i + 28], np.float64) for i in (0, 1)])
    exact = np.tensordot(windows, np.asarray(kernel, np.float64), 3)
    actual = jax.jit(fourier_convolution)(x, kernel)[0, :, 0]
    assert np.abs(actual - exact).max() < 1e-6 * np.sqrt((exact**2).mean())


def test_far_pixels_of_a_block_do_not_leak():
    """Spectra wrap round: a huge value in one corner must not show in outputs that do not see it."""
    x = normal(5, 1, 40, 40, 1)
    kernel = normal(6, 10, 10, 1, 1)
    quiet = fourier_convolution(x, kernel)
    loud = fourier_convolution(x.at[0, 39, 39, 0].set(100), kernel)
    np.testing.assert_allclose(loud[:, :30, :30], quiet[:, :30, :30], rtol=0, atol=1e-3)
    assert float(jnp.abs(loud - quiet)[0, 30, 30, 0]) > 1
