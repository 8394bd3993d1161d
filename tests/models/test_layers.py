"""Layers against XLA's own operators."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from cellflax.models.convolution import convolution_for_cpu, product_for_cpu
from cellflax.models.large_kernel import LARGE_KERNEL
from cellflax.models.layers import (
    Convolution,
    Normalization,
    Upsampling,
    max_pool,
    merge_phases,
    split_phases,
)
from tests.models.networks import assert_relative, normal, reference_convolution


def reference_pool(x: jax.Array, step: int) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, step, step, 1), "VALID")


@pytest.mark.parametrize(
    ("kernel_size", "pad", "width", "channels", "filters", "unfolded", "devices"),
    [
        # Pixel by pixel.
        ((3, 3), 1, 11, 5, 6, 2**17, 1),  # all images at once; x moves, having fewer channels than there are filters
        ((3, 3), 1, 11, 5, 3, 1000, 1),  # blocks of rows, the last of which overlaps; the gradient moves
        ((5, 3), 2, 11, 5, 3, 1, 1),  # row by row
        ((5, 3), 2, 11, 5, 6, 2**17, 4),  # on several devices
        # By two pixels or four.
        ((4, 2), 0, 11, 5, 6, 1000, 1),
        ((4, 2), 0, 11, 5, 3, 1000, 4),
        ((3, 3), 1, 16, 5, 6, 1000, 1),
        ((3, 3), 1, 12, 20, 30, 2**17, 1),
        ((3, 7), 1, 16, 5, 3, 1000, 1),  # a group sees two groups beyond itself
        ((3, 7), 1, 14, 5, 6, 1, 1),
    ],
)
def test_convolution_for_cpu_has_the_values_and_gradients_of_xla(
    kernel_size, pad, width, channels, filters, unfolded, devices, monkeypatch
):
    monkeypatch.setattr("cellflax.models.convolution.UNFOLDED", unfolded)
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    x, kernel = normal(0, 2, 9, width, channels), normal(1, *kernel_size, channels, filters)
    reference = partial(reference_convolution, padding=[(pad, pad), (pad, pad)])
    in_parts = partial(convolution_for_cpu, pad=pad)
    expected = reference(x, kernel)
    cotangent = normal(2, *expected.shape)
    assert_relative(in_parts(x, kernel), expected, 1e-6)

    @partial(jax.jit, static_argnums=0)
    def gradients(convolution, x, kernel):
        return jax.vjp(convolution, x, kernel)[1](cotangent)

    wanted = gradients(reference, x, kernel)
    for a, b in zip(gradients(in_parts, x, kernel), wanted, strict=True):
        assert_relative(a, b, 1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("channels", "filters", "unfolded", "devices"),
    [(3, 6, 2**17, 1), (40, 6, 1000, 1), (5, 2, 1, 1), (5, 6, 100, 4)],
    ids=["at once", "blocks of rows", "row by row", "several devices"],
)
def test_product_for_cpu_has_the_values_and_gradients_of_xla(channels, filters, unfolded, devices, dtype, monkeypatch):
    monkeypatch.setattr("cellflax.models.convolution.UNFOLDED", unfolded)
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    x, kernel = normal(0, 4, 9, 8, channels).astype(dtype), normal(1, channels, filters).astype(dtype)
    cotangent = normal(2, 4, 9, 8, filters).astype(dtype)

    @partial(jax.jit, static_argnums=0)
    def product_and_gradients(product, x, kernel):
        value, back = jax.vjp(product, x, kernel)
        return value, *back(cotangent.astype(value.dtype))

    actual = product_and_gradients(product_for_cpu, x, kernel)
    exact = product_and_gradients(jnp.matmul, x.astype(jnp.float32), kernel.astype(jnp.float32))
    for a, b in zip(actual, exact, strict=True):
        assert a.dtype == dtype
        assert_relative(a.astype(jnp.float32), b, 1e-5 if dtype == jnp.float32 else 0.005)


@pytest.mark.parametrize(
    ("filters", "edge", "size"),
    [
        (6, 3, (6, 7)),
        (5, LARGE_KERNEL, (LARGE_KERNEL + 2, LARGE_KERNEL)),
        (5, 4, (4, 4)),
        (5, 1, (3, 4)),
    ],
    ids=["blocks", "spectra", "one window", "product"],
)
def test_convolution_has_one_gradient_whichever_way_it_is_taken(filters, edge, size):
    convolution = Convolution(3, filters, edge, use_bias=True, rngs=nnx.Rngs(0))
    convolution.bias[...] = normal(3, filters)
    graph, params = nnx.split(convolution, nnx.Param)
    x = normal(4, 2, *size, 3)
    bias = convolution.bias[...].reshape(1, 1, 1, -1)
    assert_relative(convolution(x), reference_convolution(x, convolution.kernel[...]) + bias, 1e-6)

    def cost(params, x):
        return jnp.sum(jnp.sin(nnx.merge(graph, params)(x)))

    def reference(kernel, bias, x):
        return jnp.sum(jnp.sin(reference_convolution(x, kernel) + bias.reshape(1, 1, 1, -1)))

    actual = jax.jit(jax.grad(cost, argnums=(0, 1)))(params, x)
    kernel, bias, image = jax.jit(jax.grad(reference, argnums=(0, 1, 2)))(
        convolution.kernel[...], convolution.bias[...], x
    )
    assert_relative(actual[0]["kernel"][...], kernel, 1e-4)
    assert_relative(actual[0]["bias"][...], bias, 1e-4)
    assert_relative(actual[1], image, 1e-4)


def test_convolution_starts_he_normal_without_bias():
    convolution = Convolution(64, 64, 3, use_bias=False, rngs=nnx.Rngs(0))
    assert float(convolution.kernel[...].std()) == pytest.approx(np.sqrt(2 / (3 * 3 * 64)), rel=0.02)
    assert convolution.bias is None


@pytest.mark.parametrize("edge", [1, 3, 5])
def test_same_convolution_keeps_the_size(edge):
    convolution = Convolution(3, 4, edge, same=True, use_bias=False, rngs=nnx.Rngs(0))
    x = normal(9, 2, 6, 7, 3)
    assert_relative(convolution(x), reference_convolution(x, convolution.kernel[...], padding="SAME"), 1e-6)


def test_upsampling_has_the_values_and_gradients_of_a_transposed_convolution():
    layer = Upsampling(5, 3, rngs=nnx.Rngs(0))
    layer.bias[...] = normal(13, 3)
    graph, params = nnx.split(layer)
    x, cotangent = normal(14, 2, 4, 6, 5), normal(15, 2, 8, 12, 3)

    def reference(x, kernel):
        taps = kernel.reshape(5, 2, 2, 3).transpose(1, 2, 0, 3)[::-1, ::-1]  # lax slides, we scatter
        return lax.conv_transpose(x, taps, (2, 2), "VALID") + layer.bias[...].reshape(1, 1, 1, 3)

    expected, expected_pullback = jax.vjp(reference, x, layer.kernel[...])
    actual, pullback = jax.vjp(lambda x, params: nnx.merge(graph, params)(x), x, params)
    assert_relative(actual, expected, 1e-6)
    expected_x, expected_kernel = expected_pullback(cotangent)
    gradient_x, gradient = pullback(cotangent)
    assert_relative(gradient_x, expected_x, 1e-5)
    assert_relative(gradient["kernel"][...], expected_kernel, 1e-5)
    assert_relative(gradient["bias"][...], cotangent.sum((0, 1, 2)), 1e-5)


def test_upsampling_starts_with_the_variance_of_its_input():
    layer = Upsampling(256, 64, rngs=nnx.Rngs(0))
    assert float(layer(normal(16, 1, 16, 16, 256)).std()) == pytest.approx(1, rel=0.03)


RUNNING_MEAN, RUNNING_VAR = np.array([0.3, -1.0, 0.1]), np.array([1.0, 2.0, 0.5])
SCALE, BIAS = np.array([1.5, 0.5, -1.0]), np.array([0.1, 0.2, 0.3])


def normalization() -> Normalization:
    """Three filters, in the middle of a training."""
    layer = Normalization(3, momentum=0.9, epsilon=1e-5)
    layer.mean[...], layer.var[...] = jnp.asarray(RUNNING_MEAN), jnp.asarray(RUNNING_VAR)
    layer.scale[...], layer.bias[...] = jnp.asarray(SCALE), jnp.asarray(BIAS)
    return layer


def normalized(x: jax.Array) -> jax.Array:
    """Ioffe and Szegedy 2015, algorithm 1."""
    scale, bias = (jnp.asarray(v, jnp.float32).reshape(1, 1, 1, 3) for v in (SCALE, BIAS))
    mean, var = x.mean((0, 1, 2), keepdims=True), x.var((0, 1, 2), keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias


def test_normalization_in_training_is_by_the_batch():
    x = normal(10, 2, 4, 5, 3) * jnp.asarray([8.0, 1.0, 0.1])[None, None, None] - 1
    cotangent = normal(11, *x.shape)
    layer = normalization()
    graph, state = nnx.split(layer)
    expected, expected_pullback = jax.vjp(normalized, x)
    actual, pullback = jax.vjp(lambda x: nnx.merge(graph, state, copy=True)(x, train=True), x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    assert_relative(pullback(cotangent)[0], expected_pullback(cotangent)[0], 1e-4)

    layer(x, train=True)
    np.testing.assert_allclose(layer.mean[...], 0.9 * RUNNING_MEAN + 0.1 * x.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.var[...], 0.9 * RUNNING_VAR + 0.1 * x.var((0, 1, 2)), rtol=1e-4)


def test_normalization_in_prediction_is_by_the_running_statistics():
    x = normal(12, 2, 4, 5, 3)
    layer = normalization()
    expected = (np.asarray(x) - RUNNING_MEAN) / np.sqrt(RUNNING_VAR + 1e-5) * SCALE + BIAS
    np.testing.assert_allclose(layer(x, train=False), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.mean[...], jnp.asarray(RUNNING_MEAN))


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (1, 7, 5, 2)])
def test_max_pool_has_the_values_and_gradient_of_reduce_window(shape, step):
    x = normal(5, *shape)
    expected, expected_pullback = jax.vjp(lambda x: reference_pool(x, step), x)
    out, pullback = jax.vjp(lambda x: max_pool(x, step), x)
    np.testing.assert_array_equal(out, expected)
    cotangent = normal(6, *out.shape)
    np.testing.assert_allclose(pullback(cotangent)[0], expected_pullback(cotangent)[0], rtol=1e-6, atol=1e-6)


def test_phases_are_every_second_pixel():
    x = normal(7, 3, 4, 6, 2)
    expected = jnp.concatenate([image[None, i::2, j::2] for image in x for i in range(2) for j in range(2)])
    np.testing.assert_array_equal(split_phases(x), expected)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_merging_undoes_splitting(times):
    x = phases = normal(8, 2, 16, 24, 3)
    for _ in range(times):
        phases = split_phases(phases)
    assert phases.shape == (2 * 4**times, 16 // 2**times, 24 // 2**times, 3)
    np.testing.assert_array_equal(merge_phases(phases, times), x)
