"""What exports of tracks need: the graph of cells, their measurements, and the places of frames and pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph

from cellflax.io import results


@dataclass(frozen=True)
class TrackGraph:
    """Cells linked over time.

    Attributes:
        nodes: a row per cell and frame: `frame`, `label`, `track`, `centroid-0_px` and `centroid-1_px`, and the
            measurements of the cells that are numbers.
        edges: `source` and `target`, rows of `nodes`; time goes from source to target.
        shape: number of frames, rows and columns; rows and columns are 0 where they are unknown.
        pixel_size_um: edge of a pixel, if known.
        times_s: (T,) time of each frame, if known.
        source: name of the file or folder of labels.
        outlines: function from the number of a frame to the outline, (n, 2) x and y, of the cell of each track in it;
            None where there are no labels.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame
    shape: tuple[int, int, int]
    pixel_size_um: float | None
    times_s: np.ndarray | None
    source: str
    outlines: Callable[[int], dict[int, np.ndarray]] | None

    @property
    def interval_s(self) -> float | None:
        """The time between all frames, if it is known and the same."""
        if self.times_s is None or len(self.times_s) < 2:
            return None
        steps = np.diff(self.times_s)
        return float(steps.mean()) if np.allclose(steps, steps.mean(), rtol=1e-6, atol=0) else None

    @property
    def lineage(self) -> np.ndarray:
        """Number of the lineage of each node, from 0: cells that links connect, over divisions too."""
        count, links = len(self.nodes), self.edges[["source", "target"]].to_numpy(np.int64)
        graph = sparse.coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (count, count))
        _, found = csgraph.connected_components(graph, directed=False)
        # By the first of their nodes, whatever the order in which they were found.
        _, first, lineage = np.unique(found, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[lineage]


def linked_nodes(nodes: pd.DataFrame, edges: pd.DataFrame, cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes with the measurements of their cells, and edges, as `TrackGraph` takes them.

    Args:
        nodes: `nodes.csv`.
        edges: `edges.csv`; their numbers are those of the column `node`.
        cells: `tracks.csv`.
    """
    key = [results.FRAME, results.LABEL]
    numbers = [name for name, column in cells.items() if column.dtype.kind in "biuf" and name not in nodes]
    places = pd.Series(np.arange(len(nodes)), nodes["node"].to_numpy())
    merged = nodes.drop(columns="node").merge(cells[[*key, *numbers]], on=key, how="left", validate="one_to_one")
    linked = {end: places.loc[edges[end].to_numpy()].to_numpy() for end in ("source", "target")}
    return merged, pd.DataFrame(linked, dtype=np.int64)
