"""The interface of every network and of its settings."""

from dataclasses import dataclass
from typing import ClassVar

import jax
from flax import nnx


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a network sees around each output, and which sizes suit it; by default a single pixel.

    Attributes:
        receptive_field: edge of the square of input pixels that holds what any one output sees.
        border: pixels lost on each side between input and output.
        train_border: the same in training, where less context may be enough.
        multiple: output sizes must be divisible by this in training, and offsets of windows in prediction.
    """

    receptive_field: int = 1
    border: int = 0
    train_border: int = 0
    multiple: int = 1


class Network(nnx.Module):
    """Base of every network.

    Attributes:
        geometry: what it sees around each output.
        levels: name of the list of the levels of its contracting path, from full resolution on.
    """

    geometry: Geometry
    levels: ClassVar[str] = "down"

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """(N, H, W, C) -> logits (N, H - 2 border, W - 2 border, classes); in training, 2 train_border less.

        It computes in the type of x, float32 or bfloat16. The logits are float32.
        """
        raise NotImplementedError


@dataclass
class ModelConfig:
    """Base of the settings of a network; a subclass defines `build`.

    Attributes:
        takes_patches: whether it can be trained on windows with one labelled pixel (sampler=patches); a property of
            the network, not a setting.
    """

    takes_patches: ClassVar[bool] = False

    def build(self, *, channels: int, classes: int, seed: int) -> Network:
        """A new network with random weights.

        Args:
            channels: image channels.
            classes: output classes.
            seed: seed of the initialisation.
        """
        raise NotImplementedError
