"""Training costs: functions of logits and a weighted batch, one file per paper."""

from functools import partial

import numpy as np

from cellflax.losses.base import Activation, Loss, LossConfig, l2_penalty
from cellflax.losses.composite_rmsd import CompositeRmsdConfig, class_weights, composite_rmsd
from cellflax.losses.cross_entropy import CrossEntropyConfig, cross_entropy
from cellflax.losses.weighted_softmax import WeightedSoftmaxConfig, foreground_factor, weighted_softmax

__all__ = [
    "Activation",
    "CompositeRmsdConfig",
    "CrossEntropyConfig",
    "Loss",
    "LossConfig",
    "WeightedSoftmaxConfig",
    "activation_of",
    "build_loss",
    "composite_rmsd",
    "cross_entropy",
    "l2_penalty",
    "weighted_softmax",
]


def activation_of(config: LossConfig | None) -> Activation:
    """How the outputs of a network that was trained by this cost become probabilities.

    Networks that were not trained here (published weights) have no cost; theirs end in a softmax.
    """
    return Activation.softmax if config is None else config.activation


def build_loss(config: LossConfig, class_names: tuple[str, ...], pixels: np.ndarray) -> Loss:
    """The cost of a configuration, without its penalty on the weights.

    Args:
        config: which cost, and its settings.
        class_names: of the network's outputs, background last.
        pixels: (K,) annotated pixels of each class in the training set.

    Raises:
        UserError: if the settings do not suit the classes.
    """
    match config:
        case CrossEntropyConfig():
            return cross_entropy
        case WeightedSoftmaxConfig():
            return partial(weighted_softmax, foreground=foreground_factor(config, pixels))
        case CompositeRmsdConfig():
            weights = class_weights(config, class_names)
            return partial(composite_rmsd, weights=weights, sum_weight=config.sum_weight)
    raise TypeError(f"not a loss configuration: {type(config).__name__}")
