"""Training costs: functions of logits and a weighted batch."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from cellflax.errors import UserError
from cellflax.optimizers import is_kernel

Loss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


@dataclass
class CrossEntropyConfig:
    """Softmax cross-entropy plus L2 on all weights (P1).

    Attributes:
        l2: factor of the sum of squares of all kernels; P1: 1e-5, ablation 0, 1e-7, 1e-6, 1e-5.
    """

    l2: float = 1e-5

    def __post_init__(self):
        if self.l2 < 0:
            raise UserError(f"loss.l2 must be 0 or more, got {self.l2}")


def cross_entropy(logits: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted mean of -log softmax(logits)[target] (P1).

    The divisor is the number of pixels, not the sum of the weights: the weights have mean 1 over the data
    set, and dividing by a sum that differs from crop to crop would bias the balance between classes.

    Args:
        logits: (..., K).
        target: (...) integer classes.
        weight: (...) non-negative.

    Returns:
        Scalar.
    """
    return jnp.mean(weight * optax.softmax_cross_entropy_with_integer_labels(logits, target))


def l2_penalty(params) -> jax.Array:
    """Sum of squares of all kernels, not of biases and normalisation scales (P1)."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = [leaf for path, leaf in leaves if is_kernel(path)]
    return sum((jnp.sum(jnp.square(kernel)) for kernel in kernels), jnp.zeros(()))
