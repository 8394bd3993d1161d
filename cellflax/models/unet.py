"""U-Nets (Ronneberger et al. 2015): P3's asymmetric one (Al-Kofahi et al. 2018), and symmetric ones."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx

from cellflax.errors import UserError
from cellflax.models.layers import Convolution, Normalization, Upsampling, max_pool


@dataclass
class UpLevel:
    """One level of the expanding path.

    Attributes:
        upsample: filters of the transposed convolution that leads to this level.
        filters: of each convolution after it and the skip have been joined.
    """

    upsample: int = 32
    filters: list[int] = field(default_factory=list)


def _down() -> list[list[int]]:
    return [[24, 24], [32, 32], [48, 48], [64, 64]]


def _up() -> list[UpLevel]:
    return [UpLevel(filters, [filters, filters]) for filters in (64, 48, 32, 24)]


@dataclass
class UNetConfig:
    """A U-Net whose two paths need not mirror each other.

    Attributes:
        down: filters of each convolution of the contracting path, level by level; a 2 x 2 max pooling follows
            each level.
        bottom: filters of each convolution after the last pooling; may be empty.
        up: the expanding path, from the bottom to full resolution: as many levels as `down`.
        kernel: edge of every kernel in pixels, odd.
        context_px: input pixels around a training crop, on each side.
        batch_norm: normalise after each convolution.
        dropout: share of activations dropped, for `dropout_levels`.
        dropout_levels: which levels of the contracting path end with dropout: 0 is full resolution, the number
            of poolings is the bottom.
        batch_norm_momentum: share of the running statistics kept per step.
        batch_norm_epsilon: added to the variance.
    """

    down: list[list[int]] = field(default_factory=_down)
    bottom: list[int] = field(default_factory=lambda: [96, 96])
    up: list[UpLevel] = field(default_factory=_up)
    kernel: int = 3
    context_px: int = 16
    batch_norm: bool = True
    dropout: float = 0.5
    dropout_levels: list[int] = field(default_factory=list)
    batch_norm_momentum: float = 0.95
    batch_norm_epsilon: float = 1e-5

    def __post_init__(self):
        if not self.down:
            raise UserError("model.down is empty: give at least one level of convolutions")
        if len(self.up) != len(self.down):
            raise UserError(
                f"model.up has {len(self.up)} levels, but each of the {len(self.down)} levels of model.down needs one"
            )
        for i, filters in enumerate(self.down):
            _check_filters(f"model.down[{i}]", filters)
        for i, level in enumerate(self.up):
            _check_filters(f"model.up[{i}].filters", level.filters)
            if level.upsample < 1:
                raise UserError(f"model.up[{i}].upsample must be 1 or more, got {level.upsample}")
        if self.bottom:
            _check_filters("model.bottom", self.bottom)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UserError(f"model.kernel must be odd and 1 or more, got {self.kernel}")
        half = self.multiple // 2
        if self.context_px < 0 or self.context_px % half:
            raise UserError(
                f"model.context_px must be 0 or more and a multiple of {half}, so that crops with context on both "
                f"sides can be pooled {len(self.down)} times; got {self.context_px}"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"model.dropout must be in [0, 1), got {self.dropout}")
        if any(not 0 <= level <= len(self.down) for level in self.dropout_levels):
            raise UserError(
                f"model.dropout_levels must be in 0 ... {len(self.down)} (the bottom), got {list(self.dropout_levels)}"
            )
        if not 0 <= self.batch_norm_momentum < 1:
            raise UserError(f"model.batch_norm_momentum must be in [0, 1), got {self.batch_norm_momentum}")
        if self.batch_norm_epsilon <= 0:
            raise UserError(f"model.batch_norm_epsilon must be above 0, got {self.batch_norm_epsilon}")

    @property
    def multiple(self) -> int:
        """Input pixels, along one axis, that share a pixel at the bottom."""
        return 2 ** len(self.down)

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

    def _reach(self, level: int, first: int, last: int) -> tuple[int, int]:
        """First and last pixel entering a level that its outputs `first` ... `last` depend on (one axis)."""
        half = self.kernel // 2
        if level == len(self.down):
            grow = half * len(self.bottom)
        else:
            grow = half * len(self.up[len(self.down) - 1 - level].filters)
            first, last = first - grow, last + grow  # of the skip and of the upsampled map
            below = self._reach(level + 1, first // 2, last // 2)
            first, last = min(first, 2 * below[0]), max(last, 2 * below[1] + 1)
            grow = half * len(self.down[level])
        return first - grow, last + grow


def _check_filters(key: str, filters: list[int]) -> None:
    if not filters or min(filters) < 1:
        raise UserError(f"{key} must hold one or more numbers of filters of 1 or more, got {list(filters)}")


class _Block(nnx.Module):
    """A zero-padded convolution, batch normalisation if configured, ReLU."""

    def __init__(self, filters_in: int, filters: int, config: UNetConfig, *, rngs: nnx.Rngs):
        normalized = config.batch_norm
        self.convolution = Convolution(
            filters_in, filters, config.kernel, same=True, use_bias=not normalized, rngs=rngs
        )
        self.normalization = (
            Normalization(filters, momentum=config.batch_norm_momentum, epsilon=config.batch_norm_epsilon)
            if normalized
            else None
        )

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = self.convolution(x)
        if self.normalization is not None:
            x = self.normalization(x, train=train)
        return jax.nn.relu(x)


class _Level(nnx.Module):
    """Convolutions of one resolution on one path."""

    def __init__(self, filters_in: int, filters: list[int], config: UNetConfig, *, rngs: nnx.Rngs):
        widths = [filters_in, *filters]
        self.blocks = nnx.List([_Block(a, b, config, rngs=rngs) for a, b in zip(widths, filters, strict=False)])

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for block in self.blocks:
            x = block(x, train=train)
        return x


class UNet(nnx.Module):
    """A classifier of every pixel from several resolutions.

    The convolutions pad with zeros; in prediction, only outputs that no padding reaches are returned. So an
    output is a function of the input pixels around it and of its place among the `multiple` pixels that share
    one at the bottom: windows of an image agree wherever they overlap, provided that their offsets differ by
    multiples of `multiple`.

    Training returns outputs up to `train_border` from the window's edge, because as wide a border as prediction
    has would be most of a crop. The outermost of them see zeros in place of the image beyond the crop. That is
    harmless: what an output depends on is concentrated around it (Luo et al. 2016), and this part they see.

    Attributes:
        receptive_field: edge of the square of input pixels that holds what any one output sees.
        border: pixels lost on each side in prediction, a multiple of `multiple`.
        train_border: the same in training.
        multiple: input sizes must be divisible by this in training, and window offsets in prediction.

    Args:
        config: the architecture.
        channels: image channels.
        classes: output classes.
        rngs: initialisation keys.
    """

    def __init__(self, config: UNetConfig, *, channels: int, classes: int, rngs: nnx.Rngs):
        self.receptive_field = 2 * config.radius + 1
        self.border, self.multiple = config.border, config.multiple
        self.train_border = min(config.context_px, config.border)
        self.dropout_levels = tuple(config.dropout_levels)
        self.dropout = nnx.Dropout(config.dropout)
        width, skips = channels, []
        down, upsampling, up = [], [], []
        for filters in config.down:
            down.append(_Level(width, filters, config, rngs=rngs))
            width = filters[-1]
            skips.append(width)
        self.bottom = _Level(width, config.bottom, config, rngs=rngs)
        width = [width, *config.bottom][-1]
        for level in config.up:
            upsampling.append(Upsampling(width, level.upsample, rngs=rngs))
            up.append(_Level(skips.pop() + level.upsample, level.filters, config, rngs=rngs))
            width = level.filters[-1]
        self.down, self.upsampling, self.up = nnx.List(down), nnx.List(upsampling), nnx.List(up)
        self.output = nnx.Linear(width, classes, kernel_init=nnx.initializers.he_normal(), rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """Logits of the inner part of a window.

        Args:
            x: (N, H, W, C), H and W above 2 border (in training: 2 train_border).
            train: use batch statistics and dropout, and return more of the window.
            key: dropout key, needed in training with dropout.

        Returns:
            (N, H - 2 border, W - 2 border, classes), with train_border for border in training.

        Raises:
            ValueError: if the window is too small, or in training H or W is not divisible by `multiple`.
        """
        border = self.train_border if train else self.border
        height, width = (size - 2 * border for size in x.shape[1:3])
        if height < 1 or width < 1:
            raise ValueError(f"window {x.shape[1:3]} leaves nothing inside a border of {border} pixels")
        extra = [-size % self.multiple for size in x.shape[1:3]]
        if any(extra):
            if train:  # padding would enter the batch statistics
                raise ValueError(f"training needs windows divisible by {self.multiple}, got {x.shape[1:3]}")
            x = jnp.pad(x, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)))
        x = self._features(x, train, key)
        return self.output(x[:, border : border + height, border : border + width])

    def _features(self, x: jax.Array, train: bool, key: jax.Array | None) -> jax.Array:
        """Everything before the last layer: (N, H, W, C) -> (N, H, W, last filters)."""
        skips = []
        for i, level in enumerate(self.down):
            skips.append(self._drop(level(x, train=train), train, key, i))
            x = max_pool(skips[-1], 2)
        x = self._drop(self.bottom(x, train=train), train, key, len(self.down))
        for upsampling, level in zip(self.upsampling, self.up, strict=True):
            x = level(jnp.concatenate([skips.pop(), upsampling(x)], axis=-1), train=train)
        return x

    def _drop(self, x: jax.Array, train: bool, key: jax.Array | None, level: int) -> jax.Array:
        if level not in self.dropout_levels or not train:
            return x
        if key is None:
            raise ValueError("training with dropout needs a key")
        return self.dropout(x, deterministic=False, rngs=jax.random.fold_in(key, level))
