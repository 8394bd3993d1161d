"""The training set as the samplers need it on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.data.example import IGNORE, Example, class_pixels
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
            holds the pixel, times the crop's share of the image's area; 0 where nothing is annotated.
        maps: (N, H + 2 margin, W + 2 margin, maps) float16, `Example.maps`, NaN outside the image; None without maps.
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
        weights = [
            np.pad(_crop_weight(example.classes, share[i] / np.maximum(counts[i], 1), crop), margin)
            for i, example in enumerate(examples)
        ]
        full = height + 2 * margin, width + 2 * margin
        weights = np.stack([np.pad(w, ((0, full[0] - w.shape[0]), (0, full[1] - w.shape[1]))) for w in weights])
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
        crop_weight=None if weights is None else jnp.asarray(weights, jnp.float32),
        maps=jnp.asarray(np.stack(maps)) if maps else None,
    )


def _crop_weight(classes: np.ndarray, of_class: np.ndarray, crop: int) -> np.ndarray:
    """See `SamplerData.crop_weight`.

    Args:
        classes: (H, W) classes, IGNORE where nothing is annotated.
        of_class: (K,) probability of drawing a given pixel of each class.
        crop: edge of the crops, even; the drawn pixel is at (crop / 2, crop / 2) of them.
    """
    annotated = classes != IGNORE
    drawn = np.where(annotated, of_class[np.maximum(classes, 0)], 0)
    # Sums over the pixels in whose crops a pixel lies: the box from 1 - crop / 2 to crop / 2 around it.
    half = crop // 2
    inside = np.cumsum(np.pad(drawn, ((half, half), (0, 0))), axis=0)
    inside = np.concatenate([np.zeros((1, inside.shape[1])), inside])
    inside = inside[crop + 1 : crop + 1 + len(drawn)] - inside[1 : len(drawn) + 1]
    inside = np.cumsum(np.pad(inside, ((0, 0), (half, half))), axis=1)
    inside = np.concatenate([np.zeros((len(inside), 1)), inside], axis=1)
    inside = inside[:, crop + 1 : crop + 1 + drawn.shape[1]] - inside[:, 1 : drawn.shape[1] + 1]
    # A pixel is in its own crop; sums of running totals may round to less.
    return np.where(annotated, crop**2 / drawn.size / np.maximum(inside, np.where(annotated, drawn, 1)), 0)
