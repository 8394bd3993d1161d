"""Zero-padded networks of several resolutions: their blocks, what an output sees, and which outputs are returned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from cellflax.checks import above, at_least, check, odd
from cellflax.errors import UserError
from cellflax.models.base import Geometry, ModelConfig, Network
from cellflax.models.layers import Convolution, Normalization


@dataclass(frozen=True)
class Extent:
    """The part of a level's map that the expanding path computes, in pixels of that level.

    Attributes:
        first: row and column that it begins with.
        stop: row and column after its last.
    """

    first: tuple[int, int]
    stop: tuple[int, int]

    @property
    def below(self) -> "Extent":
        """The part of the next coarser map that this one is upsampled from."""
        return Extent(_each(lambda i: i // 2, self.first), _each(lambda i: i // 2, self.stop))

    def grown(self, reach: int, shape: tuple[int, int]) -> "Extent":
        """With so many more pixels on each side, and with even bounds, within a map of an even height and width."""
        first = _each(lambda i: max(i - reach, 0) // 2 * 2, self.first)
        stop = _each(lambda i, size: min(-(-(i + reach) // 2) * 2, size), self.stop, shape)
        return Extent(first, stop)

    def cut(self, x: jax.Array, origin: tuple[int, int] = (0, 0)) -> jax.Array:
        """This part of (N, H, W, C), whose first row and column are `origin`."""
        rows, columns = (slice(i - at, j - at) for i, j, at in zip(self.first, self.stop, origin, strict=True))
        return x[:, rows, columns]


def _each(function: Callable[..., int], *pairs: tuple[int, int]) -> tuple[int, int]:
    return function(*(pair[0] for pair in pairs)), function(*(pair[1] for pair in pairs))


@dataclass
class PaddedConfig(ModelConfig):
    """What these networks share: a contracting path with 2 x 2 max poolings, and an expanding one that doubles.

    Attributes:
        kernel: edge in pixels of every kernel larger than 1 x 1; odd.
        context_px: input pixels around a training crop, on each side.
        batch_norm_momentum: share of the running statistics kept per step.
        batch_norm_epsilon: added to the variance.
    """

    kernel: int = 3
    context_px: int = 16
    batch_norm_momentum: float = 0.95
    batch_norm_epsilon: float = 1e-5

    def __post_init__(self):
        check(self, "model", odd(1), "kernel")
        check(self, "model", at_least(0), "context_px")
        check(self, "model", at_least(0, below=1), "batch_norm_momentum")
        check(self, "model", above(0), "batch_norm_epsilon")
        half = self.multiple // 2
        if self.context_px % half:
            raise UserError(
                f"model.context_px must be a multiple of {half}, so that crops with context on both sides can be "
                f"pooled {len(self.convolutions[1])} times; got {self.context_px}"
            )

    @property
    def convolutions(self) -> tuple[list[int], list[int]]:
        """How many convolutions of `kernel` follow one another at each resolution.

        Returns:
            one list for the contracting path, from full resolution to the bottom; and one for the expanding path, from
            above the bottom to full resolution, which is one shorter.
        """
        raise NotImplementedError

    @property
    def multiple(self) -> int:
        """Input pixels, along one axis, that share a pixel at the bottom."""
        return 2 ** len(self.convolutions[1])

    @property
    def radius(self) -> int:
        """Farthest input pixel that any output depends on, along one axis.

        How far an output sees depends on its place among the `multiple` pixels that share one at the bottom;
        this is the largest distance. By symmetry it is the same to both sides.
        """
        return max(pixel - self._reach(0, pixel, pixel)[0] for pixel in range(self.multiple))

    @property
    def border(self) -> int:
        """`radius`, rounded up so that cropping it leaves the poolings where they were."""
        return -(-self.radius // self.multiple) * self.multiple

    def normalization(self, filters: int) -> Normalization:
        """A new batch normalisation."""
        return Normalization(filters, momentum=self.batch_norm_momentum, epsilon=self.batch_norm_epsilon)

    def _reach(self, level: int, first: int, last: int) -> tuple[int, int]:
        """First and last pixel entering a level that its outputs `first` ... `last` depend on (one axis)."""
        half = self.kernel // 2
        down, up = self.convolutions
        if level < len(up):
            grow = half * up[-1 - level]
            first, last = first - grow, last + grow  # of the skip and of the upsampled map
            below = self._reach(level + 1, first // 2, last // 2)
            first, last = min(first, 2 * below[0]), max(last, 2 * below[1] + 1)
        grow = half * down[level]
        return first - grow, last + grow


class PaddedBlock(nnx.Module):
    """A zero-padded convolution, batch normalisation unless left out, ReLU.

    Args:
        filters_in: input channels.
        filters: output channels.
        kernel: edge of the kernel in pixels, odd.
        config: settings of the network.
        normalized: whether there is a batch normalisation instead of a bias.
        rngs: initialisation keys.
    """

    def __init__(
        self, filters_in: int, filters: int, kernel: int, config: PaddedConfig, *, normalized: bool, rngs: nnx.Rngs
    ):
        self.convolution = Convolution(filters_in, filters, kernel, same=True, use_bias=not normalized, rngs=rngs)
        self.normalization = config.normalization(filters) if normalized else None

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H, W, filters)."""
        x = self.convolution(x)
        if self.normalization is not None:
            x = self.normalization(x, train=train)
        return jax.nn.relu(x)


