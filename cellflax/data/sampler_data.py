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
    """

    images: jax.Array
    classes: jax.Array
    sizes: jax.Array
    class_weight: jax.Array
    pixels: jax.Array
    starts: jax.Array
    counts: jax.Array
    log_probability: jax.Array


def stack_examples(examples: tuple[Example, ...], margin: int, classes: int, balance: float) -> SamplerData:
    """Pad the examples to one size and weight their classes.

    Args:
        examples: training examples whose images are already normalised.
        margin: pixels to reflect at the borders of each image.
        classes: number of classes.
        balance: 1 makes classes equally probable, 0 in proportion to their area.

    Raises:
        UserError: if nothing is annotated.
    """
    counts = class_pixels(examples, classes)
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
