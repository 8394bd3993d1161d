"""Tracks in the Graph Exchange File Format: https://github.com/live-image-tracking-tools/geff"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

import cellflax
from cellflax.atomic import new_directory
from cellflax.exporting.track_graph import TrackGraph
from cellflax.io import results
from cellflax.io.tiff_output import writing

_AXES = {"t": results.FRAME, "y": "centroid-0_px", "x": "centroid-1_px"}
_UNSIGNED = np.uint64  # of node ids


def write_geff(path: Path, graph: TrackGraph) -> None:
    """Write tracks as a GEFF folder: a directed graph, a node per cell and frame, in the order of `nodes.csv`.

    The axes t, y and x are the frame and the centroid in pixels; where sizes and intervals are known, they are the
    axes' `scale`. Nodes have `track` (GEFF's tracklet: a cell from birth to division), `lineage` (all its relatives),
    `label`, and the measurements. A value that is undefined counts as missing.

    Args:
        path: the folder; one that is there is replaced.
        graph: the tracks.

    Raises:
        OutputError: if it cannot be written.
    """
    from geff.core_io import write_arrays
    from geff_spec import GeffMetadata, PropMetadata

    nodes = graph.nodes
    properties = {axis: nodes[name].to_numpy() for axis, name in _AXES.items()}
    properties |= {"lineage": graph.lineage}
    for name, column in nodes.items():
        if name not in _AXES.values():
            properties[results.safe_name(str(name), "column")] = column.to_numpy()  # the name of a folder
    spec = {name: PropMetadata(identifier=name, dtype=str(values.dtype)) for name, values in properties.items()}
    metadata = GeffMetadata(
        directed=True,
        axes=_axes(graph, properties),
        node_props_metadata=spec,
        edge_props_metadata={},
        track_node_props={"tracklet": results.TRACK, "lineage": "lineage"},
        extra={"cellflax": {"version": cellflax.__version__, "source": graph.source}},
    )
    links = graph.edges[["source", "target"]].to_numpy().astype(_UNSIGNED)
    shutil.rmtree(path, ignore_errors=True)
    with writing(path), new_directory(path) as folder:
        folder.rmdir()  # geff takes a folder that is there for a graph
        write_arrays(
            str(folder),
            np.arange(len(nodes), dtype=_UNSIGNED),
            {name: _with_missing(values) for name, values in properties.items()},
            links,
            {},
            metadata,
        )


def _axes(graph: TrackGraph, properties: dict[str, np.ndarray]) -> list[Any]:
    from geff_spec import Axis

    steps = {"t": graph.interval_s, **dict.fromkeys("yx", graph.pixel_size_um)}
    axes = []
    for name, scale in steps.items():
        values, is_time = properties[name], name == "t"
        more: dict[str, Any] = {"min": float(values.min()), "max": float(values.max())} if len(values) else {}
        if scale is not None:
            more |= {"scale": scale, "scaled_unit": "second" if is_time else "micrometer"}
        axes.append(Axis(name=name, type="time" if is_time else "space", **more))
    return axes


def _with_missing(values: np.ndarray) -> Any:
    """Values and which of them are missing, as geff wants them."""
    missing = np.isnan(values) if values.dtype.kind == "f" else None
    return {"values": values, "missing": missing if missing is not None and missing.any() else None}
