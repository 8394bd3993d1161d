"""Building blocks that more than one network uses.

Parameters are float32. Layers compute in the type of their input (bfloat16 or float32) and return that type, except for
the last layer of a network, whose logits are float32.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from cellflax.models.convolution import convolution, convolution_for_cpu, product_for_cpu
from cellflax.models.large_kernel import LARGE_KERNEL, fourier_convolution


class Convolution(nnx.Module):
    """k x k convolution, he-normal kernel (P1, P2), zero bias.

    Args:
        filters_in: input channels.
        filters: output channels.
        kernel: edge of the square kernel in pixels.
        same: pad with zeros to the size of the input (kernel odd); else return outputs only where the kernel fits.
        use_bias: add a bias; not needed before a batch normalisation, which has its own.
        rngs: initialisation keys.
    """

    def __init__(
        self, filters_in: int, filters: int, kernel: int, *, same: bool = False, use_bias: bool, rngs: nnx.Rngs
    ):
        self.pad = kernel // 2 if same else 0
        shape = (kernel, kernel, filters_in, filters)
        self.kernel = nnx.Param(nnx.initializers.he_normal()(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(filters)) if use_bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) -> (N, H, W, filters) with `same`, (N, H-k+1, W-k+1, filters) without."""
        kernel = self.kernel[...].astype(x.dtype)
        if kernel.shape[:2] == (1, 1):  # a matrix product: its gradient is several times as fast on CPU
            x = _pixel_product(x, kernel[0, 0])
        elif not self.pad and kernel.shape[:2] == x.shape[1:3]:
            # One window, as at the end of a patch: also a product, else the input's gradient would convolve zeros.
            x = (x.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1]))[:, None, None]
        elif not self.pad and min(kernel.shape[:2]) >= LARGE_KERNEL:
            x = fourier_convolution(x, kernel)
        elif jax.default_backend() == "cpu":
            x = convolution_for_cpu(x, kernel, self.pad)
        else:
            x = convolution(x, kernel, (self.pad, self.pad))
        return x if self.bias is None else x + self.bias[...].astype(x.dtype).reshape(1, 1, 1, -1)


def _pixel_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """(N, H, W, C) times (C, M) at every pixel."""
    return product_for_cpu(x, kernel) if jax.default_backend() == "cpu" else x @ kernel


def hidden_linear(filters_in: int, filters: int, *, use_bias: bool, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear map at every pixel, he-normal, which is not the last layer: it returns the type of its input."""
    initializer = nnx.initializers.he_normal()
    return nnx.Linear(
        filters_in,
        filters,
        use_bias=use_bias,
        kernel_init=initializer,
        promote_dtype=_to_first_type,
        dot_general=_pixel_dot_general,
        rngs=rngs,
    )


def _pixel_dot_general(x: Any, kernel: Any, *_: Any, **__: Any) -> jax.Array:
    """The product of `hidden_linear`, which is the same at every pixel of (N, H, W, C)."""
    return _pixel_product(x, kernel)


def _to_first_type(arrays: Any, **_: Any) -> Any:
    """Arrays, or None, in the type of the first."""
    return tuple(None if array is None else array.astype(arrays[0].dtype) for array in arrays)


def output_layer(filters: int, classes: int, rngs: nnx.Rngs) -> nnx.Linear:
    """The last layer: a linear map at every pixel, he-normal, to float32 logits."""
    return nnx.Linear(filters, classes, kernel_init=nnx.initializers.he_normal(), rngs=rngs)


class Upsampling(nnx.Module):
    """Transposed 2 x 2 convolution of stride 2, zero bias: doubles height and width.

    Its windows do not overlap, so it is one matrix product from each pixel to the four that it becomes. The kernel
    starts with the variance that preserves the activations' variance (LeCun et al. 1998), not with twice that
    (he-normal), because no ReLU follows.

    Args:
        filters_in: input channels.
        filters: output channels.
        he: start as a layer before a ReLU would, where a paper does so (P2).
        rngs: initialisation keys.
    """

    def __init__(self, filters_in: int, filters: int, *, he: bool = False, rngs: nnx.Rngs):
        shape = (filters_in, 4 * filters)
        initializer = nnx.initializers.he_normal() if he else nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(initializer(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(filters))

    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) -> (N, 2 H, 2 W, filters)."""
        n, height, width, _ = x.shape
        kernel, bias = self.kernel[...].astype(x.dtype), self.bias[...].astype(x.dtype)
        x = _pixel_product(x, kernel).reshape(n, height, width, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, 2 * height, 2 * width, -1) + bias.reshape(1, 1, 1, -1)


class Normalization(nnx.Module):
    """Batch normalisation over (N, H, W); under a mesh the statistics are those of the global batch.

    Like `nnx.BatchNorm`, but with one pass over the activations instead of four: on CPU, memory traffic matters. The
    statistics are float32, and so is the sum of products that they enter.

    Attributes:
        held: whether training uses the running statistics and leaves them as they are, in a part that is frozen.

    Args:
        filters: channels.
        momentum: share of the running statistics kept per step.
        epsilon: added to the variance.
    """

    def __init__(self, filters: int, *, momentum: float, epsilon: float):
        self.momentum, self.epsilon, self.held = momentum, epsilon, False
        self.scale, self.bias = nnx.Param(jnp.ones(filters)), nnx.Param(jnp.zeros(filters))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(filters)), nnx.BatchStat(jnp.ones(filters))

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalise (N, H, W, C) by the running statistics; in training by the batch's, which move those."""
        mean, var = self.mean[...], self.var[...]
        result, x = x.dtype, x.astype(jnp.float32)
        if train and not self.held:
            running_mean, running_var, keep = mean, var, self.momentum
            mean = jnp.mean(x, axis=(0, 1, 2))
            var = jnp.maximum(jnp.mean(jnp.square(x), axis=(0, 1, 2)) - jnp.square(mean), 0)
            self.mean[...] = keep * running_mean + (1 - keep) * mean
            self.var[...] = keep * running_var + (1 - keep) * var
        factor = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        shape = (1,) * (x.ndim - 1) + (-1,)
        return (x * factor.reshape(shape) + (self.bias[...] - mean * factor).reshape(shape)).astype(result)


@partial(jax.jit, static_argnames="step")
def max_pool(x: jax.Array, step: int) -> jax.Array:
    """2 x 2 max pooling of (N, H, W, C) every `step` pixels (2: the usual; 1: at every pixel).

    Written as maxima of slices: the gradient of `lax.reduce_window` is many times slower on CPU.
    """
    rows, columns = x.shape[1] - 1, x.shape[2] - 1
    x = jnp.maximum(x[:, 0:rows:step], x[:, 1 : rows + 1 : step])
    return jnp.maximum(x[:, :, 0:columns:step], x[:, :, 1 : columns + 1 : step])


def split_phases(x: jax.Array) -> jax.Array:
    """Move the four 2 x 2 phases of (N, H, W, C) into the batch: (4 N, H/2, W/2, C); H and W even.

    The phases of an image follow each other, so a batch that is split over devices by image stays split by image.
    """
    n, height, width, channels = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(4 * n, height // 2, width // 2, channels)


def merge_phases(x: jax.Array, times: int) -> jax.Array:
    """Undo `times` rounds of `split_phases`: (4^times N, H, W, C) -> (N, 2^times H, 2^times W, C)."""
    for _ in range(times):
        n, height, width, channels = x.shape
        x = x.reshape(n // 4, 2, 2, height, width, channels)
        x = x.transpose(0, 3, 1, 4, 2, 5).reshape(n // 4, 2 * height, 2 * width, channels)
    return x
