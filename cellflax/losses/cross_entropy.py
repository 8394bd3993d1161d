"""The cost of Van Valen 2016 (P1): cross-entropy with classes balanced by the sampler."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cellflax.losses.base import Loss, LossConfig


@dataclass
class CrossEntropyConfig(LossConfig):
    """Softmax cross-entropy plus L2 on all weights (P1); pixels count as the sampler weighs them."""

    takes_patches: ClassVar[bool] = True

    def build(self, class_names: tuple[str, ...], pixels: np.ndarray) -> Loss:
        """See `cross_entropy`."""
        return cross_entropy


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
