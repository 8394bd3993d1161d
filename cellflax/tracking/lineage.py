"""Lineages: links between cells made into tracks with parents and generations."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.tracking.cells import MovieCells


@dataclass(frozen=True)
class Lineage:
    """Tracks of a movie. A track is one cell from its birth to its division or disappearance.

    Attributes:
        nodes: one row per cell and frame, in the order of the movie's cells: `frame`, `label` (in that frame's label
            image) and `track`.
        edges: `source` and `target`, rows of `nodes`: two edges leave a cell that divides, one any that continues.
        tracks: one row per track, ascending: `track` (1, 2, ... by first frame), `parent` (0: none), `generation` (0
            without a parent), `begin` and `end` (first and last frame).
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame
    tracks: pd.DataFrame

    @property
    def n_divisions(self) -> int:
        """Number of divisions."""
        return int(self.tracks.loc[self.tracks["parent"] > 0, "parent"].nunique())


def build_lineage(movie: MovieCells, edges: np.ndarray) -> Lineage:
    """Follow the links from frame to frame.

    Args:
        movie: the cells.
        edges: (E, 2) numbers of cells in the movie; an earlier cell has up to two successors, a later one at most one
            predecessor.
    """
    n = len(movie.label)
    predecessor = np.full(n, -1)
    predecessor[edges[:, 1]] = edges[:, 0]
    divides = np.bincount(edges[:, 0], minlength=n) > 1
    goes_on = (predecessor >= 0) & ~divides[predecessor]
    track = np.zeros(n, np.int64)
    track[~goes_on] = np.arange(1, np.sum(~goes_on) + 1)
    for t in range(len(movie.frames)):
        cells = np.flatnonzero(goes_on[movie.cells_of(t)]) + movie.start[t]
        track[cells] = track[predecessor[cells]]

    first = np.flatnonzero(~goes_on)  # of each track, in their order
    parent = np.where(predecessor[first] >= 0, track[predecessor[first]], 0)
    generation = np.zeros(len(first) + 1, np.int64)  # by track; no track is 0, of generation -1
    generation[0] = -1
    for number, of in enumerate(parent, start=1):
        generation[number] = generation[of] + 1
    end = np.zeros(len(first) + 1, np.int64)
    np.maximum.at(end, track, movie.frame)
    return Lineage(
        nodes=pd.DataFrame({"frame": movie.frame, "label": movie.label, "track": track}),
        edges=pd.DataFrame(edges[np.lexsort((edges[:, 1], edges[:, 0]))], columns=["source", "target"]),
        tracks=pd.DataFrame(
            {
                "track": np.arange(1, len(first) + 1),
                "parent": parent,
                "generation": generation[1:],
                "begin": movie.frame[first],
                "end": end[1:],
            }
        ),
    )
