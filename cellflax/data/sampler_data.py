"""The training set as the samplers need it on the device."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.data.cell_draw import CellDraw, cell_draw, coverage, crop_shares, weight_by_cell
from cellflax.data.example import IGNORE, Example, class_pixels
from cellflax.data.touching import touching_maps
from cellflax.errors import UserError


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
        crop_weight: None where images are annotated as a whole, and crops lie anywhere. Else crops have a drawn pixel
            in their middle, and this is (N, H + 2 margin, W + 2 margin): 1 / probability that a crop of the image
            holds the pixel, times the crop's share of the image's area; 0 where nothing is annotated. With `cells` it
            is there for either kind of images, see `cell_draw`.
        maps: (N, H + 2 margin, W + 2 margin, maps) float16, `Example.maps`, NaN outside the image; None without maps.
        cells: the cells, if some crops are drawn around them.
        touching: (N, H + 2 margin, W + 2 margin) factors of the weights, larger where two cells are near, 0 outside the
            image; None for none.
    """

    images: jax.Array
    classes: jax.Array
    sizes: jax.Array
    class_weight: jax.Array
    pixels: jax.Array
    starts: jax.Array
    counts: jax.Array
    log_probability: jax.Array
    crop_weight: jax.Array | None = None
    maps: jax.Array | None = None
    cells: CellDraw | None = None
    touching: jax.Array | None = None


def stack_examples(
    examples: tuple[Example, ...], margin: int, classes: int, balance: float, crop: int | None = None
) -> SamplerData:
    """Pad the examples to one size and weight their classes.

    Args:
        examples: training examples whose images are already normalised.
        margin: pixels to reflect at the borders of each image.
        classes: number of classes.
        balance: 1 makes classes equally probable, 0 in proportion to their area.
        crop: edge of the crops, for `SamplerData.crop_weight`; None for crops that lie anywhere.

    Raises:
        UserError: if nothing is annotated.
    """
    counts = class_pixels(examples, classes)
    examples = tuple(e for e, count in zip(examples, counts, strict=True) if count.any())
    counts = counts[counts.any(axis=1)]
    if not examples:
        raise UserError("no training image has an annotated pixel outside the validation regions")
    height, width = (max(e.image.shape[axis] for e in examples) for axis in (0, 1))
    images, padded, pixels, maps = [], [], [], []
    for example in examples:
        rows, columns = example.classes.shape
        around = ((margin, margin), (margin, margin))
        rest = ((0, height - rows), (0, width - columns))
        reflected = np.pad(example.image, (*around, (0, 0)), mode="reflect")
        images.append(np.pad(reflected, (*rest, (0, 0))))
        padded.append(np.pad(np.pad(example.classes, rest, constant_values=IGNORE), around, constant_values=IGNORE))
        if example.maps is not None:
            filled = np.pad(example.maps.astype(np.float16), (*rest, (0, 0)), constant_values=np.nan)
            maps.append(np.pad(filled, (*around, (0, 0)), constant_values=np.nan))
        for k in range(classes):
            y, x = np.nonzero(example.classes == k)
            pixels.append(y * width + x)
    # P(class | image) ~ count ** (1 - balance): equal for balance 1, by area for balance 0.
    share = np.where(counts > 0, np.maximum(counts, 1.0) ** (1 - balance), 0)
    share /= share.sum(axis=1, keepdims=True)
    sizes = np.array([e.classes.shape for e in examples])
    area = sizes.prod(axis=1, keepdims=True)
    weights = None
    if crop is not None:
        weights = [_crop_weight(e.classes, share[i] / np.maximum(counts[i], 1), crop) for i, e in enumerate(examples)]
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
        crop_weight=None if weights is None else _stacked(weights, height, width, margin),
        maps=jnp.asarray(np.stack(maps)) if maps else None,
    )


def add_cells(
    data: SamplerData,
    examples: Sequence[Example],
    margin: int,
    crop: int,
    by_cell: float,
    touching: float,
    sigma: float,
) -> SamplerData:
    """Add what crops around cells, and weights between cells that nearly touch, need.

    Args:
        data: what `stack_examples` made of the examples.
        examples: the examples.
        margin: as in `stack_examples`.
        crop: edge of the crops.
        by_cell: share of the crops that are drawn around cells; 0 adds nothing.
        touching: factor of `touching.touching_weights`; 0 adds nothing.
        sigma: its sigma, pixels.

    Raises:
        UserError: if crops are drawn around cells, and there is none.
    """
    examples = [example for example in examples if (example.classes != IGNORE).any()]
    height, width = (size - 2 * margin for size in data.classes.shape[1:])
    inside = [
        np.s_[i, margin : margin + e.classes.shape[0], margin : margin + e.classes.shape[1]]
        for i, e in enumerate(examples)
    ]
    cells = cell_draw(examples, width) if by_cell > 0 else None
    shares = crop_shares(examples, by_cell)
    if touching > 0:
        drawn = []
        for example, of_class, share in zip(examples, np.asarray(data.class_weight, float), shares, strict=True):
            density = np.where(example.classes == IGNORE, 0, of_class[np.maximum(example.classes, 0)])
            drawn.append(share.sum() * density / density.size)
        maps = touching_maps(examples, touching, sigma, drawn)
        data = data._replace(touching=_stacked(maps, height, width, margin))
    if cells is not None:
        before = (
            [None] * len(examples) if data.crop_weight is None else [np.asarray(data.crop_weight)[k] for k in inside]
        )
        weights = [weight_by_cell(*row) for row in zip(examples, [crop] * len(examples), shares, before, strict=True)]
        data = data._replace(cells=cells, crop_weight=_stacked(weights, height, width, margin))
    return data


def _stacked(maps: Sequence[np.ndarray], height: int, width: int, margin: int) -> jax.Array:
    """Maps of all images, padded with zeros to one size and by the margin, (N, H + 2 margin, W + 2 margin)."""
    rest = [((0, height - len(plane)), (0, width - plane.shape[1])) for plane in maps]
    return jnp.asarray(np.stack([np.pad(np.pad(p, r), margin) for p, r in zip(maps, rest, strict=True)]), jnp.float32)


def _crop_weight(classes: np.ndarray, of_class: np.ndarray, crop: int) -> np.ndarray:
    """See `SamplerData.crop_weight`.

    Args:
        classes: (H, W) classes, IGNORE where nothing is annotated.
        of_class: (K,) probability of drawing a given pixel of each class.
        crop: edge of the crops, even; the drawn pixel is at (crop / 2, crop / 2) of them.
    """
    annotated = classes != IGNORE
    drawn = np.where(annotated, of_class[np.maximum(classes, 0)], 0)
    inside = coverage(drawn, crop)
    # A pixel is in its own crop; sums of running totals may round to less.
    return np.where(annotated, crop**2 / drawn.size / np.maximum(inside, np.where(annotated, drawn, 1)), 0)
