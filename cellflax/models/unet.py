"""U-Nets (Ronneberger et al. 2015): the asymmetric one of Al-Kofahi 2018 (P3), and symmetric ones."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from cellflax.checks import at_least, check, check_value, within
from cellflax.errors import UserError
from cellflax.models.layers import Upsampling, max_pool, output_layer
from cellflax.models.padded import Blocks, Extent, PaddedConfig, PaddedNetwork


@dataclass
class UpLevel:
    """One level of the expanding path.

    Attributes:
        upsample: filters of the transposed convolution that leads to this level.
        filters: filters of each convolution after the skip has been joined.
    """

    upsample: int = 32
    filters: list[int] = field(default_factory=list)


def _down() -> list[list[int]]:
    return [[24, 24], [32, 32], [48, 48], [64, 64]]


def _up() -> list[UpLevel]:
    return [UpLevel(filters, [filters, filters]) for filters in (64, 48, 32, 24)]


def _check_level(key: str, filters: list[int]) -> None:
    """Refuse numbers of filters that no level can have."""
    if not filters:
        raise UserError(f"{key} is empty: give at least one number of filters")
    check_value(key, filters, at_least(1))


@dataclass
class UNetConfig(PaddedConfig):
    """A U-Net whose two paths need not mirror each other.

    Attributes:
        down: filters of each convolution of the contracting path, level by level; a 2 x 2 max pooling follows
            each level.
        bottom: filters of each convolution after the last pooling; may be empty.
        up: the expanding path, from the bottom to full resolution: as many levels as `down`.
        batch_norm: normalise after each convolution.
        dropout: share of activations dropped, for `dropout_levels`.
        dropout_levels: which levels of the contracting path end with dropout: 0 is full resolution, the number
            of poolings is the bottom.
    """

    down: list[list[int]] = field(default_factory=_down)
    bottom: list[int] = field(default_factory=lambda: [96, 96])
    up: list[UpLevel] = field(default_factory=_up)
    batch_norm: bool = True
    dropout: float = 0.5
    dropout_levels: list[int] = field(default_factory=list)

    def __post_init__(self):
        if not self.down:
            raise UserError("model.down is empty: give at least one level of convolutions")
        if len(self.up) != len(self.down):
            raise UserError(
                f"model.up has {len(self.up)} levels, but each of the {len(self.down)} levels of model.down needs one"
            )
        check(self, "model", at_least(1), "bottom")
        check(self, "model", at_least(0, below=1), "dropout")
        check(self, "model", within(0, len(self.down)), "dropout_levels")
        for i, filters in enumerate(self.down):
            _check_level(f"model.down[{i}]", filters)
        for i, level in enumerate(self.up):
            check(level, f"model.up[{i}]", at_least(1), "upsample")
            _check_level(f"model.up[{i}].filters", level.filters)
        super().__post_init__()

    @property
    def convolutions(self) -> tuple[list[int], list[int]]:
        """Number of convolutions at each resolution, down and up; see `PaddedConfig`."""
        return [len(filters) for filters in [*self.down, self.bottom]], [len(level.filters) for level in self.up]

    def build(self, *, channels: int, classes: int, seed: int) -> "UNet":
        """A new network with random weights."""
        return UNet(self, channels=channels, classes=classes, rngs=nnx.Rngs(seed))


class UNet(PaddedNetwork):
    """A U-Net; skips are concatenated.

    Args:
        config: the architecture.
        channels: image channels.
        classes: output classes.
        rngs: initialisation keys.
    """

    def __init__(self, config: UNetConfig, *, channels: int, classes: int, rngs: nnx.Rngs):
        super().__init__(config)
        self.dropout_levels = tuple(config.dropout_levels)
        self.dropout = nnx.Dropout(config.dropout)
        blocks = partial(Blocks, config=config, normalized=config.batch_norm, rngs=rngs)
        width, skips = channels, []
        down, upsampling, up = [], [], []
        for filters in config.down:
            down.append(blocks(width, filters))
            width = filters[-1]
            skips.append(width)
        self.bottom = blocks(width, config.bottom)
        width = [width, *config.bottom][-1]
        for level in config.up:
            upsampling.append(Upsampling(width, level.upsample, rngs=rngs))
            up.append(blocks(skips.pop() + level.upsample, level.filters))
            width = level.filters[-1]
        self.down, self.upsampling, self.up = nnx.List(down), nnx.List(upsampling), nnx.List(up)
        self.output = output_layer(width, classes, rngs)

    def features(self, x: jax.Array, parts: list[Extent], *, train: bool, key: jax.Array | None) -> jax.Array:
        """Everything before the last layer; see `PaddedNetwork.features`."""
        skips = []
        for i, level in enumerate(self.down):
            skips.append(self._drop(level(x, train=train), train, key, i))
            x = max_pool(skips[-1], 2)
        x = self._drop(self.bottom(x, train=train), train, key, len(self.down))
        origin = (0, 0)
        for upsampling, level, part in zip(self.upsampling, self.up, parts, strict=True):
            joined = [part.cut(skips.pop()), upsampling(part.below.cut(x, origin))]
            x, origin = level(jnp.concatenate(joined, axis=-1), train=train), part.first
        return x

    def _drop(self, x: jax.Array, train: bool, key: jax.Array | None, level: int) -> jax.Array:
        if level not in self.dropout_levels or not train:
            return x
        if key is None:
            raise ValueError("training with dropout needs a key")
        return self.dropout(x, deterministic=False, rngs=jax.random.fold_in(key, level))
