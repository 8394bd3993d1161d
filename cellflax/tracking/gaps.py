"""Gaps: tracks that end and resume after a few frames in which the cell was missed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cellflax.checks import at_least, check
from cellflax.tracking.candidates import find_candidates
from cellflax.tracking.cells import MovieCells
from cellflax.tracking.link import LinkConfig, link_cost
from cellflax.tracking.matching import match


@dataclass
class GapConfig:
    """Closing of gaps.

    Attributes:
        max_frames: longest gap, in frames without the cell; 0 closes none.
        frame_cost: cost of each missing frame, in addition to that of a link.
    """

    max_frames: int = 2
    frame_cost: float = 0.1

    def __post_init__(self) -> None:
        check(self, "gaps", at_least(0), "max_frames", "frame_cost")


def close_gaps(
    movie: MovieCells, edges: np.ndarray, config: GapConfig, link: LinkConfig, gate_px: float, drift: np.ndarray
) -> np.ndarray:
    """Link ends of tracks to starts of later ones, all gaps of the movie in one assignment.

    Costs are those of links, and compete with death and birth. The gate grows with the square root of the time, like
    the distance of a random walk.

    Args:
        movie: the cells.
        edges: (E, 2) links so far, numbers of cells in the movie.
        config: how long gaps may be.
        link: costs of links.
        gate_px: the gate between successive frames, pixels.
        drift: (T, 2) shift of the field from each frame to the next, pixels.

    Returns:
        (G, 2) links over gaps.
    """
    found = [(np.zeros((0, 2), np.int64), np.zeros(0))]
    for missing in range(1, config.max_frames + 1):
        for pairs, cost in _gap_pairs(movie, edges, missing, link, gate_px, drift):
            found.append((pairs, cost + missing * config.frame_cost))
    pairs, cost = (np.concatenate(parts) for parts in zip(*found, strict=True))
    useful = cost < link.birth_cost + link.death_cost
    pairs, cost = pairs[useful], cost[useful]
    ends, end = np.unique(pairs[:, 0], return_inverse=True)
    chosen = match(end, pairs[:, 1], cost, np.full(len(ends), link.birth_cost + link.death_cost))
    return pairs[chosen[chosen >= 0]]


def _gap_pairs(
    movie: MovieCells, edges: np.ndarray, missing: int, link: LinkConfig, gate_px: float, drift: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ends and starts with `missing` frames in between, (P, 2) numbers in the movie, and their costs as links."""
    steps = missing + 1
    gate = gate_px * float(np.sqrt(steps))
    ends, starts = np.ones((2, len(movie.label)), bool)
    ends[edges[:, 0]] = False
    starts[edges[:, 1]] = False
    for t in range(len(movie.frames) - steps):
        here, there = movie.cells_of(t), movie.cells_of(t + steps)
        if not (ends[here].any() and starts[there].any()):
            continue
        shift = drift[t + 1 : t + steps + 1].sum(axis=0)
        candidates = find_candidates(movie.frames[t], movie.frames[t + steps], gate, shift)
        pair = candidates.pair + np.array([here.start, there.start])
        open_ = ends[pair[:, 0]] & starts[pair[:, 1]]
        yield pair[open_], link_cost(candidates, link, gate)[open_]
