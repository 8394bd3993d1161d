"""Networks, one file per paper, and the function that builds one from its configuration."""

from typing import Protocol

import jax
from flax import nnx

from cellflax.models.patch_net import PatchNet, PatchNetConfig


class Network(Protocol):
    """What every network of the framework is to the code around it.

    Attributes:
        border: pixels lost on each side between input and output.
        multiple: output sizes must be divisible by this in training.
        receptive_field: edge of the square of input pixels that one output sees.
    """

    border: int
    multiple: int
    receptive_field: int

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """(N, H, W, C) -> logits (N, H - 2 border, W - 2 border, classes)."""
        ...


def build_model(config: PatchNetConfig, *, channels: int, classes: int, seed: int) -> PatchNet:
    """A new network with random weights.

    Args:
        config: which network, and its architecture.
        channels: image channels.
        classes: output classes.
        seed: of the initialisation.
    """
    rngs = nnx.Rngs(seed)
    match config:
        case PatchNetConfig():
            return PatchNet(config, channels=channels, classes=classes, rngs=rngs)
    raise TypeError(f"not a model configuration: {type(config).__name__}")
