"""Random blur, noise and changes of brightness on the device, which leave the annotation as it is."""

import math
from typing import Protocol

import jax
import jax.numpy as jnp


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
        image = sum(kernel[k] * jax.lax.slice_in_dim(padded, k, k + length, axis=axis) for k in range(2 * radius + 1))  # pyright: ignore[reportAssignmentType]
    return image


def to_range(crop: jax.Array) -> jax.Array:
    """Scale each channel of (H, W, C) to 0 ... 1 and subtract its median (P2); a constant one becomes 0."""
    lowest, highest, median = (f(crop, axis=(0, 1), keepdims=True) for f in (jnp.min, jnp.max, jnp.median))
    return (crop - median) / jnp.where(highest > lowest, highest - lowest, 1)
