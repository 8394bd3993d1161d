"""Tracks as tidy tables: one row per cell and frame, and the graph as nodes and edges."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cellflax.frame_sequence import FrameSequence
from cellflax.io import results
from cellflax.measure.cells import cell_table
from cellflax.tracking.tracker import Tracking


def track_table(
    tracking: Tracking,
    labels: FrameSequence,
    times_s: np.ndarray | None = None,
    pixel_size_um: float | None = None,
    images: FrameSequence | None = None,
    channels: Sequence[str] = (),
) -> pd.DataFrame:
    """Measure every cell in every frame.

    Args:
        tracking: result of `track_cells` for `labels`.
        labels: (T, H, W) integer labels.
        times_s: (T,) time of each frame, if known.
        pixel_size_um: edge of a pixel, if known.
        images: (T, H, W, C) intensities.
        channels: names of the C channels.

    Returns:
        One row per cell and frame, by track, then frame: `track`, `parent` (0: none), `generation`, `frame`, `time_s`
        (where it is known), `label` (in that frame's label image), then the columns of `measure.cells.cell_table`.
    """
    measured = [
        cell_table(frame, None if images is None else images[t], channels, pixel_size_um=pixel_size_um).assign(
            **{results.FRAME: t}
        )
        for t, frame in enumerate(labels)
    ]
    table = pd.concat([cells for cells in measured if len(cells)], ignore_index=True)
    table = table.merge(tracking.lineage.nodes, on=[results.FRAME, results.LABEL], validate="one_to_one")
    table = table.merge(tracking.lineage.tracks[[results.TRACK, results.PARENT, results.GENERATION]], on=results.TRACK)
    first = [results.TRACK, results.PARENT, results.GENERATION, results.FRAME, results.LABEL]
    if times_s is not None:
        table[results.TIME_S] = times_s[table[results.FRAME]]
        first.insert(4, results.TIME_S)
    order = np.lexsort((table[results.FRAME].to_numpy(), table[results.TRACK].to_numpy()))
    return table.iloc[order].reindex(columns=[*first, *table.columns.drop(first)]).reset_index(drop=True)


def graph_tables(tracking: Tracking, times_s: np.ndarray | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lineage as a graph that any graph library reads.

    Args:
        tracking: result of `track_cells`.
        times_s: (T,) time of each frame, if known.

    Returns:
        Nodes, one per cell and frame: `node` (from 0), `frame`, `time_s` (where it is known), `label`, `track`,
        `centroid-0_px` and `centroid-1_px` (row and column); and edges: `source` and `target` (nodes).
    """
    nodes = tracking.lineage.nodes.copy()
    nodes.insert(0, "node", np.arange(len(nodes)))
    if times_s is not None:
        nodes.insert(2, results.TIME_S, times_s[nodes[results.FRAME]])
    for axis, values in enumerate(tracking.movie.centroid.T):
        nodes[f"centroid-{axis}_px"] = values
    return nodes, tracking.lineage.edges


def times(cells: pd.DataFrame) -> np.ndarray:
    """Time of every row: hours where `time_s` is known, else frames."""
    return (
        cells[results.TIME_S].to_numpy() / 3600
        if results.TIME_S in cells
        else cells[results.FRAME].to_numpy(np.float64)
    )
