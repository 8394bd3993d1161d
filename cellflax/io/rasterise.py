"""From outlines of cells to a label image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.notices import warn

# Pixels; larger coordinates are damage, and their products would not be exact.
_FARTHEST = 1e7
# Crossings of outlines and rows of pixels that are computed at once.
_AT_ONCE = 2**20
LARGEST_LABEL = 2**31 - 1


@dataclass(frozen=True)
class CellOutline:
    """The outline of one cell.

    Attributes:
        name: what to call it in errors.
        rings: (n, 2) x and y of the corners of its closed lines, in pixels; (0, 0) is the upper left corner of the
            first pixel. Where lines lie within others, they are holes (even-odd rule).
        label: the number of the cell in the label image that cellflax exported, if the file says.
        frame: its frame in a movie from 0, if the file says.
    """

    name: str
    rings: tuple[np.ndarray, ...]
    label: int | None = None
    frame: int | None = None


def rasterise(outlines: Sequence[CellOutline], shape: tuple[int, int], path: Path) -> np.ndarray:
    """Number the outlines of a file from 1 in their order, and fill them.

    A pixel belongs to an outline if its centre is inside. One that is inside several belongs to the smallest of them
    (the first of equals). The screen says how many there are, which outlines reach out of the image and are cut, and
    which have no pixel.

    Args:
        outlines: the cells.
        shape: height and width of the image.
        path: the file, for messages.

    Returns:
        (H, W) int32 labels, 0 = background.

    Raises:
        UserError: for coordinates that are no numbers or far off, an outline outside the image, or if no outline holds
            a pixel.
    """
    labels = np.zeros(shape, np.int32)
    areas = np.zeros(len(outlines) + 1, np.int64)
    contested = np.zeros(shape, bool)
    cut = 0
    for number, outline in enumerate(outlines, start=1):
        low, high = _extent(outline, path)
        width_height = np.array(shape[::-1])
        if (high <= 0).any() or (low >= width_height).any():
            raise UserError(
                f"{path}: {outline.name} lies outside of its image of {shape[1]} x {shape[0]} px (x {low[0]:g} ... "
                f"{high[0]:g}, y {low[1]:g} ... {high[1]:g}); are they the outlines of another image?"
            )
        cut += bool((low < -1).any() or (high > width_height + 1).any())
        window, inside = _filled(outline.rings, shape)
        areas[number] = inside.sum()
        here = labels[window]
        taken = inside & (here > 0)
        contested[window] |= taken
        here[inside & ((here == 0) | (areas[here] > areas[number]))] = number
    if len(outlines) and not labels.any():
        raise UserError(f"{path}: none of its {len(outlines)} outlines holds a pixel; are their coordinates in pixels?")
    lost = len(outlines) - len(np.unique(labels[labels > 0]))
    for count, text in (
        (int(contested.sum()), "pixels are inside several outlines; each goes to the smallest of them"),
        (cut, "outlines reach out of the image and are cut at its border"),
        (lost, "outlines have no pixel of their own (too small, or drawn twice) and are left out"),
    ):
        if count:
            warn(f"{path}: {count} {text}")
    return labels


def _extent(outline: CellOutline, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest x and y."""
    corners = np.concatenate(outline.rings)
    # Not `abs > _FARTHEST`: NaN must fail too.
    if not (np.abs(corners) <= _FARTHEST).all():
        raise UserError(f"{path}: {outline.name} has coordinates that are no pixels; export it again")
    return corners.min(axis=0), corners.max(axis=0)


def _filled(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """A window of the image, and which of its pixels have their centre inside.

    skimage.draw.polygon asks of each pixel about each edge, which takes minutes for a large outline of many corners.
    """
    # In rows and columns: the centre of the first pixel is (0, 0).
    rings = [np.asarray(ring, float)[:, ::-1] - 0.5 for ring in rings]
    corners = np.concatenate(rings)
    first = np.clip(np.ceil(corners.min(axis=0)), 0, shape).astype(int)
    last = np.clip(np.floor(corners.max(axis=0)) + 1, first, shape).astype(int)
    height, width = last - first
    # Where an edge crosses a row, all pixels to its right change sides.
    changes = np.zeros(height * (width + 1), np.int32)
    start, end = (np.concatenate([np.roll(ring, -by, axis=0) for ring in rings]) for by in (0, 1))
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    top, below = (np.clip(np.ceil(y), first[0], last[0]).astype(int) for y in (low, high))
    count = below - top
    bounds = np.searchsorted(np.cumsum(count), np.arange(0, count.sum() + _AT_ONCE, _AT_ONCE), side="right")
    for a, b in pairwise([0, *bounds.tolist()]):
        edges = np.repeat(np.arange(a, b), count[a:b])
        if not len(edges):
            continue
        rows = top[edges] + np.arange(len(edges)) - np.repeat(np.cumsum(count[a:b]) - count[a:b], count[a:b])
        (y0, x0), (y1, x1) = start[edges].T, end[edges].T
        columns = np.clip(np.ceil(x0 + (rows - y0) * (x1 - x0) / (y1 - y0)), first[1], last[1]).astype(int)
        np.add.at(changes, (rows - first[0]) * (width + 1) + columns - first[1], 1)
    inside = np.cumsum(changes.reshape(height, width + 1), axis=1)[:, :-1] % 2 == 1
    return (slice(first[0], last[0]), slice(first[1], last[1])), inside
