"""Weights that grow where two cells are near (Ronneberger et al. 2015, eq. 2, doi 10.1007/978-3-319-24574-4_28)."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from cellflax.data.cell_draw import learnt_cells
from cellflax.data.example import Example
from cellflax.labels import renumber

# Beyond this many sigma the weight is 1 to seven digits.
_REACH = 6.0


def touching_weights(cells: np.ndarray, factor: float, sigma_px: float) -> np.ndarray:
    """1 + factor * exp(-(d1 + d2)^2 / (2 sigma^2)) of every pixel.

    d1 and d2 are the distances to the nearest and the second nearest cell, between the middles of pixels. d1 is 0
    inside a cell, so that the sides of a narrow gap weigh more, too.

    Args:
        cells: (H, W) labels, 0 = background.
        factor: what is added where two cells touch, >= 0.
        sigma_px: distance at which it has fallen to 0.61 of that, pixels, > 0.

    Returns:
        (H, W) float32. 1 everywhere if there are fewer than two cells.
    """
    cells = renumber(cells)
    reach = int(np.ceil(_REACH * sigma_px))
    nearest, second = (np.full(cells.shape, np.inf, np.float32) for _ in range(2))
    # A sum below the reach has both cells within it, so that each cell matters only in a window around it.
    for number, (rows, columns) in enumerate(ndimage.find_objects(cells), start=1):
        window = (
            slice(max(rows.start - reach, 0), rows.stop + reach),
            slice(max(columns.start - reach, 0), columns.stop + reach),
        )
        distance = np.asarray(ndimage.distance_transform_edt(cells[window] != number), np.float32)
        closer = np.minimum(distance, nearest[window])
        second[window] = np.minimum(second[window], np.maximum(distance, nearest[window]))
        nearest[window] = closer
    return (1 + factor * np.exp(-((nearest + second) ** 2) / (2 * sigma_px**2))).astype(np.float32)


def touching_maps(
    examples: Sequence[Example], factor: float, sigma_px: float, probability: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """`touching_weights` of every example, divided by their mean over the data set, so that the mean weight stays 1.

    Distances are those to cells that are annotated and not held out. Near what is not annotated there may be another
    cell; the weight then does not grow.

    Args:
        examples: training examples.
        factor: see `touching_weights`.
        sigma_px: see `touching_weights`.
        probability: (H, W) of each example, probability of drawing each of its pixels; the sum over all is 1.
    """
    maps = [touching_weights(learnt_cells(example), factor, sigma_px) for example in examples]
    mean = sum(float(np.sum(weight * drawn)) for weight, drawn in zip(maps, probability, strict=True))
    return [(weight / mean).astype(np.float32) for weight in maps]
