"""The report of `track`: frames in the tracks' colours, cells over time, the tree, a row per track."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skimage.segmentation import find_boundaries

from cellflax.frame_sequence import FrameSequence
from cellflax.io import results
from cellflax.io.predictions import simulation_notes
from cellflax.labels import compact
from cellflax.pictures.layers import coloured_layers
from cellflax.pictures.tracks import lineage_tree, track_colours
from cellflax.pictures.vector import vector_of
from cellflax.report.cells import picture_of
from cellflax.report.model import Chart, Drawing, Gallery, Picture, PlotLine, Report, Table, View
from cellflax.report.origin import facts_of, note_notices, settings_table, simulated_notes
from cellflax.tracking.lineage import Lineage
from cellflax.tracking.tracker import Tracking

_FRAMES = 6
_SIDE_PX = 480  # the longer side of a frame is this to twice this
_SCORES = ("TRA", "DET", "SEG", "division_f1")


def tracks_report(
    summary: Mapping[str, Any],
    tracking: Tracking,
    table: pd.DataFrame,
    images: FrameSequence | None,
    times_s: np.ndarray | None,
    files: Sequence[Path],
) -> Report:
    """The page of a tracking.

    Args:
        summary: content of `summary.json`, with `metrics` where there is a reference.
        tracking: the movie and its tracks.
        table: a row per cell and frame.
        images: (T, H, W) intensities, or None.
        times_s: (T,) time of each frame, if known.
        files: label images that were read.
    """
    settings, metrics = summary["settings"], summary.get("metrics", {})
    simulations = [*simulation_notes(file.parent for file in files), *simulated_notes(files)]
    notices = note_notices([*simulations, *summary["notes"]])
    simulated = True if any(notice.weight.value == "simulated" for notice in notices) else None
    svg, png = vector_of(lineage_tree(tracking.lineage, times_s), "tree")
    numbers = [("frames", "n_frames"), ("cells", "n_cells"), ("tracks", "n_tracks"), ("divisions", "n_divisions")]
    scores = [(name.replace("_", " "), f"{metrics[name]:.3f}") for name in _SCORES if metrics.get(name) is not None]
    return Report(
        command="track",
        title=f"Tracks of {settings['input']}",
        subtitle=f"{summary['n_tracks']} tracks of {summary['n_cells']} cells in {summary['n_frames']} frames",
        notices=tuple(notices),
        headline=(*((name, str(summary[key])) for name, key in numbers), *scores),
        galleries=(Gallery("Frames", tuple(_frames(tracking, images)), _NOTE, wide=True),),
        curves=(*_charts(table, times_s), Drawing("Lineage tree", _TREE, svg, png)),
        tables=tuple(_tables(tracking.lineage, table, metrics, settings)),
        facts=facts_of(
            "track",
            simulated=simulated,
            data=[
                ("labels", settings["input"]),
                ("images", settings["images"]),
                ("reference", settings["reference"]),
                ("pixel size (um)", summary["pixel_size_um"]),
            ],
        ),
    )


_NOTE = (
    f"A track has one colour in all frames, and in the tree. {results.OVERLAY} shows all frames, unless overlay=false."
)
_TREE = "Each line is a track from its first to its last frame; its daughters begin where it ends."


def _frames(tracking: Tracking, images: FrameSequence | None) -> list[Picture]:
    """A few frames, evenly over the movie."""
    movie, numbers = tracking.movie, tracking.lineage.nodes[results.TRACK].to_numpy()
    count, side = len(movie.frames), max(movie.frames[0].shape)
    zoom, step = -(-_SIDE_PX // side), -(-side // (2 * _SIDE_PX))
    pictures = []
    for t in np.unique(np.linspace(0, count - 1, min(_FRAMES, count)).round().astype(int)).tolist():
        of_frame = np.append(0, numbers[movie.start[t] : movie.start[t + 1]])
        shown = of_frame[movie.frames[t].index[::step, ::step]].repeat(zoom, axis=0).repeat(zoom, axis=1)
        present, numbered = compact(shown)
        colours = np.vstack([np.zeros(3), track_colours(present)])
        drawn = np.zeros((*shown.shape, 4), np.uint8)
        inside, outline = shown > 0, find_boundaries(shown, mode="inner")
        drawn[..., :3] = (255 * colours[numbered]).round()
        drawn[inside, 3] = 50
        drawn[outline, 3] = 255
        drawn[~inside] = 0
        image = None if images is None else images[t][::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1)
        text = f"Frame {t} with {len(present)} tracked cells, each outlined and filled in the colour of its track."
        pictures.append(picture_of(f"frame {t}: {len(present)} cells", text, coloured_layers(image, drawn)))
    return pictures


def _charts(table: pd.DataFrame, times_s: np.ndarray | None) -> list[Chart]:
    """Numbers of cells and their median area over time."""
    frames = table.groupby(results.FRAME)
    frame = np.array(list(frames.groups), int)
    area = "area_um2" if "area_um2" in table else "area_px"
    by_time = [("frame", frame)] if times_s is None else [("time (h)", np.asarray(times_s)[frame] / 3600)]
    unit = "µm²" if area == "area_um2" else "px"
    found = (
        ("Cells", "Numbers of cells in each frame.", "cells", frames.size().to_numpy()),
        ("Area", "Median area of the cells in each frame.", f"area ({unit})", frames[area].median().to_numpy()),
    )
    return [
        Chart(title, text, y_label, tuple(View("", label, (PlotLine("", x, y),)) for label, x in by_time))
        for title, text, y_label, y in found
    ]


def _tables(
    lineage: Lineage, table: pd.DataFrame, metrics: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[Table]:
    tracks = lineage.tracks.copy()
    tracks["frames with the cell"] = table.groupby(results.TRACK).size().reindex(tracks["track"]).to_numpy()
    tables = [Table.of("Tracks", tracks, "tracks.csv", whole=results.TRACKS)]
    if metrics:
        rows = [(name, value) for name, value in metrics.items() if isinstance(value, int | float)]
        tables.insert(0, Table("Scores against the reference", "scores.csv", ("score", "value"), tuple(rows)))
    return [*tables, settings_table(settings)]
