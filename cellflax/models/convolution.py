"""Stride-1 convolution whose kernel gradient is fast on CPU."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

# Numbers that are unfolded at once, 1 MiB: they stay in a core's cache between being written and being multiplied.
UNFOLDED = 2**18
# Neighbouring pixels of a row that are unfolded as one, by the most channels: few channels are copied piece by piece,
# and multiply as thin matrices. The products of a group hold some that nobody needs, which costs less.
_GROUPS = ((4, 8), (2, 48))

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolution(x: jax.Array, kernel: jax.Array, pad: Sequence[int]) -> jax.Array:
    """Stride-1 convolution by XLA.

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C, M).
        pad: rows and columns of zeros on each side of x.

    Returns:
        (N, H+2pad-h+1, W+2pad-w+1, M).
    """
    padding = [(pad[0], pad[0]), (pad[1], pad[1])]
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolution_for_cpu(x: jax.Array, kernel: jax.Array, pad: int = 0) -> jax.Array:
    """Stride-1 convolution with the values of XLA's, and a kernel gradient that is two to three times as fast on CPU.

    The kernel gradient is a sum over all pixels. XLA takes it as one convolution with a kernel as large as the image,
    which leaves the cache at every pixel. Here blocks of rows are unfolded along the rows (a part of im2col), and
    multiplied once for each row of the kernel. The input gradient is a plain convolution with the rotated kernel.

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C, M).
        pad: rows and columns of zeros around x, less than h and w.

    Returns:
        (N, H+2pad-h+1, W+2pad-w+1, M).
    """
    return convolution(x, kernel, (pad, pad))


def _forward(x, kernel, pad):
    # Without the barrier, XLA computes the layers before this one again inside the unfolding of the backward pass.
    x = lax.optimization_barrier(x)
    return convolution(x, kernel, (pad, pad)), (x, kernel)


def _backward(pad, residuals, grad):
    x, kernel = residuals
    rows, columns = kernel.shape[:2]
    rotated = jnp.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    back = (rows - 1 - pad, columns - 1 - pad)
    if x.shape[-1] <= grad.shape[-1]:
        gradient = _correlate(x, grad, (rows, columns), (pad, pad))
    else:  # the same sum with the gradient moved instead of x: less to unfold
        gradient = _correlate(grad, x, (rows, columns), back)[::-1, ::-1].transpose(0, 1, 3, 2)
    return convolution(grad, rotated, back), gradient


convolution_for_cpu.defvjp(_forward, _backward)


@jax.custom_vjp
def product_for_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Matrix product at every pixel, a 1 x 1 convolution, with a kernel gradient that is fast on CPU.

    XLA would compute the gradient that arrives here twice: once for the kernel's gradient, transposed, and once for the
    input's, each time with all the layers that are fused into it.

    Args:
        x: (N, H, W, C).
        kernel: (C, M).

    Returns:
        (N, H, W, M).
    """
    return x @ kernel


def _product_forward(x, kernel):
    x = lax.optimization_barrier(x)
    return x @ kernel, (x, kernel)


def _product_backward(residuals, grad):
    x, kernel = residuals
    grad = lax.optimization_barrier(grad)
    return grad @ kernel.T, _correlate(x, grad, (1, 1), (0, 0))[0, 0]


product_for_cpu.defvjp(_product_forward, _product_backward)


def _correlate(moved: jax.Array, fixed: jax.Array, edges: tuple[int, int], pad: tuple[int, int]) -> jax.Array:
    """Sum over all pixels p of `moved` at p + (i, j) times `fixed` at p, as (h, w, C, M).

    Args:
        moved: (N, H+h-1-2pad, W+w-1-2pad, C).
        fixed: (N, H, W, M).
        edges: h and w, how many places i and j take.
        pad: rows and columns of zeros around `moved`.
    """
    if jax.device_count() > 1:  # each device sums over its images; a loop over all of them would gather them
        each = jax.vmap(lambda a, b: _in_blocks(a[None], b[None], edges, pad))(moved, fixed)
        return each.sum(axis=0)
    return _in_blocks(moved, fixed, edges, pad)


def _in_blocks(moved: jax.Array, fixed: jax.Array, edges: tuple[int, int], pad: tuple[int, int]) -> jax.Array:
    """As `_correlate`, as a loop over blocks of rows, or of whole images where these are small."""
    (images, height, width, filters), channels, (h, w) = fixed.shape, moved.shape[-1], edges
    group = next((g for g, most in _GROUPS if w > 1 and channels <= most and width % g == 0), 1)
    seen_columns = group + w - 1  # by a group
    row = width // group * seen_columns * channels
    together = max(k for k in range(1, images + 1) if images % k == 0 and (k == 1 or k * height * row <= UNFOLDED))
    blocks = -(-height // max(1, UNFOLDED // row)) if together == 1 else 1
    rows = -(-height // blocks)
    seen = min(rows + h - 1, moved.shape[1])

    def add(total: jax.Array, block: jax.Array) -> tuple[jax.Array, None]:
        image, first = block // blocks * together, block % blocks * rows
        # A slice that would leave the image is moved inside. Rows of the block before are then there again and count 0.
        start = jnp.minimum(first, height - rows)
        here = lax.dynamic_slice(fixed, (image, start, 0, 0), (together, rows, width, filters))
        here = here * (start + jnp.arange(rows) >= first)[None, :, None, None]
        here = here.reshape(-1, group * filters).T
        corner = jnp.clip(start - pad[0], 0, moved.shape[1] - seen)
        window = lax.dynamic_slice(moved, (image, corner, 0, 0), (together, seen, moved.shape[2], channels))
        # Zeros around the block, in the cache, instead of a copy of the whole batch with zeros around it.
        window = jnp.pad(window, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1]), (0, 0)))
        window = lax.dynamic_slice_in_dim(window, start - corner, rows + h - 1, axis=1)
        # Without the barrier, it would be unfolded again for each row of the kernel.
        unfolded = lax.optimization_barrier(_unfold_rows(window, width, group, seen_columns))
        products = [
            jnp.matmul(
                here,
                unfolded[:, i : i + rows].reshape(-1, seen_columns * channels),
                preferred_element_type=jnp.float32,
            )
            for i in range(h)
        ]
        return total + jnp.stack(products), None

    zero = jnp.zeros((h, group * filters, seen_columns * channels), jnp.float32)
    total, _ = lax.scan(add, zero, jnp.arange(images // together * blocks))
    total = total.reshape(h, group, filters, seen_columns, channels)
    gradient = sum((total[:, g, :, g : g + w] for g in range(1, group)), start=total[:, 0, :, :w])
    return gradient.astype(fixed.dtype).transpose(0, 2, 3, 1)


def _unfold_rows(window: jax.Array, width: int, group: int, columns: int) -> jax.Array:
    """What each group of neighbouring pixels sees of its row: (N, H, W, C) to (N, H, width / group, columns * C).

    Args:
        window: W is `width` and what the last pixel sees beyond.
        width: pixels of a row.
        group: pixels in a group; it divides `width`.
        columns: pixels that a group sees, from its first.
    """
    images, rows, edge, channels = window.shape
    pieces = -(-columns // group)
    window = jnp.pad(window, ((0, 0), (0, 0), (0, width + (pieces - 1) * group - edge), (0, 0)))
    window = window.reshape(images, rows, -1, group * channels)
    lengths = [min(group, columns - k * group) * channels for k in range(pieces)]
    places = [window[:, :, k : k + width // group, :length] for k, length in enumerate(lengths)]
    return jnp.concatenate(places, axis=-1)
