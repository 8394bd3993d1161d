"""Exports of label images and label movies: ImageJ ROIs, GeoJSON and OME-Zarr."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.errors import ContentError, UserError
from cellflax.exporting.formats import FORMATS, export_file
from cellflax.io import results
from cellflax.io.cell_polygons import CellPolygon, cell_polygons
from cellflax.io.frames import Frames
from cellflax.io.geojson import CellProperties, write_geojson
from cellflax.io.images import Image
from cellflax.io.movie_time import TimeAxis
from cellflax.io.ome_zarr_output import ZarrLayout, writing_ome_zarr
from cellflax.io.rois import write_rois
from cellflax.measure.cell_type import UNDETERMINED
from cellflax.progress import say

# Columns that locate a cell, which are no measurements.
_KEYS = (results.IMAGE, results.FRAME, results.LABEL, results.TRACK)


@dataclass(frozen=True)
class LabelledImage:
    """An image or a movie whose cells are exported.

    Attributes:
        name: of its files.
        time: frames of a movie; None for an image.
        read: function from the number of a frame to its (H, W) labels.
        label_dtype: integer type that holds all labels.
        pixel_size_um: edge of a pixel, if known.
        cells: measurements, a row per cell (and frame); may lack cells.
        number: column of `cells` with the numbers in the label image.
        open_pixels: opens the image that was segmented; None where it is not known.
    """

    name: str
    time: TimeAxis | None
    read: Callable[[int], np.ndarray]
    label_dtype: np.dtype
    pixel_size_um: float | None
    cells: pd.DataFrame
    number: str = results.LABEL
    open_pixels: Callable[[], AbstractContextManager[Frames]] | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return 1 if self.time is None else self.time.n_frames

    def polygons(self) -> Iterator[list[CellPolygon]]:
        """The outlines of the cells of each frame."""
        for t in range(self.n_frames):
            yield cell_polygons(self.read(t))


def export_image(folder: Path, image: LabelledImage, wanted: Iterable[str], version: str) -> None:
    """Write an image in the formats that are of images; other formats are left to others.

    Args:
        folder: directory of the results.
        image: the image.
        wanted: the formats.
        version: of OME-Zarr.

    Raises:
        UserError: if the pixels of the image are needed and cannot be had, or are of another shape.
        OutputError: if a file cannot be written.
    """
    for form in wanted:
        if FORMATS[form].of != "images":
            continue
        path = folder / export_file(form, image.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        match form:
            case "rois":
                write_rois(path, image.polygons(), image.time is not None)
            case "geojson":
                write_geojson(path, image.polygons(), _properties(image), image.time is not None)
            case "ome_zarr":
                shutil.rmtree(path, ignore_errors=True)  # of a run that was killed here
                _write_ome_zarr(path, image, version)


def _properties(image: LabelledImage) -> Callable[[int, int], CellProperties]:
    """What the table says of each cell, by frame and label."""
    cells = image.cells
    frames = cells[results.FRAME] if results.FRAME in cells and image.time is not None else [0] * len(cells)
    keys = zip(frames, cells[image.number], strict=True) if image.number in cells else ()
    places = {(int(t), int(label)): row for row, (t, label) in enumerate(keys)}
    kinds = {name: column for name, column in cells.items() if column.dtype.kind in "biuf" and name not in _KEYS}
    names = [str(name) for name in kinds]
    values = np.column_stack([*(np.asarray(column, float) for column in kinds.values())]) if kinds else None
    types = cells[results.CELL_TYPE].tolist() if results.CELL_TYPE in cells else None

    def of_cell(t: int, label: int) -> CellProperties:
        row = places.get((t, label))
        if row is None:
            return CellProperties({})
        numbers = {} if values is None else dict(zip(names, values[row].tolist(), strict=True))
        kind = None if types is None or types[row] == UNDETERMINED else str(types[row])
        return CellProperties(numbers, kind)

    return of_cell


def _write_ome_zarr(path: Path, image: LabelledImage, version: str) -> None:
    if image.open_pixels is None:
        raise UserError(f"{image.name}: OME-Zarr needs the image that was segmented; add images=FILE|DIR|GLOB")
    with image.open_pixels() as frames:
        if frames.count != image.n_frames:
            raise UserError(
                f"{image.name}: {frames.count} frames, but {image.n_frames} of labels; give the images that were "
                "segmented"
            )
        first = _first_frame(frames)
        height, width = first.pixels.shape[:2]
        layout = ZarrLayout(
            height,
            width,
            first.channels,
            first.pixels.dtype,
            image.label_dtype,
            image.time,
            image.pixel_size_um,
            version,
            image.name,
        )
        with writing_ome_zarr(path, layout) as writer:
            for t in range(image.n_frames):
                labels = image.read(t)
                try:
                    pixels = frames.read(t).pixels
                except ContentError as error:  # a blank frame, of which the prediction said so too
                    say(f"warning: {image.name}, frame {t}: its pixels are 0 in the OME-Zarr: {error}")
                    pixels = np.zeros_like(first.pixels)
                if pixels.shape[:2] != labels.shape or pixels.shape != first.pixels.shape:
                    raise UserError(
                        f"{image.name}: an image of {pixels.shape[:2]} px, but labels of {labels.shape}; give the "
                        "images that were segmented"
                    )
                writer.write(t, pixels, labels)


def _first_frame(frames: Frames) -> Image:
    """The first frame that is not blank: all have its shape and type.

    Raises:
        UserError: if there is none.
    """
    for t in range(frames.count - 1):
        with suppress(ContentError):
            return frames.read(t)
    return frames.read(frames.count - 1)
