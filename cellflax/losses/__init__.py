"""Training costs: functions of logits and a weighted batch, one file per paper."""

from cellflax.losses.base import Activation, Loss, LossConfig, l2_penalty

__all__ = ["Activation", "Loss", "LossConfig", "activation_of", "l2_penalty"]


def activation_of(config: LossConfig | None) -> Activation:
    """How the outputs of a network that was trained by this cost become probabilities.

    Networks that were not trained here (published weights) have no cost; theirs end in a softmax.
    """
    return Activation.softmax if config is None else config.activation
