"""Class-balanced training batches, drawn on the device as a pure function of (seed, step).

The objective is P1's: an image uniformly, a class of it uniformly (`balance` = 1), a pixel of that class
uniformly. `patches` draws pixels that way, with one patch around each. `crops` draws whole crops and weights
each of their pixels by the probability with which `patches` would draw it: the expected loss is the same,
without the noise of drawing pixels, at a hundredth of the cost per labelled pixel.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.data.augment import AugmentConfig, augment
from cellflax.data.example import IGNORE, Example
from cellflax.errors import UserError


@dataclass
class SamplerConfig:
    """What both samplers share.

    Attributes:
        batch: patches or crops in a step, over all devices.
        balance: 1 draws all classes equally often (P1), 0 as often as they occur; between, softened.
        augment: random transforms.
    """

    batch: int = 1
    balance: float = 1.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self):
        if self.batch < 1:
            raise UserError(f"sampler.batch must be 1 or more, got {self.batch}")
        if not 0 <= self.balance <= 1:
            raise UserError(f"sampler.balance must be in [0, 1], got {self.balance}")


@dataclass
class PatchesConfig(SamplerConfig):
    """P1's sampling: one patch of the receptive field's size around each drawn pixel."""

    batch: int = 256


@dataclass
class CropsConfig(SamplerConfig):
    """Dense training: crops whose every annotated pixel is trained on.

    Attributes:
        size: edge of the labelled part of a crop, pixels.
    """

    size: int = 128

    def __post_init__(self):
        super().__post_init__()
        if self.size < 8 or self.size % 2:
            raise UserError(f"sampler.size must be even and 8 or more, got {self.size}")


class Batch(NamedTuple):
    """One training batch.

    Attributes:
        image: (B, S + 2 border, S + 2 border, C) normalised intensities.
        target: (B, S, S) int32 classes; 0 where the weight is 0 for want of an annotation.
        weight: (B, S, S) float32, mean 1 over the data set, 0 where not annotated.
    """

    image: jax.Array
    target: jax.Array
    weight: jax.Array


class SamplerData(NamedTuple):
    """The training set on the device, all images padded to one size.

    Attributes:
        images: (N, H + 2 margin, W + 2 margin, C), reflected at the borders.
        classes: (N, H + 2 margin, W + 2 margin) int8, IGNORE outside the image.
        sizes: (N, 2) true heights and widths.
        class_weight: (N, K) probability of drawing a given pixel of that class, times the image's area.
        pixels: flat indices y * W + x of all annotated pixels, grouped by image and class.
        starts: (N * K,) where each group starts in `pixels`.
        counts: (N * K,) annotated pixels in each group.
        log_probability: (N * K,) log probability of drawing from each group.
    """

    images: jax.Array
    classes: jax.Array
    sizes: jax.Array
    class_weight: jax.Array
    pixels: jax.Array
    starts: jax.Array
    counts: jax.Array
    log_probability: jax.Array


class Sampler:
    """Draws batches; `data` is an argument of the compiled step, not a constant inside it.

    Args:
        config: PatchesConfig or CropsConfig.
        examples: training examples whose images are already normalised.
        border: pixels that the network's output is smaller by, on each side.
        multiple: crop sizes must be divisible by this (a property of the network).
        classes: number of classes.

    Raises:
        UserError: if the crop size does not suit the network, or no image has any annotated pixel.
    """

    def __init__(
        self,
        config: SamplerConfig,
        examples: tuple[Example, ...],
        *,
        border: int,
        multiple: int,
        classes: int,
    ):
        self.config, self.border = config, border
        self.size = config.size if isinstance(config, CropsConfig) else 1
        if self.size > 1 and self.size % multiple:
            nearest = max(multiple, round(self.size / multiple) * multiple)
            raise UserError(
                f"sampler.size must be divisible by {multiple} for this network, got {self.size}; use {nearest}"
            )
        # A crop may reach over the border by half its size, so that pixels there are drawn too.
        self.margin = border + self.size // 2
        self.data = _stack(examples, self.margin, classes, config.balance)

    @partial(jax.jit, static_argnums=0)
    def __call__(self, data: SamplerData, seed: int | jax.Array, step: int | jax.Array) -> Batch:
        """The batch of one step: the same arguments give the same batch on any number of devices."""
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step), self.config.batch)
        draw = self._crop if isinstance(self.config, CropsConfig) else self._patch
        return jax.vmap(draw, in_axes=(None, 0))(data, keys)

    def _patch(self, data: SamplerData, key: jax.Array) -> Batch:
        key_group, key_pixel, key_augment = jax.random.split(key, 3)
        group = jax.random.categorical(key_group, data.log_probability)
        pixel = data.pixels[data.starts[group] + jax.random.randint(key_pixel, (), 0, data.counts[group])]
        width = data.classes.shape[2] - 2 * self.margin
        image = group // data.class_weight.shape[1]
        return self._extract(data, key_augment, image, pixel // width, pixel % width, jnp.ones((1, 1)))

    def _crop(self, data: SamplerData, key: jax.Array) -> Batch:
        key_image, key_corner, key_augment = jax.random.split(key, 3)
        image = jax.random.randint(key_image, (), 0, data.images.shape[0])
        half = self.size // 2
        corner = jax.random.randint(key_corner, (2,), -half, data.sizes[image] - half + 1)
        y, x = corner[0], corner[1]
        # Pixels near the border are in fewer of the possible crops; their weight makes up for it.
        positions = data.sizes[image][:, None] + 1
        pixels = corner[:, None] + jnp.arange(self.size)[None, :]
        first = jnp.maximum(pixels - self.size + 1, -half)
        last = jnp.minimum(pixels, data.sizes[image][:, None] - half)
        share = jnp.maximum(last - first + 1, 1) / positions * data.sizes[image][:, None] / self.size
        return self._extract(data, key_augment, image, y, x, 1 / (share[0][:, None] * share[1][None, :]))

    def _extract(self, data, key, image, y, x, weight) -> Batch:
        """Cut out the crop whose labelled part has its corner at (y, x), weight it, augment it."""
        start = (y + self.margin - self.border, x + self.margin - self.border)
        edge = self.size + 2 * self.border
        crop = jax.lax.dynamic_slice(data.images, (image, *start, 0), (1, edge, edge, data.images.shape[-1]))[0]
        start = (y + self.margin, x + self.margin)
        classes = jax.lax.dynamic_slice(data.classes, (image, *start), (1, self.size, self.size))[0]
        annotated = classes != IGNORE
        if isinstance(self.config, CropsConfig):
            weight = weight * data.class_weight[image, jnp.maximum(classes, 0)]
        weight = jnp.where(annotated, weight, 0).astype(jnp.float32)
        crop, classes, weight = augment(key, crop, classes, weight, self.config.augment)
        return Batch(crop, jnp.maximum(classes, 0).astype(jnp.int32), weight)


def _stack(examples: tuple[Example, ...], margin: int, classes: int, balance: float) -> SamplerData:
    counts = np.array([[np.sum(e.classes == k) for k in range(classes)] for e in examples])
    examples = tuple(e for e, count in zip(examples, counts, strict=True) if count.any())
    counts = counts[counts.any(axis=1)]
    if not examples:
        raise UserError("no training image has an annotated pixel outside the validation regions")
    height, width = (max(e.image.shape[axis] for e in examples) for axis in (0, 1))
    images, padded, pixels = [], [], []
    for example in examples:
        rows, columns = example.classes.shape
        around = ((margin, margin), (margin, margin))
        rest = ((0, height - rows), (0, width - columns))
        reflected = np.pad(example.image, (*around, (0, 0)), mode="reflect")
        images.append(np.pad(reflected, (*rest, (0, 0))))
        padded.append(np.pad(np.pad(example.classes, rest, constant_values=IGNORE), around, constant_values=IGNORE))
        for k in range(classes):
            y, x = np.nonzero(example.classes == k)
            pixels.append(y * width + x)
    # P(class | image) ~ count ** (1 - balance): equal for balance 1, by area for balance 0.
    share = np.where(counts > 0, np.maximum(counts, 1.0) ** (1 - balance), 0)
    share /= share.sum(axis=1, keepdims=True)
    sizes = np.array([e.classes.shape for e in examples])
    area = sizes.prod(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_probability = np.log(share / len(examples)).ravel()
    return SamplerData(
        images=jnp.asarray(np.stack(images)),
        classes=jnp.asarray(np.stack(padded).astype(np.int8)),
        sizes=jnp.asarray(sizes),
        class_weight=jnp.asarray(share / np.maximum(counts, 1) * area, jnp.float32),
        pixels=jnp.asarray(np.concatenate(pixels), jnp.int32),
        starts=jnp.asarray(np.cumsum([0, *counts.ravel()[:-1]]), jnp.int32),
        counts=jnp.asarray(counts.ravel(), jnp.int32),
        log_probability=jnp.asarray(log_probability, jnp.float32),
    )
