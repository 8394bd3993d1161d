"""Join cells that several workers found, each in its own block, into cells of the whole image.

Each block keeps what it found in its core. It also says how it sees a strip beyond each border, so that two blocks can
be compared where both saw the same pixels. What they see alike there is one cell. The result depends on what was found
alone: not on who found it, nor in which order.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from cellflax.inference.blocks import Window, inside
from cellflax.labels import components, overlap_table, renumber

SIDES = ("top", "bottom", "left", "right")
# The least Jaccard index of two pieces that are the same: above one half, a piece has one partner at most.
_SAME = 0.5


@dataclass(frozen=True)
class AlignedBlock:
    """A part of an image that one worker segments; the cores of all blocks tile the image.

    Attributes:
        row: number of its row of blocks.
        column: number of its column of blocks.
        core: rows and columns of the part, which begin at multiples of the block's edge.
        window: the core and its surroundings; cells are found in it.
    """

    row: int
    column: int
    core: Window
    window: Window


def aligned_blocks(shape: tuple[int, int], block: int, halo: int) -> list[AlignedBlock]:
    """Cut an image at multiples of `block`, in reading order; the last blocks of a row or column may be smaller.

    Args:
        shape: height and width.
        block: edge of a core, pixels.
        halo: pixels from a core to its window's edge; fewer at the image's edge.
    """
    return [
        AlignedBlock(
            y // block,
            x // block,
            (slice(y, min(y + block, shape[0])), slice(x, min(x + block, shape[1]))),
            (
                slice(max(y - halo, 0), min(y + block + halo, shape[0])),
                slice(max(x - halo, 0), min(x + block + halo, shape[1])),
            ),
        )
        for y in range(0, shape[0], block)
        for x in range(0, shape[1], block)
    ]


def kept_cells(labels: np.ndarray, block: AlignedBlock) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a block's window that have a part in its core.

    Args:
        labels: (h, w) integer labels of the window.
        block: the block.

    Returns:
        (h, w) int32 labels 1...n of these cells, in the order that `labels` has; and their labels there, ascending.
    """
    in_core = np.zeros(int(labels.max(initial=0)) + 1, bool)
    in_core[labels[inside(block.core, block.window)]] = True
    in_core[0] = False
    return renumber(np.where(in_core[labels], labels, 0)), np.flatnonzero(in_core)


def seen_strips(kept: np.ndarray, block: AlignedBlock, halo: int) -> dict[str, np.ndarray]:
    """How a block sees the strips beside its core that belong to other blocks.

    Args:
        kept: (h, w) labels of the window, as from `kept_cells`.
        block: the block.
        halo: as for `aligned_blocks`.

    Returns:
        By side, the labels of a strip as long as the core and up to `halo` wide; empty at the image's edge.
    """
    rows, columns = inside(block.core, block.window)
    return {
        "top": kept[max(rows.start - halo, 0) : rows.start, columns],
        "bottom": kept[rows.stop : rows.stop + halo, columns],
        "left": kept[rows, max(columns.start - halo, 0) : columns.start],
        "right": kept[rows, columns.stop : columns.stop + halo],
    }


def same_cells(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Pairs of labels that are one cell, by how two blocks see the same pixels.

    Cells are compared by their connected pieces within the pixels that both see: a large cell may be one label to one
    block and several to the other, because the parts meet beyond. Pieces that overlap by more than half are the same.

    Args:
        mine: (h, w) integer labels by one block.
        theirs: (h, w) integer labels by the other.

    Returns:
        (n, 2) pairs of labels, without repetitions.
    """
    a, b = components(mine), components(theirs)
    table = overlap_table(a, b)
    rows, columns, jaccard = table.pairs()
    alike = jaccard > _SAME
    label_a, label_b = _label_of_pieces(a, mine), _label_of_pieces(b, theirs)
    pairs = np.stack([label_a[rows[alike]], label_b[columns[alike]]], axis=1)
    return np.unique(pairs, axis=0)


def _label_of_pieces(pieces: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label of each piece 1...n, from index 0."""
    label = np.zeros(int(pieces.max(initial=0)) + 1, np.int64)
    label[pieces] = labels
    return label[1:]


def first_pixels(labels: np.ndarray, width: int, origin: tuple[int, int]) -> np.ndarray:
    """The first pixel of each cell in reading order, as its number in an image that is `width` pixels wide.

    Args:
        labels: (h, w) labels 1...n of a window, each of which occurs.
        width: width of the image.
        origin: row and column of the window's first pixel.

    Returns:
        (n,) int64.
    """
    flat = labels.ravel()
    first = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
    place = np.arange(flat.size - 1, -1, -1)
    first[flat[place]] = place  # the last one written, the first in reading order, stays
    rows, columns = np.divmod(first[1:], labels.shape[1])
    return (rows + origin[0]) * width + columns + origin[1]


def fingerprints(labels: np.ndarray, width: int, origin: tuple[int, int]) -> np.ndarray:
    """A number for each cell that tells which pixels of the image it has; those of two parts add up to the whole's.

    Args:
        labels: as in `first_pixels`.
        width: as in `first_pixels`.
        origin: as in `first_pixels`.

    Returns:
        (n,) uint64, sums modulo 2^64 of a hash (SplitMix64) of every pixel's number.
    """
    y, x = np.nonzero(labels)
    mixed = ((y + origin[0]) * width + x + origin[1]).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    sums = np.zeros(int(labels.max(initial=0)) + 1, np.uint64)
    np.add.at(sums, labels[y, x], mixed ^ (mixed >> np.uint64(31)))
    return sums[1:]


def number_cells(first: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Number joined parts of cells by position: in the order of their first pixels, whatever the parts.

    Args:
        first: (n,) first pixel of every part in the image.
        pairs: (m, 2) indices of parts that are one cell.

    Returns:
        (n,) int32, the number 1... of the cell that each part belongs to.
    """
    n = len(first)
    graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    count, cell = csgraph.connected_components(graph, directed=False)
    lowest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(lowest, cell, first)
    number = np.zeros(count, np.int32)
    number[np.argsort(lowest, kind="stable")] = np.arange(1, count + 1, dtype=np.int32)
    return number[cell]
