"""The patch networks of Van Valen 2016 (P1), run on patches or densely with the same parameters."""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.models.base import Geometry, ModelConfig, Network
from cellflax.models.layers import (
    Convolution,
    Normalization,
    hidden_linear,
    max_pool,
    merge_phases,
    output_layer,
    split_phases,
)


class Regularization(Enum):
    """How the hidden layers are kept in range."""

    batch_norm = "batch_norm"
    dropout = "dropout"
    none = "none"


@dataclass
class Stage:
    """Convolutions between two poolings.

    Attributes:
        kernels: edge of each kernel in pixels.
        filters: number of filters of each convolution.
    """

    kernels: list[int] = field(default_factory=list)
    filters: list[int] = field(default_factory=list)


def _stages_61() -> list[Stage]:
    wide = [64, 64]
    return [Stage([3, 4], wide), Stage([3, 3], wide), Stage([3, 3], wide), Stage([4], [200])]


@dataclass
class PatchNetConfig(ModelConfig):
    """One network of P1's family: stages with a 2 x 2 max pooling between them, then dense layers.

    The defaults are the paper's batch-normalised 61 x 61 network.

    Attributes:
        stages: convolutions before, between and after the poolings (in the notation of Van Valen 2016, Cn-m is an
            n x n convolution with m filters, P2 a 2 x 2 pooling, Dm a dense layer).
        dense: widths of the hidden dense layers.
        side_filters: multi-resolution variant: filters of the branch that leaves after each pooling and
            collapses to one pixel, 0 for none; empty for the plain network.
        regularization: batch_norm, dropout (after the last convolution and after each dense layer) or none.
        dropout: share of activations dropped, for regularization=dropout.
        batch_norm_momentum: share of the running statistics kept per step.
        batch_norm_epsilon: added to the variance.
    """

    takes_patches: ClassVar[bool] = True

    stages: list[Stage] = field(default_factory=_stages_61)
    dense: list[int] = field(default_factory=lambda: [200])
    side_filters: list[int] = field(default_factory=list)
    regularization: Regularization = Regularization.batch_norm
    dropout: float = 0.5
    batch_norm_momentum: float = 0.95
    batch_norm_epsilon: float = 1e-5

    def __post_init__(self):
        check(self, "model", at_least(1), "dense")
        check(self, "model", at_least(0), "side_filters")
        check(self, "model", at_least(0, below=1), "dropout", "batch_norm_momentum")
        check(self, "model", above(0), "batch_norm_epsilon")
        if not self.stages:
            raise UserError("model.stages is empty: give at least one stage of convolutions")
        for i, stage in enumerate(self.stages):
            check(stage, f"model.stages[{i}]", at_least(1), "kernels", "filters")
            if len(stage.kernels) != len(stage.filters) or not stage.kernels:
                raise UserError(
                    f"model.stages[{i}] needs as many kernels as filters and at least one of each, got "
                    f"kernels {list(stage.kernels)} and filters {list(stage.filters)}"
                )
        if self.side_filters and len(self.side_filters) > len(self.stages) - 1:
            raise UserError(
                f"model.side_filters has {len(self.side_filters)} branches, but there are only "
                f"{len(self.stages) - 1} poolings for them to leave after"
            )
        if self.receptive_field % 2 == 0:
            raise UserError(
                f"model.stages see {self.receptive_field} x {self.receptive_field} pixels: the receptive field "
                "must be odd, so that a patch has a central pixel; change one kernel by one"
            )

    @property
    def receptive_field(self) -> int:
        """Edge of the square of input pixels that one output sees."""
        return self.size_entering(0)

    def size_entering(self, stage: int) -> int:
        """Edge in pixels of the map that enters a stage when the network runs on one patch."""
        size = 1
        for i in reversed(range(stage, len(self.stages))):
            size = (size if i == len(self.stages) - 1 else 2 * size) + sum(k - 1 for k in self.stages[i].kernels)
        return size

    def build(self, *, channels: int, classes: int, seed: int) -> "PatchNet":
        """A new network with random weights."""
        return PatchNet(self, channels=channels, classes=classes, rngs=nnx.Rngs(seed))


class _Block(nnx.Module):
    """A convolution or dense layer, batch normalisation if configured, ReLU.

    Args:
        filters_in: input channels.
        filters: output channels.
        kernel: edge of the convolution's kernel; None for a fully connected layer at every pixel, which is
            a matrix product and not a 1 x 1 convolution: its gradient is four times as fast on CPU.
        config: says whether there is a batch normalisation.
        rngs: initialisation keys.
    """

    def __init__(self, filters_in: int, filters: int, kernel: int | None, config: PatchNetConfig, *, rngs: nnx.Rngs):
        normalized = config.regularization is Regularization.batch_norm
        if kernel is None:
            self.transform = hidden_linear(filters_in, filters, use_bias=not normalized, rngs=rngs)
        else:
            self.transform = Convolution(filters_in, filters, kernel, use_bias=not normalized, rngs=rngs)
        self.normalization = (
            Normalization(
                filters,
                momentum=config.batch_norm_momentum,
                epsilon=config.batch_norm_epsilon,
            )
            if normalized
            else None
        )

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = self.transform(x)
        if self.normalization is not None:
            x = self.normalization(x, train=train)
        return jax.nn.relu(x)


