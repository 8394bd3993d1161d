"""Cells that blocks found are joined into those of the whole image, whatever the blocks."""

import numpy as np
import pytest

from cellflax.inference.blocks import inside
from cellflax.inference.joining import (
    aligned_blocks,
    fingerprints,
    first_pixels,
    kept_cells,
    number_cells,
    same_cells,
    seen_strips,
)
from cellflax.labels import components, renumber

SHAPE = (101, 130)


def test_blocks_tile_the_image_at_multiples_of_their_edge():
    blocks = aligned_blocks(SHAPE, 50, 7)
    count = np.zeros(SHAPE, int)
    for block in blocks:
        count[block.core] += 1
        assert (block.core[0].start, block.core[1].start) == (50 * block.row, 50 * block.column)
        for span, core, size in zip(block.window, block.core, SHAPE, strict=True):
            assert (span.start, span.stop) == (max(core.start - 7, 0), min(core.start + 57, size))
    assert (count == 1).all()
    assert blocks[-1].core == (slice(100, 101), slice(100, 130))  # one row is left


def test_pieces_seen_alike_are_one_cell():
    mine = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 3]])
    theirs = np.array([[5, 5, 0, 5, 5], [5, 5, 0, 5, 0], [0, 0, 0, 0, 4]])  # one cell, whose parts meet beyond
    np.testing.assert_array_equal(same_cells(mine, theirs), [[1, 5], [2, 5], [3, 4]])
    # A pixel that each gives to another cell makes no cell of two.
    np.testing.assert_array_equal(same_cells(np.array([[1, 1, 1, 1, 2]]), np.array([[0, 6, 6, 6, 6]])), [[1, 6]])
    assert same_cells(np.zeros((3, 4), int), np.ones((3, 4), int)).shape == (0, 2)
    assert same_cells(np.zeros((3, 0), int), np.zeros((3, 0), int)).shape == (0, 2)


def test_first_pixels_and_fingerprints_are_of_the_image():
    labels = renumber(np.random.default_rng(0).integers(0, 9, (20, 30)))
    first = first_pixels(labels, 100, (5, 7))
    for label in range(1, labels.max() + 1):
        y, x = np.argwhere(labels == label)[0]
        assert first[label - 1] == (y + 5) * 100 + x + 7
    whole = fingerprints(labels, 100, (5, 7))
    assert len(np.unique(whole)) == len(whole) == labels.max()
    parts = np.zeros(len(whole), np.uint64)
    for rows in (slice(0, 8), slice(8, 20)):
        part = fingerprints(labels[rows], 100, (5 + rows.start, 7))
        parts[: len(part)] += part
    np.testing.assert_array_equal(parts, whole)


def test_numbers_are_in_the_order_of_first_pixels():
    first = np.array([40, 7, 90, 3, 60])
    number = number_cells(first, np.array([[0, 3], [2, 4]]))
    np.testing.assert_array_equal(number, [1, 2, 3, 1, 3])
    assert len(number_cells(np.empty(0, np.int64), np.empty((0, 2), np.int64))) == 0


def hard_cells() -> np.ndarray:
    """A mask with cells that blocks find hard: a frame around the image, a spiral, a cross on a corner of four."""
    mask = np.zeros(SHAPE, bool)
    mask[2:99, 3:5] = mask[97:99, 3:128] = mask[2:99, 126:128] = True
    mask[40:61, 49:52] = mask[49:52, 40:61] = True
    for i in range(3):
        mask[10 + 4 * i, 60 : 120 - 4 * i] = mask[10 + 4 * i : 90 - 4 * i, 119 - 4 * i] = True
        mask[89 - 4 * i, 64 + 4 * i : 120 - 4 * i] = True
    mask[30:33, 20:30] = mask[100, 60:90] = mask[0, 0] = mask[100, 129] = True
    rng = np.random.default_rng(0)
    return mask | (rng.random(SHAPE) > 0.62)


@pytest.mark.parametrize(("block", "halo"), [(5, 2), (16, 1), (16, 6), (16, 60), (50, 1), (50, 60), (100, 6), (200, 6)])
def test_components_are_those_of_the_whole_image(block, halo):
    mask, width = hard_cells(), SHAPE[1]
    blocks = aligned_blocks(SHAPE, block, halo)
    parts, first, strips, offset, n = np.zeros(SHAPE, np.int64), [], {}, {}, 0
    for b in blocks:
        kept, _ = kept_cells(components(mask[b.window]), b)
        core = kept[inside(b.core, b.window)]
        first.append(first_pixels(core, width, (b.core[0].start, b.core[1].start)))
        parts[b.core] = np.where(core > 0, core + n, 0)
        strips[b.row, b.column], offset[b.row, b.column] = seen_strips(kept, b, halo), n
        n += len(first[-1])
    pairs = [np.empty((0, 2), np.int64)]
    for b in blocks:
        for place, side, start in (
            ((b.row, b.column + 1), "right", (b.core[0].start, b.core[1].stop)),
            ((b.row + 1, b.column), "bottom", (b.core[0].stop, b.core[1].start)),
        ):
            if place not in strips:
                continue
            mine = strips[b.row, b.column][side]
            mine = mine[:, :block] if side == "right" else mine[:block]
            theirs = parts[start[0] : start[0] + mine.shape[0], start[1] : start[1] + mine.shape[1]]
            same = same_cells(mine, theirs)
            pairs.append(np.stack([same[:, 0] + offset[b.row, b.column], same[:, 1]], axis=1) - 1)
    number = np.concatenate([[0], number_cells(np.concatenate(first), np.concatenate(pairs))])
    np.testing.assert_array_equal(number[parts], components(mask))
