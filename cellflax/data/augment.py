"""Augmentation on the device (P1: quarter-turn rotations, reflections, and shear as an ablation)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from cellflax.data.example import IGNORE
from cellflax.errors import UserError


@dataclass
class AugmentConfig:
    """What is drawn at random for each crop or patch.

    Attributes:
        rotate: by 0, 90, 180 or 270 degrees.
        reflect: left-right.
        shear_degrees: a horizontal shear by up to this angle either way; 0 for none (P1, S14: no gain).
    """

    rotate: bool = True
    reflect: bool = True
    shear_degrees: float = 0.0

    def __post_init__(self):
        if not 0 <= self.shear_degrees <= 45:
            raise UserError(f"sampler.augment.shear_degrees must be in [0, 45], got {self.shear_degrees}")


def augment(
    key: jax.Array, image: jax.Array, classes: jax.Array, weight: jax.Array, config: AugmentConfig
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One random transform of an image and of its smaller, concentric annotation.

    Args:
        key: random key.
        image: (S + 2 b, S + 2 b, C).
        classes: (S, S) integer.
        weight: (S, S).
        config: what may be drawn.

    Returns:
        The three, transformed alike, of the same shapes and types.
    """
    key_turn, key_flip, key_shear = jax.random.split(key, 3)
    arrays = (image, classes, weight)
    if config.shear_degrees > 0:
        slope = jnp.tan(jnp.deg2rad(config.shear_degrees) * jax.random.uniform(key_shear, minval=-1, maxval=1))
        arrays = _shear(*arrays, slope)
    if config.rotate:
        turns = jax.random.randint(key_turn, (), 0, 4)
        branches = [lambda xs, k=k: tuple(jnp.rot90(x, k) for x in xs) for k in range(4)]
        arrays = jax.lax.switch(turns, branches, arrays)
    if config.reflect:
        flip = jax.random.bernoulli(key_flip)
        arrays = tuple(jnp.where(flip, x[:, ::-1], x) for x in arrays)
    image, classes, weight = arrays
    return image, classes, weight


def _shear(image, classes, weight, slope):
    """Shift each row in proportion to its distance from the centre: linear for intensities, nearest else."""

    def coordinates(shape):
        rows, columns = (jnp.arange(n) - (n - 1) / 2 for n in shape)
        sheared = columns[None, :] + slope * rows[:, None] + (shape[1] - 1) / 2
        return [jnp.broadcast_to(jnp.arange(shape[0])[:, None], shape), sheared]

    grid = coordinates(image.shape[:2])
    image = jnp.stack(
        [map_coordinates(image[..., c], grid, order=1, mode="mirror") for c in range(image.shape[-1])],
        axis=-1,
    )
    grid = coordinates(classes.shape)
    classes = map_coordinates(classes, grid, order=0, mode="constant", cval=IGNORE)
    return image, classes, map_coordinates(weight, grid, order=0, mode="constant", cval=0)
