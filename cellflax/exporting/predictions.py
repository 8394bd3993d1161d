"""Exports of a prediction: of its label images, and of its table of cells."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.exporting.formats import FORMATS
from cellflax.exporting.images import LabelledImage, export_image
from cellflax.exporting.tables import export_table, read_cell_table
from cellflax.io import results
from cellflax.io.frames import Frames, label_frame
from cellflax.io.movie_time import TimeAxis
from cellflax.io.predictions import cells_by_image
from cellflax.io.readers import open_scene
from cellflax.progress import say

OpenPixels = Callable[[], AbstractContextManager[Frames]]


def export_predictions(
    folder: Path,
    labels: Mapping[str, Path],
    table: Path,
    pixels: Mapping[str, OpenPixels],
    wanted: Sequence[str],
    version: str,
    record: dict[str, Any],
) -> None:
    """Write predictions in all formats that are wanted.

    Args:
        folder: directory of the results.
        labels: label image or label movie of each image, by its name.
        table: `cells.csv`.
        pixels: how to open the images that were segmented, by their names, as far as they are known.
        wanted: the formats.
        version: of OME-Zarr.
        record: where the results come from, as JSON.

    Raises:
        UserError: if labels or images cannot be read, or images are needed and not known.
        OutputError: if a file cannot be written.
    """
    cells = read_cell_table(table)
    if any(FORMATS[form].of == "images" for form in wanted):
        of_image = cells_by_image(cells)
        for name, file in labels.items():
            with _open(name, file, of_image(name), pixels.get(name)) as image:
                export_image(folder, image, wanted, version)
    export_table(folder, cells, table.stem, wanted, record)
    say(f"exported: {', '.join(wanted)}")


@contextmanager
def _open(name: str, file: Path, cells: pd.DataFrame, open_pixels: OpenPixels | None) -> Iterator[LabelledImage]:
    """Open a label image or label movie."""
    with open_scene(file, as_labels=True) as scene:
        time = None if scene.n_frames == 1 else TimeAxis(scene.n_frames, scene.times_s(None))
        # Labels that another program saved may be of any type, with whole numbers up to 2^31 - 1.
        dtype = scene.dtype if scene.dtype.kind == "u" else np.dtype(np.uint32)

        def read(t: int) -> np.ndarray:
            return label_frame(scene, t)

        size = scene.pixel_size_um
        yield LabelledImage(name, time, read, dtype, size, cells, results.LABEL, open_pixels)
