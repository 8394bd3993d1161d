"""Convolution with large kernels by fast Fourier transform."""

import jax
import jax.numpy as jnp
from jax import lax
from scipy.fft import next_fast_len

# Direct convolution is faster up to 4 pixels (the largest in P1's stages); FFT is 3 to 11 times faster at 12 and 28
# pixels (benchmarks/convolution.py).
LARGE_KERNEL = 10


@jax.jit  # by this name, `networks_to_go` knows it in a program
def fourier_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-1 convolution of whole windows of x with a large kernel.

    Its cost per output hardly depends on the kernel. Directly, the 28 x 28 branch of Van Valen 2016 (P1) would take
    50,000 products per output and filter. x is cut into overlapping blocks (overlap-save). Their outputs are at most
    two kernels wide, because the spectrum of the kernel takes the memory of a block for every pair of channels. Values
    are those of `lax.conv_general_dilated`, if anything more exact.

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C, M), h and w at most H and W.

    Returns:
        (N, H-h+1, W-w+1, M).
    """
    result = x.dtype
    x, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)  # there are no transforms of bfloat16
    rows, columns = (_Blocks(size, edge) for size, edge in zip(x.shape[1:3], kernel.shape[:2], strict=True))
    shape = rows.transform, columns.transform
    x = jnp.pad(x, ((0, 0), (0, rows.missing), (0, columns.missing), (0, 0)))
    blocks = [x[:, i : i + rows.window, j : j + columns.window] for i in rows.starts for j in columns.starts]
    spectra = jnp.fft.rfft2(jnp.stack(blocks, axis=1).transpose(0, 1, 4, 2, 3), shape)
    # Networks correlate instead of convolving, so the kernel's spectrum is conjugated.
    kernel_spectra = jnp.conj(jnp.fft.rfft2(kernel.transpose(2, 3, 0, 1), shape))
    # On a GPU, products of 10 bits would spoil all pixels of a block.
    product = jnp.einsum("nbcuv,cmuv->nbmuv", spectra, kernel_spectra, precision=lax.Precision.HIGHEST)
    y = jnp.fft.irfft2(product, shape)[..., : rows.edge, : columns.edge]
    n, m = x.shape[0], kernel.shape[-1]
    y = y.reshape(n, len(rows.starts), len(columns.starts), m, rows.edge, columns.edge).transpose(0, 1, 4, 2, 5, 3)
    y = y.reshape(n, len(rows.starts) * rows.edge, len(columns.starts) * columns.edge, m)
    return y[:, : rows.outputs, : columns.outputs].astype(result)


class _Blocks:
    """How one side of the image is cut.

    Attributes:
        outputs: number of outputs along the whole side.
        edge: number of outputs along one block.
        window: number of pixels that a block sees.
        starts: first pixel of each block's window.
        missing: pixels that the last block sees beyond the image.
        transform: length of the Fourier transform, at least that of the window, so that no valid output wraps round.
    """

    def __init__(self, size: int, kernel: int):
        self.outputs = size - kernel + 1
        blocks = -(-self.outputs // (2 * kernel))
        self.edge = -(-self.outputs // blocks)
        self.window = self.edge + kernel - 1
        self.starts = range(0, blocks * self.edge, self.edge)
        self.missing = blocks * self.edge - self.outputs
        self.transform: int = next_fast_len(self.window, real=True)  # pyright: ignore[reportAttributeAccessIssue]
