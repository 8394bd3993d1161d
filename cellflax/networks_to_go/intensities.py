"""The scale of a tile's intensities, computed within a program: `data.normalize` in JAX."""

import jax
import jax.numpy as jnp
from jax import lax

from cellflax.data.normalize import Intensity, NormalizeConfig


def tile_scale(image: jax.Array, config: NormalizeConfig) -> tuple[jax.Array, jax.Array]:
    """Offset and divisor of each channel of each image, as `data.normalize.intensity_scale` has them.

    They agree to the precision of float32. A tile has at most 2048 x 2048 pixels, all of which are sorted.

    Args:
        image: (N, C, H, W) raw.
        config: the method.

    Returns:
        (N, C) each; a divisor of 0 or less cannot be used.
    """
    n, channels, height, width = image.shape
    pixels = image.reshape(n, channels, height * width)
    zero = jnp.zeros_like(_nth(pixels, 0))
    match config.intensity:
        case Intensity.percentile:
            ordered = jnp.sort(pixels, axis=-1)
            low, high = (_at(ordered, share) for share in (config.low_percentile, config.high_percentile))
            least, most = _nth(ordered, 0), _nth(ordered, height * width - 1)
            same = low == high  # few bright pixels: the whole range instead
            low, high = jnp.where(same, least, low), jnp.where(same, most, high)
            return low, high - low
        case Intensity.median:
            return zero, _at(jnp.sort(pixels, axis=-1), 50)
        case Intensity.maximum:
            return zero, jnp.max(pixels, axis=-1)
        case Intensity.range:
            ordered = jnp.sort(pixels, axis=-1)
            return _at(ordered, 50), _nth(ordered, height * width - 1) - _nth(ordered, 0)
        case _:
            return zero, jnp.ones_like(zero)


def _nth(ordered: jax.Array, index: int) -> jax.Array:
    return lax.index_in_dim(ordered, index, axis=-1, keepdims=False)


def _at(ordered: jax.Array, percent: float) -> jax.Array:
    """The percentile of sorted values, with linear interpolation (as `np.percentile`)."""
    last = ordered.shape[-1] - 1
    place = percent / 100 * last
    below = min(int(place), last)
    start, end = _nth(ordered, below), _nth(ordered, min(below + 1, last))
    return start + (end - start) * (place - below)