class Blocks(nnx.Module):
    """Blocks one after the other.

    Args:
        filters_in: input channels.
        filters: output channels of each block.
        config: settings of the network.
        kernels: edge of each block's kernel in pixels; None for the configured one.
        normalized: as in `PaddedBlock`.
        rngs: initialisation keys.
    """

    def __init__(
        self,
        filters_in: int,
        filters: Sequence[int],
        config: PaddedConfig,
        *,
        kernels: Sequence[int] | None = None,
        normalized: bool = True,
        rngs: nnx.Rngs,
    ):
        kernels = kernels or [config.kernel] * len(filters)
        layers = zip([filters_in, *filters], filters, kernels, strict=False)
        self.blocks = nnx.List([PaddedBlock(a, b, k, config, normalized=normalized, rngs=rngs) for a, b, k in layers])

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H, W, filters[-1])."""
        for block in self.blocks:
            x = block(x, train=train)
        return x


class PaddedNetwork(Network):
    """A classifier of every pixel from several resolutions.

    The convolutions pad with zeros; in prediction, only outputs that no padding reaches are returned. So an
    output is a function of the input pixels around it and of its place among the `multiple` pixels that share
    one at the bottom. Windows of an image agree wherever they overlap, provided that their offsets differ by
    multiples of `multiple`. The expanding path, which is most of the work, computes little more than what is returned.

    Training returns outputs up to `train_border` from the window's edge, because prediction's border would take
    up most of a crop. The outermost outputs see zeros instead of the image beyond the crop. That is harmless:
    an output depends mostly on the pixels close to it (Luo et al. 2016), and it sees those.

    Attributes:
        geometry: what it sees around each output; `border` is a multiple of `multiple`, by which input sizes must be
            divisible in training.
        up_reach: how far the convolutions of each level of the expanding path reach, from above the bottom to full
            resolution.
        output: the last layer, from features to logits.

    Args:
        config: the architecture.
    """

    output: nnx.Linear

    def __init__(self, config: PaddedConfig):
        self.up_reach = tuple(config.kernel // 2 * count for count in config.convolutions[1])
        self.geometry = Geometry(
            receptive_field=2 * config.radius + 1,
            border=config.border,
            train_border=min(config.context_px, config.border),
            multiple=config.multiple,
        )

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """Logits of the inner part of a window.

        Args:
            x: (N, H, W, C), H and W above 2 border (in training: 2 train_border).
            train: use batch statistics and dropout, and return more of the window.
            key: dropout key, needed in training with dropout.

        Returns:
            (N, H - 2 border, W - 2 border, classes), in training with train_border instead of border.

        Raises:
            ValueError: if the window is too small, or in training H or W is not divisible by `multiple`.
        """
        border = self.geometry.train_border if train else self.geometry.border
        height, width = (size - 2 * border for size in x.shape[1:3])
        if height < 1 or width < 1:
            raise ValueError(f"window {x.shape[1:3]} leaves nothing inside a border of {border} pixels")
        extra = [-size % self.geometry.multiple for size in x.shape[1:3]]
        if any(extra):
            if train:  # padding would enter the batch statistics
                raise ValueError(f"training needs windows divisible by {self.geometry.multiple}, got {x.shape[1:3]}")
            x = jnp.pad(x, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)))
        inner = Extent((border, border), (border + height, border + width))
        shape = x.shape[1], x.shape[2]
        # In training, all of the window enters the batch statistics.
        parts = self.parts(shape, Extent((0, 0), shape) if train else inner)
        x = self.features(x, parts, train=train, key=key)
        return self.output(inner.cut(x, parts[-1].first))

    def parts(self, shape: tuple[int, int], wanted: Extent) -> list[Extent]:
        """What enters each level of the expanding path, so that the wanted outputs are right.

        Zeros around a part spoil as many of its outermost pixels as the convolutions of the level reach, and no more.

        Args:
            shape: height and width of the window, divisible by `multiple`.
            wanted: outputs at full resolution.

        Returns:
            the parts, from above the bottom to full resolution.
        """
        parts: list[Extent] = []
        for level, reach in enumerate(reversed(self.up_reach)):
            part = parts[-1].below if parts else wanted
            parts.append(part.grown(reach, (shape[0] >> level, shape[1] >> level)))
        return parts[::-1]

    def features(self, x: jax.Array, parts: list[Extent], *, train: bool, key: jax.Array | None) -> jax.Array:
        """Everything before the last layer.

        Args:
            x: (N, H, W, C), H and W divisible by `multiple`.
            parts: what enters each level of the expanding path; see `parts`.
            train: as in `__call__`.
            key: as in `__call__`.

        Returns:
            (N, h, w, F), the last of `parts`.
        """
        raise NotImplementedError