class PatchNet(Network):
    """A convolutional classifier of the central pixel of a patch.

    Attributes:
        geometry: the output at (0, 0) belongs to the input pixel (border, border), also in training; `dense` is
            cheapest, and in training exact, for output sizes divisible by `multiple`.

    Args:
        config: the architecture.
        channels: image channels.
        classes: output classes.
        rngs: initialisation keys.
    """

    levels: ClassVar[str] = "stages"

    def __init__(self, config: PatchNetConfig, *, channels: int, classes: int, rngs: nnx.Rngs):
        edge, poolings = config.receptive_field, len(config.stages) - 1
        self.geometry = Geometry(receptive_field=edge, border=edge // 2, train_border=edge // 2, multiple=2**poolings)
        self.dropout = nnx.Dropout(config.dropout) if config.regularization is Regularization.dropout else None
        stages, sides, joined = [], [], 0
        width = channels
        for i, stage in enumerate(config.stages):
            side = config.side_filters[i - 1] if 0 < i <= len(config.side_filters) else 0
            sides.append(_Block(width, side, config.size_entering(i), config, rngs=rngs) if side else None)
            joined += side
            blocks = []
            for kernel, filters in zip(stage.kernels, stage.filters, strict=True):
                blocks.append(_Block(width, filters, kernel, config, rngs=rngs))
                width = filters
            stages.append(nnx.List(blocks))
        self.stages, self.sides = nnx.List(stages), nnx.List(sides)
        width += joined
        hidden = []
        for filters in config.dense:
            hidden.append(_Block(width, filters, None, config, rngs=rngs))
            width = filters
        self.hidden = nnx.List(hidden)
        self.output = output_layer(width, classes, rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """Logits of every pixel that has a full receptive field: patches as patches, larger images densely.

        Args:
            x: (N, H, W, C), H and W at least the receptive field.
            train: use batch statistics and dropout.
            key: dropout key, needed in training with dropout.

        Returns:
            (N, H - 2 border, W - 2 border, classes).

        Raises:
            ValueError: if the image is smaller than the receptive field, or in dense training if an output
                size is not divisible by `multiple`.
        """
        edge = self.geometry.receptive_field
        single = x.shape[1:3] == (edge, edge)
        return (self.patches if single else self.dense)(x, train=train, key=key)

    def patches(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """The paper's execution: (N, R, R, C) -> (N, 1, 1, classes), pooling with stride 2."""
        edge = self.geometry.receptive_field
        if x.shape[1:3] != (edge, edge):
            raise ValueError(f"patches must be {edge} pixels wide, got {x.shape[1:3]}")
        branches = []
        for i, (stage, side) in enumerate(zip(self.stages, self.sides, strict=True)):
            if i:
                x = max_pool(x, 2)
            if side is not None:
                branches.append(side(x, train=train))
            for block in stage:
                x = block(x, train=train)
        return self._classify([x, *branches], train, key)

    def dense(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """All pixels at once as fragments: (N, H, W, C) -> (N, H - 2 border, W - 2 border, classes).

        P1 evaluates densely with "d-regularly sparse" (dilated) kernels. Here each pooling is taken at
        every pixel and its 2 x 2 phases are moved into the batch, so that every convolution stays dense;
        each output is the same sum of the same products.
        """
        edge, border, multiple = self.geometry.receptive_field, self.geometry.border, self.geometry.multiple
        height, width = (size - 2 * border for size in x.shape[1:3])
        if height < 1 or width < 1:
            raise ValueError(f"image {x.shape[1:3]} is smaller than the receptive field {edge}")
        extra = (-height % multiple, -width % multiple)
        if any(extra):
            if train:  # padding would enter the batch statistics
                raise ValueError(f"dense training needs outputs divisible by {multiple}, got {height, width}")
            x = jnp.pad(x, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)))
        branches = []
        for i, (stage, side) in enumerate(zip(self.stages, self.sides, strict=True)):
            if i:
                x = split_phases(max_pool(x, 1))
            if side is not None:
                branches.append(merge_phases(side(x, train=train), i))
            for block in stage:
                x = block(x, train=train)
        if branches:  # phases of different stages meet only on the pixel grid
            x = self._classify([merge_phases(x, len(self.stages) - 1), *branches], train, key)
        else:
            x = merge_phases(self._classify([x], train, key), len(self.stages) - 1)
        return x[:, :height, :width]

    def _classify(self, branches: list[jax.Array], train: bool, key: jax.Array | None) -> jax.Array:
        x = jnp.concatenate(branches, axis=-1) if len(branches) > 1 else branches[0]
        x = self._drop(x, train, key, 0)
        for i, layer in enumerate(self.hidden):
            x = self._drop(layer(x, train=train), train, key, i + 1)
        return self.output(x)

    def _drop(self, x: jax.Array, train: bool, key: jax.Array | None, index: int) -> jax.Array:
        if self.dropout is None or not train:
            return x
        if key is None:
            raise ValueError("training with dropout needs a key")
        return self.dropout(x, deterministic=False, rngs=jax.random.fold_in(key, index))
