"""Class-balanced training batches, drawn on the device as a pure function of (seed, step).

The objective is that of Van Valen 2016 (P1): draw an image uniformly, one of its classes uniformly (`balance` = 1),
and a pixel of that class uniformly. `patches` draws pixels that way, with one patch around each. `crops` draws whole
crops and weights each of their pixels by the probability with which `patches` would draw it. The expected loss is the
same, without the noise of drawing pixels, at a hundredth of the cost per labelled pixel. Where only a part of an image
is annotated, `crops` draws a pixel as `patches` does and takes the crop around it; the weights make up for it.
`by_cell` draws images by their cells (`cell_draw`), `touching` lets pixels between cells count more (`touching`).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from cellflax.checks import above, at_least, check, even, within
from cellflax.data.augment import AugmentConfig, augment
from cellflax.data.cell_draw import CellDraw
from cellflax.data.example import IGNORE, Example
from cellflax.data.photometry import to_range
from cellflax.data.sampler_data import SamplerData, add_cells, stack_examples
from cellflax.errors import UserError

# Pixels within this distance of the line in a composed crop are not trained on.
SEAM_PX = 5


@dataclass
class SamplerConfig:
    """Settings that both samplers share.

    Attributes:
        batch: patches or crops per step, over all devices.
        balance: 1 draws all classes equally often (P1), 0 as often as they occur; values between soften the balance.
        augment: random transforms.
    """

    batch: int = 1
    balance: float = 1.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self):
        check(self, "sampler", at_least(1), "batch")
        check(self, "sampler", within(0, 1), "balance")


@dataclass
class PatchesConfig(SamplerConfig):
    """P1's sampling: one patch of the receptive field's size around each drawn pixel."""

    batch: int = 256


@dataclass
class CropsConfig(SamplerConfig):
    """Dense training: crops whose every annotated pixel is trained on.

    Attributes:
        size: edge of the labelled part of a crop, pixels.
        rescale: bring each channel of each crop, with its context, to 0 ... 1 and subtract its median
            (Sadanandan 2017, P2), in addition to what `normalize` does to whole images.
        stored_crops: train on this many crops over and over, in the same order (P2: 6000); null always draws new ones.
        store: directory where these crops are written once and read from, in this training and others; null draws
            them again each time. The batches are the same.
        compose: share of the crops that a random straight line divides between two crops. Without it, if each image
            shows one type of cell, the surroundings give away the type, which they do not in a co-culture.
        by_cell: share of the crops around a random cell of the training set, so that images with many cells are drawn
            more often. 0 draws every image equally often.
        touching: factor of weights that grow where two cells are near (Ronneberger et al. 2015, eq. 2); 0 for none.
        touching_px: their sigma, pixels; the factor is 0.61 of that where the distances to the two cells sum to it.
    """

    size: int = 128
    compose: float = 0.0
    rescale: bool = False
    stored_crops: int | None = None
    store: str | None = None
    by_cell: float = 0.0
    touching: float = 0.0
    touching_px: float = 5.0

    def __post_init__(self):
        super().__post_init__()
        check(self, "sampler", even(8), "size")
        check(self, "sampler", within(0, 1), "compose", "by_cell")
        check(self, "sampler", at_least(0), "touching")
        check(self, "sampler", above(0), "touching_px")
        check(self, "sampler", at_least(1), "stored_crops")
        if self.store is not None and self.stored_crops is None:
            raise UserError(f"sampler.store={self.store} needs to know how many crops: set sampler.stored_crops")


class Batch(NamedTuple):
    """One training batch.

    Attributes:
        image: (B, S + 2 border, S + 2 border, C) normalised intensities.
        target: (B, S, S) int32 classes; 0 where nothing is annotated (the weight is 0).
        weight: (B, S, S) float32, mean 1 over the data set, 0 where not annotated.
        maps: (B, S, S, maps) float32, what is learnt besides classes, NaN where it is unknown; None without such maps.
    """

    image: jax.Array
    target: jax.Array
    weight: jax.Array
    maps: jax.Array | None = None


class BatchSource(Protocol):
    """Where the batches of a training come from.

    Attributes:
        partition: how the arrays that `feed` returns are laid out over the devices.
    """

    partition: PartitionSpec

    def feed(self, step: int) -> Any:
        """Arrays from which the compiled step gets its batch."""
        ...

    def __call__(self, data: Any, seed: jax.Array, step: jax.Array) -> Batch:
        """The batch of one member of the ensemble from these arrays, within the compiled step."""
        ...


class Sampler:
    """Draws batches; `data` is an argument of the compiled step, not a constant inside it.

    Args:
        config: PatchesConfig or CropsConfig.
        examples: training examples whose images are already normalised.
        border: pixels by which the network's output is smaller than its input, on each side.
        multiple: crop sizes must be divisible by this (a property of the network).
        classes: number of classes.

    Raises:
        UserError: if the crop size does not suit the network, or no image has any annotated pixel.
    """

    partition = PartitionSpec()

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
        self.compose = config.compose if isinstance(config, CropsConfig) else 0.0
        self.by_cell = config.by_cell if isinstance(config, CropsConfig) else 0.0
        if self.size > 1 and self.size % multiple:
            nearest = max(multiple, round(self.size / multiple) * multiple)
            raise UserError(
                f"sampler.size must be divisible by {multiple} for this network, got {self.size}; use {nearest}"
            )
        self.cycle = config.stored_crops if isinstance(config, CropsConfig) else None
        # A crop may reach over the border by half its size, so that pixels there are drawn too.
        self.margin = border + self.size // 2
        self.sparse = isinstance(config, CropsConfig) and any(example.ignored is not None for example in examples)
        self.data = stack_examples(examples, self.margin, classes, config.balance, self.size if self.sparse else None)
        if isinstance(config, CropsConfig):
            of_cells = config.by_cell, config.touching, config.touching_px
            self.data = add_cells(self.data, examples, self.margin, self.size, *of_cells)

    @partial(jax.jit, static_argnums=0)
    def __call__(self, data: SamplerData, seed: int | jax.Array, step: int | jax.Array) -> Batch:
        """The batch of one step: the same arguments give the same batch on any number of devices."""
        if self.cycle is not None:
            return self.crops(data, seed, cycle_indices(step, self.config.batch, self.cycle))
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step), self.config.batch)
        draw = self._composed if isinstance(self.config, CropsConfig) else self._patch
        return jax.vmap(draw, in_axes=(None, 0))(data, keys)

    @partial(jax.jit, static_argnums=0)
    def crops(self, data: SamplerData, seed: int | jax.Array, indices: np.ndarray | jax.Array) -> Batch:
        """The crops with these indices in a seed's stream; with `stored_crops`, training uses only the first ones."""
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), indices)
        return jax.vmap(self._composed, in_axes=(None, 0))(data, keys)

    def feed(self, step: int) -> SamplerData:
        """What the compiled step draws its batch from: the same for every step."""
        return self.data

    def _patch(self, data: SamplerData, key: jax.Array) -> Batch:
        key_group, key_pixel, key_augment = jax.random.split(key, 3)
        image, y, x = self._pixel(data, key_group, key_pixel)
        return self._extract(data, key_augment, image, y, x, jnp.ones((1, 1)))

    def _pixel(self, data: SamplerData, key_group: jax.Array, key_pixel: jax.Array):
        """Image, row and column of an annotated pixel: of a random image, of a random one of its classes."""
        group = jax.random.categorical(key_group, data.log_probability)
        pixel = data.pixels[data.starts[group] + jax.random.randint(key_pixel, (), 0, data.counts[group])]
        width = data.classes.shape[2] - 2 * self.margin
        return group // data.class_weight.shape[1], pixel // width, pixel % width

    def _crop_around_pixel(self, data: SamplerData, crop_weight: jax.Array, key: jax.Array) -> Batch:
        """A crop with an annotated pixel in its middle: where little is annotated, others would hold nothing."""
        key_group, key_pixel, key_augment = jax.random.split(key, 3)
        if data.cells is None:
            image, y, x = self._pixel(data, key_group, key_pixel)
        else:
            image, y, x = self._pixel_by_cell(data, data.cells, key_group, key_pixel)
        y, x = y - self.size // 2, x - self.size // 2
        start = (image, y + self.margin, x + self.margin)
        weight = jax.lax.dynamic_slice(crop_weight, start, (1, self.size, self.size))[0]
        return self._extract(data, key_augment, image, y, x, weight)

    def _pixel_by_cell(self, data: SamplerData, cells: CellDraw, key: jax.Array, key_pixel: jax.Array):
        """The middle of a crop: with probability `by_cell` a pixel of a random cell, else as it is without that."""
        key_whether, key_other, key_image = jax.random.split(key, 3)
        if self.sparse:
            other = self._pixel(data, key_image, key_other)
        else:
            image = jax.random.randint(key_image, (), 0, data.images.shape[0])
            other = image, *jax.random.randint(key_other, (2,), 0, data.sizes[image] + 1)
        cell = cells.pixel(key_pixel, data.classes.shape[2] - 2 * self.margin)
        by_cell = jax.random.bernoulli(key_whether, self.by_cell)
        return tuple(jnp.where(by_cell, a, b) for a, b in zip(cell, other, strict=True))

    def _composed(self, data: SamplerData, key: jax.Array) -> Batch:
        """A crop or, with probability `compose`, two of them on the two sides of a straight line."""
        crop = self._crop(data, key)
        if self.compose == 0:
            return crop
        key_other, key_whether, key_angle, key_offset = jax.random.split(jax.random.fold_in(key, 1), 4)
        other = self._crop(data, key_other)
        angle = jax.random.uniform(key_angle, maxval=2 * jnp.pi)
        offset = jax.random.uniform(key_offset, minval=-0.25, maxval=0.25) * self.size
        divided = jax.random.bernoulli(key_whether, self.compose)

        def beyond(edge):
            """Distance of each pixel from the line, positive on the other crop's side."""
            at = jnp.arange(edge) - (edge - 1) / 2
            distance = jnp.cos(angle) * at[:, None] + jnp.sin(angle) * at[None, :] - offset
            return jnp.where(divided, distance, -jnp.inf)

        image = jnp.where(beyond(crop.image.shape[0])[..., None] > 0, other.image, crop.image)
        distance = beyond(self.size)
        target, weight = (jnp.where(distance > 0, b, a) for a, b in zip(crop[1:3], other[1:3], strict=True))
        # Where the line cuts through a cell, it makes an edge that nobody drew.
        seam = jnp.abs(distance) < SEAM_PX
        maps = None
        if crop.maps is not None and other.maps is not None:  # a cut cell keeps its own, as its classes
            maps = jnp.where(distance[..., None] > 0, other.maps, crop.maps)
            maps = jnp.where(seam[..., None], jnp.nan, maps)
        return Batch(image, target, jnp.where(seam, 0, weight), maps)

    def _crop(self, data: SamplerData, key: jax.Array) -> Batch:
        if data.crop_weight is not None:
            return self._crop_around_pixel(data, data.crop_weight, key)
        key_image, key_corner, key_augment = jax.random.split(key, 3)
        image = jax.random.randint(key_image, (), 0, data.images.shape[0])
        half = self.size // 2
        corner = jax.random.randint(key_corner, (2,), -half, data.sizes[image] - half + 1)
        y, x = corner[0], corner[1]
        # Pixels near the border are in fewer of the possible crops; their weight compensates for it.
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
            crop = to_range(crop) if self.config.rescale else crop
            weight = weight * data.class_weight[image, jnp.maximum(classes, 0)]
        if data.touching is not None:
            weight = weight * jax.lax.dynamic_slice(data.touching, (image, *start), (1, self.size, self.size))[0]
        weight = jnp.where(annotated, weight, 0).astype(jnp.float32)
        maps = None
        if data.maps is not None:
            shape = (1, self.size, self.size, data.maps.shape[-1])
            maps = jax.lax.dynamic_slice(data.maps, (image, *start, 0), shape)[0].astype(jnp.float32)
        crop, classes, weight, maps = augment(key, crop, classes, weight, self.config.augment, maps)
        return Batch(crop, jnp.maximum(classes, 0).astype(jnp.int32), weight, maps)


def cycle_indices(step: int | jax.Array, batch: int, cycle: int) -> np.ndarray | jax.Array:
    """Indices (batch,) of the crops in the batch of a step: 0 to cycle - 1 in order, over and over."""
    first = (step % cycle) * batch  # equals step * batch modulo the cycle, without overflow of int32
    return (first + np.arange(batch)) % cycle
