"""Crops around a random cell (`sampler.by_cell`), and how often a pixel is in a crop.

A share b of the crops has a random pixel of a random cell in its middle, each cell of the training set being equally
likely. The other crops are drawn as without it. An image i of N with n_i of n cells is then drawn with probability
(1 - b) / N + b n_i / n, in place of 1 / N: a field of 272 nuclei counts more than one of 5. Within an image nothing
changes: a class is drawn as `balance` says, and a pixel of that class uniformly. Pixels near cells are in more crops,
and their weight makes up for it, as it does near the border.

The weight of a pixel is limited to `MOST` times what it is without `by_cell`. Only pixels far from any cell reach the
limit, if nearly all crops of an image are drawn around cells; they then count less than that objective says. With b = 1
they do not count at all beyond half a crop from a cell, and neither do images without a cell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.data.example import IGNORE, Example
from cellflax.errors import UserError
from cellflax.labels import renumber

MOST = 4.0


class CellDraw(NamedTuple):
    """The cells of the training set on the device.

    Attributes:
        pixels: flat indices y * W + x of the pixels of all cells, grouped by cell.
        starts: (n,) where each cell starts in `pixels`.
        counts: (n,) pixels of each cell.
        images: (n,) number of the image that each cell is in.
    """

    pixels: jax.Array
    starts: jax.Array
    counts: jax.Array
    images: jax.Array

    def pixel(self, key: jax.Array, width: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Image, row and column of a random pixel of a random cell, in images that are padded to `width`."""
        key_cell, key_pixel = jax.random.split(key)
        cell = jax.random.randint(key_cell, (), 0, self.counts.shape[0])
        pixel = self.pixels[self.starts[cell] + jax.random.randint(key_pixel, (), 0, self.counts[cell])]
        return self.images[cell], pixel // width, pixel % width


def learnt_cells(example: Example) -> np.ndarray:
    """(H, W) int32 cells 1 ... n of an example, 0 where nothing is annotated or a cell is held out."""
    return renumber(np.where(example.classes != IGNORE, example.annotated_cells, 0))


def cell_draw(examples: Sequence[Example], width: int) -> CellDraw:
    """The cells of the training set.

    Args:
        examples: training examples.
        width: width to which all images are padded.

    Raises:
        UserError: if there is no cell.
    """
    pixels, counts, images = [], [], []
    for i, example in enumerate(examples):
        cells = learnt_cells(example)
        y, x = np.nonzero(cells)
        order = np.argsort(cells[y, x], kind="stable")
        pixels.append((y * width + x)[order])
        counts.append(np.bincount(cells[y, x])[1:])
        images.append(np.full(len(counts[-1]), i))
    count = np.concatenate(counts)
    if not len(count):
        raise UserError("sampler.by_cell needs a cell in the training images, there is none; set sampler.by_cell=0")
    return CellDraw(
        pixels=jnp.asarray(np.concatenate(pixels), jnp.int32),
        starts=jnp.asarray(np.cumsum([0, *count[:-1]]), jnp.int32),
        counts=jnp.asarray(count, jnp.int32),
        images=jnp.asarray(np.concatenate(images), jnp.int32),
    )


def crop_shares(examples: Sequence[Example], by_cell: float) -> np.ndarray:
    """(N, 2) probabilities that a crop is of each image: drawn by image, and drawn by cell; their sum is 1."""
    uniform = np.full(len(examples), 1 / len(examples))
    if by_cell == 0:
        return np.stack([uniform, np.zeros(len(examples))], axis=-1)
    cells = np.array([learnt_cells(example).max() for example in examples])
    return np.stack([(1 - by_cell) * uniform, by_cell * cells / cells.sum()], axis=-1)


def weight_by_cell(example: Example, crop: int, shares: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """What makes up for the crops around cells, (H, W); see `sampler_data.SamplerData.crop_weight`.

    Args:
        example: an image.
        crop: edge of the crops.
        shares: (2,) row of `crop_shares`.
        weight: (H, W) the same without crops around cells, 0 where nothing is annotated; None where all crops lie
            anywhere.
    """
    if weight is None:
        rows, columns = (1 / anywhere(length, crop) for length in example.classes.shape)
        weight = rows[:, None] * columns[None, :]
    if shares[1] == 0:
        return weight
    cells = learnt_cells(example)
    area = np.bincount(cells.ravel())
    density = np.where(cells > 0, 1 / np.maximum(area, 1)[cells], 0) / cells.max()
    around = coverage(density, crop) * cells.size / crop**2
    known = weight > 0
    share = shares[1] / shares.sum()
    frequency = (1 - share) / np.where(known, weight, 1) + share * around
    return np.where(known, 1 / np.maximum(frequency, 1 / (MOST * np.where(known, weight, 1))), 0)


def anywhere(length: int, crop: int) -> np.ndarray:
    """How often each pixel of a side is in crops that lie anywhere, relative to the mean; half of them may lie outside.

    Args:
        length: pixels of the side.
        crop: edge of the crops.
    """
    pixels, half = np.arange(length), crop // 2
    first, last = np.maximum(pixels - crop + 1, -half), np.minimum(pixels, length - half)
    return np.maximum(last - first + 1, 1) / (length + 1) * length / crop


def coverage(density: np.ndarray, crop: int) -> np.ndarray:
    """Probability that a crop holds each pixel.

    Args:
        density: (H, W) probability that the pixel is drawn, and becomes the pixel (crop / 2, crop / 2) of the crop.
        crop: edge of the crops, even.

    Returns:
        (H, W) sums over the box from 1 - crop / 2 to crop / 2 around each pixel.
    """
    half = crop // 2
    inside = np.cumsum(np.pad(density, ((half, half), (0, 0))), axis=0)
    inside = np.concatenate([np.zeros((1, inside.shape[1])), inside])
    inside = inside[crop + 1 : crop + 1 + len(density)] - inside[1 : len(density) + 1]
    inside = np.cumsum(np.pad(inside, ((0, 0), (half, half))), axis=1)
    inside = np.concatenate([np.zeros((len(inside), 1)), inside], axis=1)
    return inside[:, crop + 1 : crop + 1 + density.shape[1]] - inside[:, 1 : density.shape[1] + 1]
