"""The cost of Al-Kofahi 2018 (P3): root-mean-square deviations of independent class probabilities."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.checks import at_least, check
from cellflax.errors import UserError
from cellflax.losses.base import Activation, Loss, LossConfig


@dataclass
class CompositeRmsdConfig(LossConfig):
    """Weighted sum of each class's RMSD and the RMSD of the probabilities' sum from 1 (P3: all weights 1).

    The sampler's weights only mark the annotated pixels, those above 0. Each class has its own term, however few
    pixels it has, so `sampler.balance` changes only the weights of the reported accuracy.

    Attributes:
        weights: weights of the classes' terms, one for each in the order of the data's classes, or one for all.
        sum_weight: weight of the term that draws the sum of the probabilities to 1.
    """

    activation: ClassVar[Activation] = Activation.sigmoid

    weights: list[float] = field(default_factory=lambda: [1.0])
    sum_weight: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        check(self, "loss", at_least(0), "weights", "sum_weight")
        if not any(self.weights):
            raise UserError(f"loss.weights must have one value above 0, got {list(self.weights)}")

    def build(self, class_names: tuple[str, ...], pixels: np.ndarray) -> Loss:
        """See `composite_rmsd`."""
        return partial(composite_rmsd, weights=class_weights(self, class_names), sum_weight=self.sum_weight)


def class_weights(config: CompositeRmsdConfig, class_names: tuple[str, ...]) -> list[float]:
    """One weight per class.

    Raises:
        UserError: if there is neither one weight for each class nor one for all.
    """
    if len(config.weights) not in (1, len(class_names)):
        raise UserError(
            f"loss.weights has {len(config.weights)} values for the {len(class_names)} classes "
            f"{', '.join(class_names)}; give one for each, or one for all"
        )
    return list(config.weights) * (len(class_names) if len(config.weights) == 1 else 1)


def composite_rmsd(
    logits: jax.Array, target: jax.Array, weight: jax.Array, weights: list[float], sum_weight: float
) -> jax.Array:
    """Sum over classes k of w_k RMSD(p_k, l_k), plus w RMSD(sum_k p_k, 1), per crop; the mean over the batch.

    p = sigmoid(logits), l_k = 1 where the class is k, and RMSD(a, b) = sqrt(mean((a - b)^2)) over the annotated
    pixels of a crop. The last term uses the predictions p where the paper prints the labels l. The labels sum to 1
    anyway, so their term would be constant and without gradient. The last term ties the independent outputs
    together; for a softmax it would be zero.

    The gradient of RMSD has the norm 1 / sqrt(n) however small the error, but is 0 / 0 where the error is exactly
    zero; there, at the minimum, it is taken as 0.

    Args:
        logits: (B, S, S, K).
        target: (B, S, S) integer classes.
        weight: (B, S, S); pixels of weight 0 are not annotated.
        weights: w_k of the K classes.
        sum_weight: w of the last term.

    Returns:
        Scalar, the mean over the crops that have annotated pixels; 0 where none has.
    """
    annotated = (weight > 0)[..., None].astype(logits.dtype)
    probability = jax.nn.sigmoid(logits)
    label = jax.nn.one_hot(target, logits.shape[-1])
    pixels = jnp.sum(annotated, axis=(1, 2))  # (B, 1)
    error = annotated * jnp.concatenate(
        [probability - label, jnp.sum(probability, axis=-1, keepdims=True) - 1], axis=-1
    )
    rmsd = _safe_sqrt(jnp.sum(jnp.square(error), axis=(1, 2)) / jnp.maximum(pixels, 1))  # (B, K + 1)
    crops = jnp.maximum(jnp.sum(pixels > 0), 1)
    return jnp.sum(rmsd * jnp.asarray([*weights, sum_weight])[None, :]) / crops


def _safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root of x >= 0 whose gradient at 0 is 0; both branches of `where` must be finite for that."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
