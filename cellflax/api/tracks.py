"""Cells of a label movie, followed over time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.checks import above, check_value
from cellflax.errors import UserError
from cellflax.io.movie_time import regular_times_s
from cellflax.io.stack import default_channel_names
from cellflax.labels import components, is_mask, whole_numbers
from cellflax.measure.tracks import graph_tables, track_table
from cellflax.tracking.ctc import paint
from cellflax.tracking.tracker import TrackerConfig, track_cells


@dataclass(frozen=True)
class Tracks:
    """The cells of a movie, followed over time.

    Attributes:
        cells: one row per cell and frame, with the columns of `tracks.csv`.
        tracks: one row per track: `track` (1, 2, ...), `parent` (0: none), `generation`, `begin` and `end` (frames).
        nodes: the lineage as a graph: one row per cell and frame, as in `nodes.csv`.
        edges: `source` and `target`, rows of `nodes`.
        labels: (T, H, W) int32, every cell with the number of its track.
    """

    cells: pd.DataFrame
    tracks: pd.DataFrame
    nodes: pd.DataFrame
    edges: pd.DataFrame
    labels: np.ndarray


def track_labels(
    labels: np.ndarray,
    settings: TrackerConfig | None = None,
    *,
    images: np.ndarray | None = None,
    channels: Sequence[str] = (),
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
) -> Tracks:
    """Follow the cells of a label movie, as `cellflax.track` does.

    Args:
        labels: (T, H, W) labels, 0 = background, or a mask whose connected components are the cells. A number
            identifies a cell only within its frame.
        settings: how cells are followed.
        images: (T, H, W) or (T, H, W, C) intensities: they help to register the field and are measured in every cell.
        channels: names of their C channels.
        pixel_size_um: edge of a pixel, if known.
        frame_interval_s: time between frames, if known.

    Raises:
        UserError: if an array does not fit, there is no cell, or a label of a frame is two cells.
    """
    for name, value in (("pixel_size_um", pixel_size_um), ("frame_interval_s", frame_interval_s)):
        if value is not None:
            check_value(name, value, above(0))
    movie = _label_movie(np.asarray(labels))
    pixels = None if images is None else _image_movie(np.asarray(images), movie.shape)
    names = tuple(channels) or (() if pixels is None else default_channel_names(pixels.shape[-1]))
    planes = 0 if pixels is None else pixels.shape[-1]
    if len(names) != planes:
        raise UserError(f"channels names {len(names)} planes ({', '.join(names)}), and images has {planes}")
    times_s = regular_times_s(len(movie), frame_interval_s)
    first = None if pixels is None else pixels[..., 0]
    tracking = track_cells(movie, settings or TrackerConfig(), first, pixel_size_um)
    nodes, edges = graph_tables(tracking, times_s)
    return Tracks(
        cells=track_table(tracking, movie, times_s, pixel_size_um, pixels, names),
        tracks=tracking.lineage.tracks,
        nodes=nodes,
        edges=edges,
        labels=np.asarray(paint(tracking.movie, tracking.lineage.nodes["track"].to_numpy())),
    )


def _label_movie(labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 3 or len(labels) < 2 or min(labels.shape) < 1:
        raise UserError(f"labels must have the shape (T, H, W) with two frames or more, got {labels.shape}")
    labels = whole_numbers(labels, "labels")
    return np.stack([components(frame) for frame in labels]) if is_mask(labels) else labels


def _image_movie(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[:3] != shape:
        raise UserError(f"images must be {shape} or {shape} x channels, as the labels are, got {images.shape}")
    if images.dtype.kind not in "biuf" or not np.isfinite(images).all():
        raise UserError("images must hold numbers without NaN or infinity; replace these pixels first")
    return images
