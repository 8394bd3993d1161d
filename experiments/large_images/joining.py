"""Memory and CPU seconds of joining the blocks of a large image, by made-up facts of cells: no pixels are read.

    python experiments/large_images/joining.py 10000 25000 50000

One line per edge of the image (pixels): number of cells (20 x 20 pixels each), memory in MB above that of the imports.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd

from cellflax.inference.joining import SIDES, AlignedBlock, aligned_blocks
from cellflax.io.zarr_labels import LabelArray
from cellflax.prediction.streamed_blocks import BlockFacts
from cellflax.prediction.streamed_merge import join_blocks

BLOCK, CELL = 2048, 20


class Background(LabelArray):
    """Labels of blocks without any cell at their borders."""

    def __init__(self) -> None:
        pass

    def read(self, window: tuple[slice, slice]) -> np.ndarray:
        """(h, w) zeros."""
        return np.zeros([span.stop - span.start for span in window], np.int32)


def facts_of(block: AlignedBlock, width: int) -> BlockFacts:
    """A cell at every `CELL` pixels along both axes."""
    y, x = np.meshgrid(*(np.arange(span.start, span.stop, CELL) for span in block.core), indexing="ij")
    first = (y * width + x).ravel()
    rng = np.random.default_rng((block.row, block.column))
    n = len(first)
    rows, columns = (span.stop - span.start for span in block.core)
    return BlockFacts(
        first=first,
        fingerprint=rng.integers(0, 2**63, n).astype(np.uint64),
        area=np.full(n, CELL**2),
        box=np.zeros((n, 4), np.int64),
        probability=np.zeros((n, 3)),
        strips={side: np.zeros((0, columns) if side in ("top", "bottom") else (rows, 0), np.int32) for side in SIDES},
        cells=pd.DataFrame({"label": np.arange(1, n + 1)}),
        whole=np.zeros(n, np.uint64),
    )


def main() -> None:
    """Measure every size, the smallest first: the memory of a process only grows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for size in sorted(map(int, sys.argv[1:])):
        blocks = aligned_blocks((size, size), BLOCK, 200)
        start = time.process_time()
        joined = join_blocks(blocks, lambda block, size=size: facts_of(block, size), Background())
        seconds = time.process_time() - start
        used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{size}: {joined.count} cells, {used:.0f} MB, {seconds:.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
