"""Whole images in tiles that are blended where they meet: the nearly exact inference of Sadanandan 2017 (P2)."""

from collections.abc import Iterator

import numpy as np

from cellflax.inference.dense import Apply
from cellflax.models import Geometry

# Standard deviation of the Gaussian as a share of the tile's edge; P2 says only that it is high at tile centres.
# A tile's corner then weighs exp(-4) of its centre.
_SIGMA = 0.25


def predict_blended(
    apply: Apply, image: np.ndarray, geometry: Geometry, *, tile: int = 240, passes: int = 2
) -> np.ndarray:
    """Run `apply` over tiles without overlap, again over tiles shifted by half a tile, and average (P2).

    Each pass is multiplied by a Gaussian that is high at the centres of its tiles; their sum is divided by the sum
    of the weights. A tile is predicted from its own pixels alone. P2's network sees zeros around its tile; our
    networks take `border` pixels of context, which are the tile's own pixels mirrored. The prediction near a
    tile's edge is therefore wrong by as much as the network depends on the pixels beyond. The second pass hides
    this error except where the edges of both passes cross. The tiles of `dense.predict_tiles` see their
    neighbours and have no such error; this function serves for comparison.

    Args:
        apply: (T, h + 2 border, w + 2 border, C) -> (T, h, w, K); it gets one tile at a time.
        image: (H, W, C) normalised; it is mirrored where a tile extends beyond it.
        geometry: geometry of the network; h and w are divisible by its `multiple`.
        tile: h and w, rounded down to a multiple of `multiple`; P2: 240.
        passes: 2, or 1 for tiles that simply abut.

    Returns:
        (H, W, K) float32.
    """
    border, multiple = geometry.border, geometry.multiple
    tile = max(tile // multiple, 1) * multiple
    height, width = image.shape[:2]
    weight = _gaussian(tile)
    total: np.ndarray | None = None
    weights = np.zeros((height, width, 1), np.float32)
    for shift in (0, tile // 2)[:passes]:
        before = shift and tile - shift  # so that the first tile of a shifted pass begins before the image
        padding = [(before, -(before + size) % tile) for size in (height, width)]
        padded = np.pad(image, [*padding, (0, 0)], mode="reflect")
        for rows, columns, window in _tiles(padded, tile):
            context = np.pad(window, ((border, border), (border, border), (0, 0)), mode="reflect")
            result = np.asarray(apply(context[None]))[0]
            if total is None:
                total = np.zeros((height, width, result.shape[-1]), np.float32)
            y, x = rows - before, columns - before
            inside = slice(max(y, 0), y + tile), slice(max(x, 0), x + tile)
            part = total[inside]
            top, left = inside[0].start - y, inside[1].start - x
            of_tile = slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
            part += weight[of_tile] * result[of_tile]
            weights[inside] += weight[of_tile]
    assert total is not None
    return total / weights


def _tiles(padded: np.ndarray, tile: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """First row and column of each tile, and its pixels."""
    for y in range(0, padded.shape[0], tile):
        for x in range(0, padded.shape[1], tile):
            yield y, x, padded[y : y + tile, x : x + tile]


def _gaussian(tile: int) -> np.ndarray:
    """(tile, tile, 1) weights, 1 in the middle."""
    profile = np.exp(-0.5 * ((np.arange(tile) - (tile - 1) / 2) / (_SIGMA * tile)) ** 2)
    return (profile[:, None] * profile)[..., None].astype(np.float32)
