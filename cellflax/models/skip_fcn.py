"""The fully convolutional network of Sadanandan 2017 (P2): bottleneck residual blocks, and long skips that add."""

from dataclasses import dataclass, field

import jax
from flax import nnx

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.models.layers import Upsampling, max_pool, output_layer
from cellflax.models.padded import Blocks, Extent, PaddedConfig, PaddedNetwork


@dataclass
class SkipFcnConfig(PaddedConfig):
    """P2's network. Its blocks, where "conv" stands for a convolution, batch normalisation and ReLU:

    - Conv-Pool: a conv, then 2 x 2 max pooling; one for each level, without pooling in the last;
    - Residual: three convs (1 x 1 to the share `bottleneck` of the level's maps, `kernel` x `kernel`, 1 x 1 back to
      all maps), addition of the input, batch normalisation;
    - DeConv: a transposed convolution that doubles the size, addition of the long skip, batch normalisation, two convs.

    The paper's Residual block has 16, 16 and 64 maps. Its input is added, so the input has 64 maps as well, and the
    block belongs to the last level. The text does not say how many blocks there are, or where in a level. Here they
    follow the level's conv.

    Attributes:
        filters: maps of each level, from full resolution down (P2: 8, doubled at every pooling).
        residual_blocks: number of Residual blocks of each level.
        bottleneck: share of a level's maps in the middle of its Residual blocks (P2: 16 of 64).
        long_skips: whether the levels' outputs are added on the way up; false also leaves out the batch normalisation
            after the addition (ablation).
        residual: whether Residual blocks add their input; false leaves only their three convs (ablation).
    """

    filters: list[int] = field(default_factory=lambda: [8, 16, 32, 64])
    residual_blocks: list[int] = field(default_factory=lambda: [0, 0, 0, 2])
    bottleneck: float = 0.25
    long_skips: bool = True
    residual: bool = True

    def __post_init__(self):
        check(self, "model", at_least(1), "filters")
        check(self, "model", at_least(0), "residual_blocks")
        check(self, "model", above(0, at_most=1), "bottleneck")
        if len(self.filters) < 2:
            raise UserError(f"model.filters needs two levels or more, with a pooling between them, got {self.filters}")
        if len(self.residual_blocks) != len(self.filters):
            raise UserError(
                f"model.residual_blocks must hold a number for each of the {len(self.filters)} levels of "
                f"model.filters, got {list(self.residual_blocks)}"
            )
        super().__post_init__()

    @property
    def convolutions(self) -> tuple[list[int], list[int]]:
        """Number of convolutions at each resolution, down and up; see `PaddedConfig`."""
        return [1 + blocks for blocks in self.residual_blocks], [2] * (len(self.filters) - 1)

    def build(self, *, channels: int, classes: int, seed: int) -> "SkipFcn":
        """A new network with random weights."""
        return SkipFcn(self, channels=channels, classes=classes, rngs=nnx.Rngs(seed))


class Residual(nnx.Module):
    """P2's bottleneck block: three convs, the input added, batch normalisation.

    Args:
        filters: input and output maps.
        config: settings of the network.
        rngs: initialisation keys.
    """

    def __init__(self, filters: int, config: SkipFcnConfig, *, rngs: nnx.Rngs):
        middle = max(1, round(config.bottleneck * filters))
        kernels = [1, config.kernel, 1]
        self.blocks = Blocks(filters, [middle, middle, filters], config, kernels=kernels, rngs=rngs)
        self.normalization = config.normalization(filters) if config.residual else None

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(N, H, W, filters) -> the same shape."""
        y = self.blocks(x, train=train)
        return y if self.normalization is None else self.normalization(x + y, train=train)


class Level(nnx.Module):
    """The conv of one resolution on the way down, and its Residual blocks.

    Args:
        filters_in: input channels.
        filters: maps of the level.
        residual_blocks: number of Residual blocks.
        config: settings of the network.
        rngs: initialisation keys.
    """

    def __init__(self, filters_in: int, filters: int, residual_blocks: int, config: SkipFcnConfig, *, rngs: nnx.Rngs):
        self.conv = Blocks(filters_in, [filters], config, rngs=rngs)
        self.residuals = nnx.List([Residual(filters, config, rngs=rngs) for _ in range(residual_blocks)])

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H, W, filters)."""
        x = self.conv(x, train=train)
        for residual in self.residuals:
            x = residual(x, train=train)
        return x


class DeConv(nnx.Module):
    """P2's block of the expanding path: doubling, addition of the long skip, batch normalisation, two convs.

    Args:
        filters_in: input channels.
        filters: maps of the level that it leads to.
        config: settings of the network.
        rngs: initialisation keys.
    """

    def __init__(self, filters_in: int, filters: int, config: SkipFcnConfig, *, rngs: nnx.Rngs):
        self.upsampling = Upsampling(filters_in, filters, he=True, rngs=rngs)
        self.normalization = config.normalization(filters) if config.long_skips else None
        self.convs = Blocks(filters, [filters, filters], config, rngs=rngs)

    def __call__(self, x: jax.Array, skip: jax.Array, *, train: bool) -> jax.Array:
        """(N, H, W, C), and as `skip` the contracting level's output (N, 2 H, 2 W, filters) -> the shape of `skip`."""
        x = self.upsampling(x)
        if self.normalization is not None:
            x = self.normalization(x + skip, train=train)
        return self.convs(x, train=train)


class SkipFcn(PaddedNetwork):
    """P2's network; he-normal kernels throughout.

    Args:
        config: the architecture.
        channels: image channels (P2: 3 planes of a bright-field z-stack).
        classes: output classes.
        rngs: initialisation keys.
    """

    def __init__(self, config: SkipFcnConfig, *, channels: int, classes: int, rngs: nnx.Rngs):
        super().__init__(config)
        width, down, up = channels, [], []
        for filters, blocks in zip(config.filters, config.residual_blocks, strict=True):
            down.append(Level(width, filters, blocks, config, rngs=rngs))
            width = filters
        for filters in reversed(config.filters[:-1]):
            up.append(DeConv(width, filters, config, rngs=rngs))
            width = filters
        self.down, self.up = nnx.List(down), nnx.List(up)
        self.output = output_layer(width, classes, rngs)

    def features(self, x: jax.Array, parts: list[Extent], *, train: bool, key: jax.Array | None) -> jax.Array:
        """Everything before the last layer; see `PaddedNetwork.features`. No dropout, so no use for `key`."""
        skips = []
        for level in self.down:
            if skips:
                x = max_pool(x, 2)
            x = level(x, train=train)
            skips.append(x)
        skips.pop()
        origin = (0, 0)
        for up, part in zip(self.up, parts, strict=True):
            x, origin = up(part.below.cut(x, origin), part.cut(skips.pop()), train=train), part.first
        return x
