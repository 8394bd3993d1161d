"""Exports of a tracking: of its graph, of its label images with the numbers of the tracks, of its table of cells."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.exporting.formats import FORMATS, export_file
from cellflax.exporting.geff import write_geff
from cellflax.exporting.images import LabelledImage, export_image
from cellflax.exporting.tables import export_table
from cellflax.exporting.track_graph import TrackGraph, linked_nodes
from cellflax.exporting.trackmate import write_trackmate
from cellflax.frame_sequence import FrameSequence
from cellflax.io import results
from cellflax.io.cell_polygons import cell_polygons
from cellflax.io.frames import Frames
from cellflax.io.images import Image
from cellflax.io.movie_time import TimeAxis
from cellflax.io.movies import ImageMovie

TRACKS_NAME = "tracks"  # of the files of a tracking


@dataclass(frozen=True)
class TrackedCells:
    """A tracking whose cells are exported.

    Attributes:
        tables: `nodes.csv`, `edges.csv` and `tracks.csv`.
        n_frames: number of frames.
        labels: (T, H, W) the track at every pixel of each frame, 0 = background; None where there are no label images.
        images: the images of the same frames, if they are known.
        pixel_size_um: edge of a pixel, if known.
        times_s: (T,) time of each frame, if known.
        source: name of the file or folder of labels.
    """

    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
    n_frames: int
    labels: FrameSequence | None
    images: ImageMovie | None
    pixel_size_um: float | None
    times_s: np.ndarray | None
    source: str

    def graph(self) -> TrackGraph:
        """Its cells and links."""
        nodes, edges = linked_nodes(*self.tables)
        labels = self.labels
        height, width = (0, 0) if labels is None else labels.shape[1:]

        def outlines(t: int) -> dict[int, np.ndarray]:
            assert labels is not None
            return {cell.label: cell.largest_ring for cell in cell_polygons(labels[t])}

        shape = (self.n_frames, int(height), int(width))
        drawn = None if labels is None else outlines
        return TrackGraph(nodes, edges, shape, self.pixel_size_um, self.times_s, self.source, drawn)

    def image(self) -> LabelledImage:
        """Its label images as a movie, in which a cell has the number of its track."""
        labels, images = self.labels, self.images
        assert labels is not None
        largest = int(self.tables[0][results.TRACK].to_numpy().max())
        return LabelledImage(
            TRACKS_NAME,
            TimeAxis(self.n_frames, self.times_s),
            lambda t: labels[t],
            np.dtype(np.uint16 if largest <= 65535 else np.uint32),
            self.pixel_size_um,
            self.tables[2],
            results.TRACK,
            None if images is None else partial(_open_pixels, images, self.source),
        )


@contextmanager
def _open_pixels(images: ImageMovie, source: str) -> Iterator[Frames]:
    def read(t: int) -> Image:
        return Image(images.pixels[t], images.channels, images.pixel_size_um, Path(f"{source}, frame {t}"), "file")

    yield Frames(TRACKS_NAME, TimeAxis(len(images.pixels)), read)


def export_tracking(
    folder: Path, tracked: TrackedCells, wanted: Sequence[str], version: str, record: dict[str, Any]
) -> None:
    """Write a tracking in all formats that are wanted.

    Args:
        folder: directory of the results.
        tracked: the tracking.
        wanted: the formats.
        version: of OME-Zarr.
        record: where the results come from, as JSON.

    Raises:
        UserError: if images are needed and not known.
        OutputError: if a file cannot be written.
    """
    of = {FORMATS[form].of for form in wanted}
    if "images" in of:
        export_image(folder, tracked.image(), wanted, version)
    if "tracks" in of:
        graph = tracked.graph()
        for form in wanted:
            if form == "geff":
                write_geff(folder / export_file(form, TRACKS_NAME), graph)
            elif form == "trackmate":
                write_trackmate(folder / export_file(form, TRACKS_NAME), graph)
    export_table(folder, tracked.tables[2], Path(results.TRACKS).stem, wanted, record)
