"""Random blur, noise and changes of brightness on the device, which leave the annotation as it is."""

import math
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Photometry(Protocol):
    """The settings of `distort`; see `augment.AugmentConfig`."""

    gamma: float
    blur_px: float
    offset: float
    noise: float


def distort(key: jax.Array, image: jax.Array, config: Photometry) -> jax.Array:
    """One random change of the intensities of a crop, in the order exponent, blur, shift, noise.

    Args:
        key: random key.
        image: (H, W, C) normalised.
        config: what may be drawn; what is 0 changes nothing and costs nothing.
    """
    key_gamma, key_blur, key_offset, key_noise = jax.random.split(key, 4)
    channels = image.shape[-1:]
    if config.gamma > 0:
        image = _to_power(image, jnp.exp(config.gamma * jax.random.normal(key_gamma, channels)))
    if config.blur_px > 0:
        image = _blur(image, config.blur_px * jax.random.uniform(key_blur), math.ceil(3 * config.blur_px))
    if config.offset > 0:
        image = image + config.offset * jax.random.normal(key_offset, channels)[None, None, :]
    if config.noise > 0:
        key_level, key_pixels = jax.random.split(key_noise)
        level = config.noise * jax.random.uniform(key_level)
        image = image + level * jax.random.normal(key_pixels, image.shape)
    return image


def _to_power(image: jax.Array, exponent: jax.Array) -> jax.Array:
    """Each channel between its smallest and largest value, whose share of that range is raised to its exponent."""
    lowest, highest = (f(image, axis=(0, 1), keepdims=True) for f in (jnp.min, jnp.max))
    span = jnp.where(highest > lowest, highest - lowest, 1)
    # XLA computes the image again with fused products, so that its smallest value can be below `lowest` by a rounding.
    share = jnp.maximum((image - lowest) / span, 0)
    return lowest + span * share ** exponent[None, None, :]


def _blur(image: jax.Array, sigma: jax.Array, radius: int) -> jax.Array:
    """Gaussian of a drawn width, cut off at `radius`; the image is mirrored at its border."""
    at = jnp.arange(-radius, radius + 1)
    kernel = jnp.exp(-(at**2) / (2 * jnp.maximum(sigma, 1e-3) ** 2))
    kernel = kernel / kernel.sum()
    for axis in (0, 1):
        width = [(radius, radius) if k == axis else (0, 0) for k in range(image.ndim)]
        padded = jnp.pad(image, width, mode="reflect")
        length = image.shape[axis]
        image = sum(kernel[k] * lax.slice_in_dim(padded, k, k + length, axis=axis) for k in range(2 * radius + 1))  # pyright: ignore[reportAssignmentType]
    return image


def to_range(crop: jax.Array) -> jax.Array:
    """Scale each channel of (H, W, C) to 0 ... 1 and subtract its median (P2); a constant one becomes 0."""
    lowest, highest = (f(crop, axis=(0, 1), keepdims=True) for f in (jnp.min, jnp.max))
    return (crop - median(crop)) / jnp.where(highest > lowest, highest - lowest, 1)


def median(crop: jax.Array) -> jax.Array:
    """The median of each channel of (H, W, C) float32, (1, 1, C); that of `jnp.median`, without its sort.

    A number is found bit by bit, from the highest: 32 passes that count what is smaller. On CPU a sort is slower.
    """
    values = jnp.moveaxis(crop, -1, 0).reshape(crop.shape[-1], -1)
    count = values.shape[1]
    bits = lax.bitcast_convert_type(values + 0.0, jnp.uint32)  # -0 and 0 are one number
    keys = jnp.where(bits >> 31 == 1, ~bits, bits | _SIGN)  # in the order of the numbers
    before = (count - 1) // 2

    def next_bit(place, low):
        trial = low | (jnp.uint32(1) << (31 - place).astype(jnp.uint32))
        return jnp.where(jnp.sum(keys < trial[:, None], axis=1) <= before, trial, low)

    lower = upper = lax.fori_loop(0, 32, next_bit, jnp.zeros(len(keys), jnp.uint32))
    if count % 2 == 0:
        up_to_lower = jnp.sum(keys <= lower[:, None], axis=1)
        above = jnp.min(jnp.where(keys > lower[:, None], keys, _LARGEST), axis=1)
        upper = jnp.where(up_to_lower > count // 2, lower, above)
    halves = ((_number(lower) + _number(upper)) * 0.5).reshape(1, 1, -1)
    return jnp.where(jnp.isnan(crop).any(axis=(0, 1), keepdims=True), jnp.nan, halves)


_SIGN, _LARGEST = np.uint32(1 << 31), np.uint32((1 << 32) - 1)


def _number(keys: jax.Array) -> jax.Array:
    """The numbers of the keys of `median`."""
    return lax.bitcast_convert_type(jnp.where(keys >> 31 == 1, keys ^ _SIGN, ~keys), jnp.float32)
