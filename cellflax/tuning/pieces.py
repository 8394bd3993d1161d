"""The held-out regions with their probabilities, or a sample of them; and the sizes of their cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import ndimage
from skimage import measure

from cellflax.data.fragments import is_fragment, largest_fragment_px
from cellflax.ignored import PAINTED, visible
from cellflax.labels import compact, renumber
from cellflax.refine.search_space import KnownCells
from cellflax.training.held_out import HeldOut

# Largest edge of a piece of the sample; larger regions are cut, so that one of them does not become all of the sample.
_PIECE_PX = 1024
# All regions together have at least this many parts, over which scores are compared. Images differ as a whole, so that
# regions are divided only where there are few.
_PARTS = 8


@dataclass(frozen=True)
class Piece:
    """A held-out region, or a part of one.

    Attributes:
        region: its reference cells, nuclei and raw intensities.
        probability: (h, w, K) prediction.
        parts: rows and columns of the grid by which differences between scores are judged.
    """

    region: HeldOut
    probability: np.ndarray
    parts: tuple[int, int] = (1, 1)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.region.cells.size

    def cut(self, window: tuple[slice, slice]) -> "Piece":
        """A part of it; cells are cut at its border, the reference and the predicted ones in the same way."""
        region = self.region
        names = ("classes", "cells", "seeds", "raw", "ignored")
        arrays = {name: None if (whole := getattr(region, name)) is None else whole[window] for name in names}
        return Piece(replace(region, **arrays), self.probability[window])


def without_fragments(held_out: Sequence[HeldOut]) -> tuple[list[HeldOut], int]:
    """The regions with the places of fragments as not annotated, and the number of these (`cellflax.data.fragments`).

    Fragments are told by their nuclei; regions without nuclei stay as they are.
    """
    pairs = [(_cells(region), region.seeds) for region in held_out]
    largest = largest_fragment_px((cells, nuclei) for cells, nuclei in pairs if nuclei is not None)
    regions, count = [], 0
    for region, (cells, nuclei) in zip(held_out, pairs, strict=True):
        found = np.zeros(0, bool) if nuclei is None else is_fragment(cells, nuclei, largest)
        if found.any():
            count += int(found.sum())
            where = np.append(False, found)[compact(cells)[1]]
            ignored = np.zeros(where.shape, np.uint8) if region.ignored is None else region.ignored
            region = replace(region, ignored=np.where(where, PAINTED, ignored).astype(np.uint8))
        regions.append(region)
    return regions, count


def _cells(region: HeldOut) -> np.ndarray:
    return visible(region.cells, region.ignored)


def whole_regions(held_out: Sequence[HeldOut], probabilities: Sequence[np.ndarray]) -> list[Piece]:
    """All regions; the fewer they are, the finer the grid of each."""
    count = math.ceil(_PARTS / len(held_out))
    return [
        Piece(region, probability, _grid(region.cells.shape, count))
        for region, probability in zip(held_out, probabilities, strict=True)
    ]


def sample(pieces: Sequence[Piece], pixels: float, seed: int) -> list[Piece]:
    """Pieces of at most so many pixels together, at least one; all regions as they are if they have no more.

    The fewer the pieces, the finer the grid of each, as for regions.

    Args:
        pieces: all regions.
        pixels: largest number of pixels.
        seed: chooses the pieces.
    """
    if sum(piece.pixels for piece in pieces) <= pixels:
        return list(pieces)
    tiles = [piece.cut(window) for piece in pieces for window in _windows(piece.region.cells.shape)]
    # Pieces without annotated cells come last: they show what is no cell, and nothing of what cells are.
    order = np.random.default_rng(seed).permutation(len(tiles)).tolist()
    order.sort(key=lambda i: not _cells(tiles[i].region).any())
    chosen, total = [], 0
    for i in order:
        total += tiles[i].pixels
        if chosen and total > pixels:
            break
        chosen.append(i)
    count = math.ceil(_PARTS / len(chosen))
    return [replace(tiles[i], parts=_grid(tiles[i].region.cells.shape, count)) for i in sorted(chosen)]


def known_cells(held_out: Sequence[HeldOut]) -> KnownCells | None:
    """Sizes of the annotated cells of the regions; None if there is no cell."""
    widths, areas = [], []
    for region in held_out:
        for cell in measure.regionprops(renumber(_cells(region))):
            shape = np.pad(cell.image, 1)
            widths.append(2 * float(np.asarray(ndimage.distance_transform_edt(shape)).max()))
            areas.append(float(cell.area))
    if not areas:
        return None
    seeded = all(region.seeds is not None for region in held_out)
    return KnownCells(float(np.median(widths)), float(np.median(areas)), seeded)


def _grid(shape: tuple[int, ...], count: int) -> tuple[int, int]:
    """Rows and columns of at least so many parts, about as high as wide."""
    rows = min(max(round(math.sqrt(count * shape[0] / shape[1])), 1), count)
    return rows, math.ceil(count / rows)


def _windows(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Equal windows that divide an image, none larger than a piece."""
    edges = [np.linspace(0, size, math.ceil(size / _PIECE_PX) + 1).astype(int).tolist() for size in shape[:2]]
    rows, columns = ([slice(*ends) for ends in pairwise(edge)] for edge in edges)
    return [(row, column) for row in rows for column in columns]
