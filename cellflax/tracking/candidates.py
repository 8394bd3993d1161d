"""Pairs of cells of two frames that may be the same cell, found in time that grows with cells times neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from cellflax.tracking.cells import FrameCells, overlaps


@dataclass(frozen=True)
class Candidates:
    """Pairs of a cell of the earlier frame and one of the later, sorted by both.

    Attributes:
        pair: (P, 2) rows of the frames' cells.
        step: (P, 2) from the earlier cell's centroid, moved with the field, to the later cell's, pixels.
        area: (P, 2) areas of both, pixels.
        pixels: (P,) number of pixels that they share.
    """

    pair: np.ndarray
    step: np.ndarray
    area: np.ndarray
    pixels: np.ndarray


def find_candidates(
    before: FrameCells, after: FrameCells, gate_px: float, shift: Sequence[int] | np.ndarray = (0, 0)
) -> Candidates:
    """Pairs whose centroids are within the gate, or that overlap; `shift` as in `link_frames`."""
    moved, n = before.centroid + np.asarray(shift), max(len(after), 1)
    near = KDTree(moved).sparse_distance_matrix(KDTree(after.centroid), gate_px, output_type="coo_matrix")
    shared = overlaps(before, after, shift)
    shared_key = shared.before * n + shared.after
    key = np.unique(np.concatenate([near.row.astype(np.int64) * n + near.col, shared_key]))
    pixels = np.zeros(len(key), np.int64)
    pixels[np.searchsorted(key, shared_key)] = shared.pixels
    parent, child = np.divmod(key, n)
    return Candidates(
        pair=np.column_stack([parent, child]),
        step=after.centroid[child] - moved[parent],
        area=np.column_stack([before.area[parent], after.area[child]]),
        pixels=pixels,
    )


def sister_pairs(candidates: Candidates, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of candidates of the same parent.

    Args:
        candidates: sorted, as `find_candidates` gives them.
        rows: rows of the candidates whose children may be daughters, ascending.

    Returns:
        Two arrays of rows of the candidates; the first's child is the lower.
    """
    parent = candidates.pair[rows, 0]
    following = np.searchsorted(parent, parent, side="right") - np.arange(len(rows)) - 1
    one = np.repeat(np.arange(len(rows)), following)
    ahead = np.arange(len(one)) - np.repeat(np.cumsum(following) - following, following) + 1
    return rows[one], rows[one + ahead]
