"""Training costs: functions of logits and a weighted batch, one file per paper, and one for distances."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cellflax.losses.base import Activation, Loss, LossConfig, l2_penalty
from cellflax.targets import Outputs

__all__ = ["Activation", "Loss", "LossConfig", "activation_of", "l2_penalty", "output_activation"]


def activation_of(config: LossConfig | None) -> Activation:
    """How the classes of a network that was trained by this cost become probabilities.

    Networks that were not trained here (published weights) have no cost; theirs end in a softmax.
    """
    return Activation.softmax if config is None else config.activation


def output_activation(config: LossConfig | None, outputs: Outputs) -> Callable[[jax.Array], jax.Array]:
    """The function from all logits of a network to its outputs: maps are sigmoids, whatever the classes are.

    Args:
        config: the cost, as for `activation_of`.
        outputs: which logits are classes.
    """
    of_classes = activation_of(config)
    if not outputs.map_names:
        return of_classes

    def activate(logits: jax.Array) -> jax.Array:
        maps = jax.nn.sigmoid(outputs.maps(logits))
        return jnp.concatenate([of_classes(outputs.classes(logits)), maps], axis=-1)

    return activate
