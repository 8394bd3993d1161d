"""Images, labels, tracks and points as napari's layers: tuples of data, options and kind, which need no napari.

Every layer of an image has the same scale: micrometres where the pixel size is known, else pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cellflax.io import results

LayerData = tuple[Any, dict[str, Any], str]

# In the metadata of layers: where they come from.
FOLDER, NAME = "cellflax_folder", "cellflax_image"
_COLOURS = ("gray", "green", "magenta", "cyan", "yellow", "red")
CENTROID = ("centroid-0_px", "centroid-1_px")


def placing(ndim: int, pixel_size_um: float | None) -> dict[str, Any]:
    """The options that place a layer: its scale, and the unit of the plane where it is known.

    Args:
        ndim: number of axes; all before the last two are counted in frames.
        pixel_size_um: edge of a pixel, None if unknown.
    """
    size = pixel_size_um or 1.0
    units = ("pixel",) * (ndim - 2) + (("um" if pixel_size_um else "pixel"),) * 2
    return {"scale": (1.0,) * (ndim - 2) + (size, size), "units": units}


def image_layers(
    name: str, pixels: np.ndarray, channels: Sequence[str], pixel_size_um: float | None, visible: bool = True
) -> list[LayerData]:
    """A layer for each channel of (..., H, W, C) pixels, added up on the screen."""
    layers: list[LayerData] = []
    for i, channel in enumerate(channels):
        plane = np.ascontiguousarray(pixels[..., i])
        options = {
            "name": f"{name} {channel}" if len(channels) > 1 else name,
            "colormap": _COLOURS[i % len(_COLOURS)] if len(channels) > 1 else "gray",
            "blending": "additive",
            "visible": visible,
            "metadata": {NAME: name, "channel": channel, "pixel_size_um": pixel_size_um},
            **placing(plane.ndim, pixel_size_um),
        }
        layers.append((plane, options, "image"))
    return layers


def label_layer(
    name: str,
    labels: np.ndarray,
    pixel_size_um: float | None,
    cells: pd.DataFrame | None = None,
    visible: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> LayerData:
    """A layer of (..., H, W) labels, with the measurements of its cells where they are known (of a still image)."""
    options: dict[str, Any] = {
        "name": name,
        "visible": visible,
        "metadata": dict(metadata or {}),
        **placing(labels.ndim, pixel_size_um),
    }
    if cells is not None and labels.ndim == 2:
        rows = cells.drop(columns=[c for c in (results.IMAGE, results.FRAME) if c in cells])
        options["features"] = rows.rename(columns={results.LABEL: "index"}).reset_index(drop=True)
    return labels, options, "labels"


def cell_points(
    name: str,
    cells: pd.DataFrame,
    pixel_size_um: float | None,
    frame: str | None = None,
    visible: bool = True,
    largest: int = 100,
) -> list[LayerData]:
    """A layer of points at the most uncertain cells; none without positions or uncertainty.

    Args:
        name: name of the layer.
        cells: rows of a table of cells.
        pixel_size_um: edge of a pixel.
        frame: column with the frame, of a movie.
        visible: whether the layer is shown.
        largest: number of cells at most.
    """
    if results.UNCERTAINTY not in cells or not {*CENTROID} <= {*cells.columns}:
        return []
    rows = cells.dropna(subset=[results.UNCERTAINTY, *CENTROID]).nlargest(largest, results.UNCERTAINTY)
    if rows.empty:
        return []
    where = rows[[*([] if frame is None else [frame]), *CENTROID]].to_numpy(float)
    options = {
        "name": name,
        "features": rows[[results.LABEL, results.UNCERTAINTY]].reset_index(drop=True),
        "face_color": "transparent",
        "border_color": results.UNCERTAINTY,
        "border_colormap": "plasma",
        "symbol": "disc",
        "size": 12.0,
        "visible": visible,
        **placing(where.shape[1], pixel_size_um),
    }
    return [(where, options, "points")]


def place_points(name: str, places: pd.DataFrame, pixel_size_um: float | None, visible: bool = True) -> list[LayerData]:
    """A layer of points at doubtful places, coloured by their `kind`; none if there are no places."""
    if places.empty:
        return []
    options = {
        "name": name,
        "features": places[["kind"]].reset_index(drop=True),
        "face_color": "transparent",
        "border_color": "kind",
        "symbol": "square",
        "size": 16.0,
        "visible": visible,
        **placing(2, pixel_size_um),
    }
    return [(places[["y_px", "x_px"]].to_numpy(float), options, "points")]


def track_layer(name: str, tracks: pd.DataFrame, pixel_size_um: float | None) -> LayerData:
    """A layer of tracks, whose graph is the divisions.

    Args:
        name: name of the layer.
        tracks: `track`, `parent`, `frame` and centroids of each cell and frame.
        pixel_size_um: edge of a pixel.
    """
    rows = tracks.sort_values([results.TRACK, results.FRAME], kind="stable").reset_index(drop=True)
    data = rows[[results.TRACK, results.FRAME, *CENTROID]].to_numpy(float)
    first = rows.drop_duplicates(results.TRACK)
    known = set(first[results.TRACK])
    graph = {
        int(track): [int(parent)]
        for track, parent in zip(first[results.TRACK], first[results.PARENT], strict=True)
        if parent in known
    }
    shown = [c for c in (results.TRACK, results.PARENT, results.GENERATION) if c in rows]
    options = {"name": name, "graph": graph, "features": rows[shown], **placing(3, pixel_size_um)}
    return data, options, "tracks"
