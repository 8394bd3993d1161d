"""Merge cells found block by block into one label image: each appears once, and none is cut where blocks meet."""

from collections.abc import Sequence

import numpy as np

from cellflax.inference.blocks import Block, inside


class Mosaic:
    """A label image that is filled block by block.

    A block adds the cells that touch its core. It skips a cell if at least half of it is already there, added by an
    earlier block. Windows overlap by the length of a cell, so both blocks see all of it and agree up to the rounding
    of probabilities. A cell larger than that comes in parts: the part that no earlier block has seen is always
    added. Cells in the mosaic never change.

    Attributes:
        labels: (H, W) int32, 1...n in the order of the blocks and, within each, of its own labels.

    Args:
        shape: height and width of the image.
        blocks: in reading order, as from `split_blocks`.
    """

    def __init__(self, shape: tuple[int, int], blocks: Sequence[Block]):
        self.labels = np.zeros(shape, np.int32)
        self._count = 0
        self._blocks = list(blocks)

    def add(self, index: int, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add the cells of one block; the blocks must come in order.

        Args:
            index: index of the block.
            labels: (h, w) integer labels 1...n of its window.

        Returns:
            (h, w) int32, the added cells with their labels in the mosaic; and their labels in `labels`, ascending.
        """
        block = self._blocks[index]
        here = self.labels[block.window]
        free = here == 0

        def pixels(where: np.ndarray) -> np.ndarray:
            """For each label, the number of its pixels among those given."""
            return np.bincount(where.ravel(), minlength=int(labels.max(initial=0)) + 1)

        again = 2 * pixels(labels[free]) <= pixels(labels)
        unseen = pixels(labels[self._unseen(index)]) > 0
        taken = (pixels(labels[inside(block.core, block.window)]) > 0) & (~again | unseen)
        taken[0] = False
        number = np.where(taken, self._count + np.cumsum(taken), 0).astype(np.int32)
        added = np.where(free, number[labels], 0)
        here += added
        self._count += int(taken.sum())
        return added, np.flatnonzero(taken)

    def _unseen(self, index: int) -> np.ndarray:
        """(h, w) bool, the pixels of a block's window that are in no earlier window."""
        window = self._blocks[index].window
        unseen = np.ones([span.stop - span.start for span in window], bool)
        for earlier in self._blocks[:index]:
            overlap = tuple(
                slice(max(a.start - b.start, 0), max(a.stop - b.start, 0))
                for a, b in zip(earlier.window, window, strict=True)
            )
            unseen[overlap] = False
        return unseen
