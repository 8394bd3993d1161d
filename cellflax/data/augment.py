"""Augmentation on the device: quarter turns, reflections, shear (Van Valen 2016, P1), any angle, scale, intensities."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from cellflax.checks import check, within
from cellflax.data.example import IGNORE
from cellflax.data.photometry import distort


@dataclass
class AugmentConfig:
    """What is drawn at random for each crop or patch.

    Attributes:
        rotate: rotate by 0, 90, 180 or 270 degrees.
        rotate_degrees: rotate further, by any angle up to this one in either direction; 0 for none. With `rotate`, 45
            makes all angles equally likely.
        reflect: swap left and right.
        shear_degrees: shear horizontally by up to this angle in either direction; 0 for none (P1, S14: no gain).
        scale: zoom in or out by up to this factor, uniform in its logarithm; 1 for none.
        gain: standard deviation of the logarithm of the factor that multiplies each normalised channel; 0 for none.
        gamma: standard deviation of the logarithm of the exponent of each channel, whose values are taken as shares of
            their range in the crop; 0 for none.
        blur_px: Gaussian blur with a sigma that is uniform between 0 and this one, pixels; 0 for none.
        offset: standard deviation of what is added to each normalised channel; 0 for none.
        noise: Gaussian noise in every pixel of the normalised image, with a standard deviation that is uniform
            between 0 and this one; 0 for none.
    """

    rotate: bool = True
    rotate_degrees: float = 0.0
    reflect: bool = True
    shear_degrees: float = 0.0
    scale: float = 1.0
    gain: float = 0.0
    gamma: float = 0.0
    blur_px: float = 0.0
    offset: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        check(self, "sampler.augment", within(0, 45), "rotate_degrees", "shear_degrees")
        check(self, "sampler.augment", within(1, 2), "scale")
        check(self, "sampler.augment", within(0, 1), "gain", "gamma", "offset", "noise")
        check(self, "sampler.augment", within(0, 10), "blur_px")


def augment(
    key: jax.Array,
    image: jax.Array,
    classes: jax.Array,
    weight: jax.Array,
    config: AugmentConfig,
    maps: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """One random transform of an image and of its smaller, concentric annotation.

    Args:
        key: random key.
        image: (S + 2 b, S + 2 b, C).
        classes: (S, S) integer.
        weight: (S, S).
        config: what may be drawn.
        maps: (S, S, maps) of distances that are shares of the cell's largest, so that they keep their values.

    Returns:
        The four arrays after the same transform, with the same shapes and types; `maps` is None if it was.
    """
    key_turn, key_flip, key_shear = jax.random.split(key, 3)
    arrays = (image, classes, weight, maps)
    if config.rotate_degrees > 0 or config.shear_degrees > 0 or config.scale > 1:
        slope = jnp.tan(jnp.deg2rad(config.shear_degrees) * jax.random.uniform(key_shear, minval=-1, maxval=1))
        key_scale = jax.random.fold_in(key_shear, 1)
        zoom = jnp.exp(jnp.log(config.scale) * jax.random.uniform(key_scale, minval=-1, maxval=1))
        key_angle = jax.random.fold_in(key_shear, 3)
        angle = jnp.deg2rad(config.rotate_degrees) * jax.random.uniform(key_angle, minval=-1, maxval=1)
        arrays = _warp(*arrays, slope, zoom, angle)
    if config.rotate:
        turns = jax.random.randint(key_turn, (), 0, 4)
        branches = [lambda xs, k=k: jax.tree.map(lambda x: jnp.rot90(x, k), xs) for k in range(4)]
        arrays = jax.lax.switch(turns, branches, arrays)
    if config.reflect:
        flip = jax.random.bernoulli(key_flip)
        arrays = jax.tree.map(lambda x: jnp.where(flip, x[:, ::-1], x), arrays)
    image, classes, weight, maps = arrays
    if config.gain > 0:
        gains = jnp.exp(config.gain * jax.random.normal(jax.random.fold_in(key_shear, 2), image.shape[-1:]))
        image = image * gains[None, None, :]
    image = distort(jax.random.fold_in(key_shear, 4), image, config)
    return image, classes, weight, maps


def _warp(image, classes, weight, maps, slope, zoom, angle):
    """Turn about the centre, zoom, and shift rows in proportion to their distance from the centre.

    Interpolation is linear for intensities and nearest for the annotation, so that a pixel has the class and the
    distances of one and the same cell. Beyond the borders the image is mirrored and counts as not annotated.
    """

    def coordinates(shape):
        rows, columns = (jnp.arange(n) - (n - 1) / 2 for n in shape)
        middle = [(n - 1) / 2 for n in shape]
        sheared = columns[None, :] + slope * rows[:, None]
        turned = (
            jnp.cos(angle) * rows[:, None] - jnp.sin(angle) * sheared,
            jnp.sin(angle) * rows[:, None] + jnp.cos(angle) * sheared,
        )
        return [jnp.broadcast_to(x / zoom + m, shape) for x, m in zip(turned, middle, strict=True)]

    grid = coordinates(image.shape[:2])
    image = jnp.stack(
        [map_coordinates(image[..., c], grid, order=1, mode="mirror") for c in range(image.shape[-1])],
        axis=-1,
    )
    grid = coordinates(classes.shape)
    classes = map_coordinates(classes, grid, order=0, mode="constant", cval=IGNORE)
    weight = map_coordinates(weight, grid, order=0, mode="constant", cval=0)
    if maps is not None:
        planes = [
            map_coordinates(plane, grid, order=0, mode="constant", cval=jnp.nan) for plane in jnp.unstack(maps, axis=-1)
        ]
        maps = jnp.stack(planes, axis=-1)
    return image, classes, weight, maps
