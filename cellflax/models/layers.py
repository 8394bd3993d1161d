"""Building blocks that more than one network uses."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

# On CPU, XLA's kernel gradient falls behind one matrix product per tap from about this many filters on
# (benchmarks/convolution.py); below it, XLA's own is faster. GPUs always take XLA's.
WIDE_FILTERS = 128
# The branches of the multi-resolution networks have up to 28 x 28 taps: as many products take half a minute
# to compile and are no faster.
WIDE_KERNEL = 7

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def _valid_convolution(x: jax.Array, kernel: jax.Array, pad: Sequence[int] = (0, 0)) -> jax.Array:
    padding = [(pad[0], pad[0]), (pad[1], pad[1])]
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


@jax.custom_vjp
def wide_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-1 valid convolution whose gradient is fast on CPU for wide layers.

    The kernel gradient is one matrix product per tap, the input gradient a plain convolution with the
    rotated kernel; values are those of `lax.conv_general_dilated`.

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C, M).

    Returns:
        (N, H-h+1, W-w+1, M).
    """
    return _valid_convolution(x, kernel)


def _wide_forward(x, kernel):
    return _valid_convolution(x, kernel), (x, kernel)


def _wide_backward(residuals, grad):
    x, kernel = residuals
    rows, columns, filters_in, filters_out = kernel.shape
    _, height, width, _ = grad.shape
    flat = grad.reshape(-1, filters_out)
    taps = [
        x[:, i : i + height, j : j + width, :].reshape(-1, filters_in).T @ flat
        for i in range(rows)
        for j in range(columns)
    ]
    rotated = jnp.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    return _valid_convolution(grad, rotated, (rows - 1, columns - 1)), jnp.stack(taps).reshape(kernel.shape)


wide_convolution.defvjp(_wide_forward, _wide_backward)


class Convolution(nnx.Module):
    """Valid k x k convolution, he-normal kernel (P1, P2), zero bias.

    Args:
        filters_in: input channels.
        filters: output channels.
        kernel: edge of the square kernel in pixels.
        use_bias: leave out the bias where a batch normalisation follows that has its own.
        rngs: initialisation keys.
    """

    def __init__(self, filters_in: int, filters: int, kernel: int, *, use_bias: bool, rngs: nnx.Rngs):
        shape = (kernel, kernel, filters_in, filters)
        self.kernel = nnx.Param(nnx.initializers.he_normal()(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(filters)) if use_bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) -> (N, H-k+1, W-k+1, filters)."""
        kernel = self.kernel[...]
        wide = kernel.shape[-1] >= WIDE_FILTERS and kernel.shape[0] <= WIDE_KERNEL
        wide = wide and jax.default_backend() == "cpu"
        x = (wide_convolution if wide else _valid_convolution)(x, kernel)
        return x if self.bias is None else x + self.bias[...].reshape(1, 1, 1, -1)


class Normalization(nnx.Module):
    """Batch normalisation over (N, H, W); under a mesh the statistics are those of the global batch.

    `nnx.BatchNorm` in one pass over the activations instead of four: on CPU their traffic counts.

    Args:
        filters: channels.
        momentum: share of the running statistics kept per step.
        epsilon: added to the variance.
    """

    def __init__(self, filters: int, *, momentum: float, epsilon: float):
        self.momentum, self.epsilon = momentum, epsilon
        self.scale, self.bias = nnx.Param(jnp.ones(filters)), nnx.Param(jnp.zeros(filters))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(filters)), nnx.BatchStat(jnp.ones(filters))

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalise (N, H, W, C) by the running statistics; in training by the batch's, which move those."""
        mean, var = self.mean[...], self.var[...]
        if train:
            running_mean, running_var, keep = mean, var, self.momentum
            mean = jnp.mean(x, axis=(0, 1, 2))
            var = jnp.maximum(jnp.mean(jnp.square(x), axis=(0, 1, 2)) - jnp.square(mean), 0)
            self.mean[...] = keep * running_mean + (1 - keep) * mean
            self.var[...] = keep * running_var + (1 - keep) * var
        factor = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        shape = (1,) * (x.ndim - 1) + (-1,)
        return x * factor.reshape(shape) + (self.bias[...] - mean * factor).reshape(shape)


@partial(jax.jit, static_argnames="step")
def max_pool(x: jax.Array, step: int) -> jax.Array:
    """2 x 2 max pooling of (N, H, W, C) every `step` pixels (2: the usual; 1: at every pixel).

    Written as maxima of slices: the gradient of `lax.reduce_window` is many times slower on CPU.
    """
    rows, columns = x.shape[1] - 1, x.shape[2] - 1
    x = jnp.maximum(x[:, 0:rows:step], x[:, 1 : rows + 1 : step])
    return jnp.maximum(x[:, :, 0:columns:step], x[:, :, 1 : columns + 1 : step])


def split_phases(x: jax.Array) -> jax.Array:
    """Move the four 2 x 2 phases of (N, H, W, C) into the batch: (4 N, H/2, W/2, C); H and W even."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return x.transpose(2, 4, 0, 1, 3, 5).reshape(4 * n, height // 2, width // 2, channels)


def merge_phases(x: jax.Array, times: int) -> jax.Array:
    """Undo `split_phases` done `times` times over: (4^times N, H, W, C) -> (N, 2^times H, 2^times W, C)."""
    for _ in range(times):
        n, height, width, channels = x.shape
        x = x.reshape(2, 2, n // 4, height, width, channels)
        x = x.transpose(2, 3, 0, 4, 1, 5).reshape(n // 4, 2 * height, 2 * width, channels)
    return x
