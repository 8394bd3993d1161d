"""Networks, one file per paper, and the function that builds one from its configuration."""

from typing import Protocol

import jax
from flax import nnx

from cellflax.models.patch_net import PatchNet, PatchNetConfig
from cellflax.models.skip_fcn import SkipFcn, SkipFcnConfig
from cellflax.models.unet import UNet, UNetConfig

ModelConfig = PatchNetConfig | UNetConfig | SkipFcnConfig


class Network(Protocol):
    """What every network of the framework is to the code around it.

    Attributes:
        border: pixels lost on each side between input and output.
        train_border: the same in training, where less context may do.
        multiple: output sizes must be divisible by this in training.
        receptive_field: edge of the square of input pixels that one output sees.
    """

    border: int
    train_border: int
    multiple: int
    receptive_field: int

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """(N, H, W, C) -> logits (N, H - 2 border, W - 2 border, classes); in training, 2 train_border less."""
        ...


def build_model(config: ModelConfig, *, channels: int, classes: int, seed: int) -> PatchNet | UNet | SkipFcn:
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
        case UNetConfig():
            return UNet(config, channels=channels, classes=classes, rngs=rngs)
        case SkipFcnConfig():
            return SkipFcn(config, channels=channels, classes=classes, rngs=rngs)
    raise TypeError(f"not a model configuration: {type(config).__name__}")
