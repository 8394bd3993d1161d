"""The cost of maps of distances (group target), which is added to that of the classes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cellflax.targets import BOUNDARY, DISTANCES

# (B, S, S, maps) logits, (B, S, S, maps) targets with NaN where nothing is known -> scalar.
MapsLoss = Callable[[jax.Array, jax.Array], jax.Array]


def distance_cost(logits: jax.Array, target: jax.Array, weight: float, outside: float) -> jax.Array:
    """Mean absolute error over the pixels of cells, plus a share of that over the others, in the mean over the maps.

    Cells count by their area. The sampler's weights, which balance classes, have no part in it.

    Args:
        logits: (B, S, S, maps); the sigmoid of them is compared.
        target: (B, S, S, maps) in 0 ... 1, planes as `targets.DISTANCES`, NaN where nothing is known.
        weight: factor of the whole cost.
        outside: share of the error outside of cells.

    Returns:
        Scalar; 0 for a batch in which nothing is known.
    """
    known = jnp.isfinite(target[..., 0])
    target = jnp.where(known[..., None], target, 0)
    error = jnp.abs(jax.nn.sigmoid(logits) - target).mean(axis=-1)
    cell = target[..., DISTANCES.index(BOUNDARY)] > 0  # 0 outside alone
    return weight * (_mean(error, known & cell) + outside * _mean(error, known & ~cell))


def _mean(error: jax.Array, where: jax.Array) -> jax.Array:
    return jnp.sum(error * where) / jnp.maximum(jnp.sum(where), 1)
