"""The cost of Sadanandan 2017 (P2): cross-entropy with classes balanced image by image, and more for the foreground."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cellflax.checks import above, check
from cellflax.losses.base import Loss, LossConfig

# `foreground: null` stays in this range: never below the background's weight, and never so far above it that the
# background is ignored.
AUTO_RANGE = (1.0, 10.0)


@dataclass
class WeightedSoftmaxConfig(LossConfig):
    """Softmax cross-entropy; the classes of a crop get equal total weights, then the foreground gets more (P2).

    The sampler's weights only mark the annotated pixels, those above 0. This cost balances the classes itself, so
    `sampler.balance` changes only the weights of the reported accuracy.

    Attributes:
        foreground: factor on all classes but the background; P2: 3, dependent on the data. Null derives it from the
            training set: annotated background pixels per foreground pixel, at least 1 and at most 10. That is 3
            if cells cover a quarter of the area.
    """

    foreground: float | None = 3.0

    def __post_init__(self):
        super().__post_init__()
        check(self, "loss", above(0), "foreground")

    def build(self, class_names: tuple[str, ...], pixels: np.ndarray) -> Loss:
        """See `weighted_softmax`."""
        return partial(weighted_softmax, foreground=foreground_factor(self, pixels))


def foreground_factor(config: WeightedSoftmaxConfig, pixels: np.ndarray) -> float:
    """The configured factor, or the one that the training set suggests.

    Args:
        config: the settings.
        pixels: (K,) annotated pixels of each class in the training set, background last.
    """
    if config.foreground is not None:
        return config.foreground
    return float(np.clip(pixels[-1] / max(pixels[:-1].sum(), 1), *AUTO_RANGE))


def weighted_softmax(logits: jax.Array, target: jax.Array, weight: jax.Array, foreground: float) -> jax.Array:
    """Mean of w(pixel) * -log softmax(logits)[target] over the annotated pixels of the batch.

    A crop has n annotated pixels, n_k of class k, and c classes that occur. Then w = n / (c n_k), times
    `foreground` for all classes but the last. Before that factor the mean of w is 1 in every crop. The divisor is
    the number of pixels rather than the sum of the weights, so that the factor raises the foreground and leaves
    the background as it is, and crops count by their number of annotated pixels.

    Args:
        logits: (B, S, S, K).
        target: (B, S, S) integer classes.
        weight: (B, S, S); pixels of weight 0 are not annotated.
        foreground: factor on all classes but the last.

    Returns:
        Scalar; 0 for a batch without annotation.
    """
    annotated = weight > 0
    member = jax.nn.one_hot(target, logits.shape[-1]) * annotated[..., None]
    pixels = jnp.sum(member, axis=(1, 2))  # (B, K)
    occurring = jnp.sum(pixels > 0, axis=-1, keepdims=True)
    total = jnp.sum(pixels, axis=-1, keepdims=True)
    factor = jnp.full(logits.shape[-1], foreground).at[-1].set(1.0)
    per_class = factor[None, :] * total / jnp.maximum(occurring * pixels, 1)
    balanced = jnp.sum(member * per_class[:, None, None, :], axis=-1)
    surprise = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    return jnp.sum(balanced * surprise) / jnp.maximum(jnp.sum(annotated), 1)
