"""Apply a network to whole images tile by tile; exact, because every output sees a bounded neighbourhood."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cellflax.models import Geometry

Apply = Callable[[np.ndarray], np.ndarray | jax.Array]

# Images are padded up to a multiple of this, so that fewer shapes are compiled.
SHAPE_STEP = 64
# A call takes this many tiles, or one, so that only two programs are compiled. Within a call, the tiles use the same
# memory one after another, which saves some time on a CPU (benchmarks/dense_inference.py). With several devices, it is
# the next multiple of their number, and calls with a tile for each device come between (`devices.over_devices`).
TILES_PER_CALL = 8


def predict_tiles(apply: Apply, image: np.ndarray, geometry: Geometry, *, tile: int = 512) -> np.ndarray:
    """Run `apply` over an image of any size in equal tiles; the result is that of the whole image.

    Neighbouring tiles share `border` pixels of input on each side, so their outputs join without seams, and
    memory is bounded by the tile. Pixels beyond the image are mirrored. All tiles of an image have one shape, so
    that one compilation serves all images of its size: the last tile of a row is moved back, not cut. Tiles begin
    at multiples of `multiple`, so that a network's poolings fall on the same pixels whatever the tile.

    Args:
        apply: (T, h + 2 border, w + 2 border, C) -> (T, h, w, K), for T of 1 or `TILES_PER_CALL` tiles; with several
            devices, also for T of their number.
        image: (H, W, C) normalised.
        geometry: geometry of the network; h and w are divisible by its `multiple`.
        tile: largest h and w.

    Returns:
        (H, W, K) float32.
    """
    border, multiple = geometry.border, geometry.multiple
    step = int(np.lcm(SHAPE_STEP, multiple))
    largest = max(tile // step, 1) * step
    shape = image.shape[:2]
    edges = [_edge(size, largest, step) for size in shape]
    missing = [max(edge - size, -size % multiple) for edge, size in zip(edges, shape, strict=True)]
    padding = [(border, border + extra) for extra in missing]
    padded = np.pad(image, [*padding, (0, 0)], mode="reflect")
    corners = [
        (y, x) for y in _starts(shape[0] + missing[0], edges[0]) for x in _starts(shape[1] + missing[1], edges[1])
    ]
    output: np.ndarray | None = None
    for group in _groups(corners):
        windows = [padded[y : y + edges[0] + 2 * border, x : x + edges[1] + 2 * border] for y, x in group]
        for (y, x), result in zip(group, np.asarray(apply(np.stack(windows))), strict=True):
            if output is None:
                output = np.empty((*shape, result.shape[-1]), np.float32)
            part = output[y : y + edges[0], x : x + edges[1]]
            part[...] = result[: part.shape[0], : part.shape[1]]
    assert output is not None
    return output


def predict_transforms(
    apply: Apply,
    image: np.ndarray,
    transforms: int,
    geometry: Geometry,
    *,
    tile: int = 512,
    predict: Callable[..., np.ndarray] = predict_tiles,
) -> Iterator[np.ndarray]:
    """`predict_tiles` of rotations and reflections of the image (test-time augmentation), one at a time.

    Args:
        apply: as in `predict_tiles`.
        image: (H, W, C) normalised.
        transforms: 1 for the image as it is, 4 for its quarter turns, 8 for these and their reflections.
        geometry: as in `predict_tiles`.
        tile: as in `predict_tiles`.
        predict: function to use instead of `predict_tiles`, with the same arguments.

    Yields:
        (H, W, K) float32, in the orientation of `image`.
    """
    for k in range(transforms):
        turned = np.rot90(image, k % 4)
        turned = turned[:, ::-1] if k >= 4 else turned
        predicted = predict(apply, turned, geometry, tile=tile)
        predicted = predicted[:, ::-1] if k >= 4 else predicted
        yield np.rot90(predicted, -(k % 4))


def predict_averaged(
    apply: Apply, image: np.ndarray, transforms: int, geometry: Geometry, **options: Any
) -> np.ndarray:
    """Mean of `predict_transforms`, (H, W, K) float32; arguments as there."""
    predictions = predict_transforms(apply, image, transforms, geometry, **options)
    return sum(predictions, np.zeros(1, np.float32)) / transforms


def _groups(corners: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """As many full groups as there are, then groups of a tile for each device, then single tiles."""
    devices, first = jax.local_device_count(), 0
    for size in (-(-TILES_PER_CALL // devices) * devices, devices, 1):
        while len(corners) - first >= size:
            yield corners[first : first + size]
            first += size


def _edge(size: int, largest: int, step: int) -> int:
    """Edge of the fewest equal tiles that cover `size`, so that little of it is computed twice."""
    tiles = -(-size // largest)
    return -(-size // (tiles * step)) * step


def _starts(size: int, edge: int) -> list[int]:
    return [*range(0, size - edge, edge), size - edge]
