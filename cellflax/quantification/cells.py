"""All that is known about every cell, as one tidy table: python -m cellflax.quantify method=cells predicted=DIR."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cellflax.io import results
from cellflax.io.failures import Failures
from cellflax.io.tables import write_table
from cellflax.measure.cells import cell_table
from cellflax.measure.shape import rod_table
from cellflax.pictures.histograms import area_histogram
from cellflax.progress import each, say
from cellflax.quantification.recording import Recording
from cellflax.quantification.report import Shown
from cellflax.quantification.tables import distribution


def quantify_cells(
    recording: Recording, intensity: Callable[[int], np.ndarray] | None, failures: Failures, shown: Shown
) -> dict[str, Any]:
    """Measure every cell of every image.

    Writes `cells.csv`: image, or frame, time, track, parent and generation; the columns of
    `measure.cells.cell_table`; length and width as of a rod (`measure.shape`); cell type, scores and uncertainty
    if the segmentation has them. `cells.png` is the distribution of the area.

    Args:
        recording: label images.
        intensity: (H, W) intensities of an image by its number, to measure their mean and standard deviation; or None.
        failures: where images are noted that cannot be used.
        shown: takes figures and tables, and says where to write.

    Returns:
        Numbers of cells and their areas, over the images that could be used.

    Raises:
        UserError: if none can.
    """
    tables = []
    for i in each(recording.present, lambda i: recording.frames[i].name):
        with failures.of(recording.frames[i].name):
            tables.append(_measure(recording, intensity, i))
    failures.require_some(len(tables))
    cells = pd.concat(tables, ignore_index=True)
    _say_unknown_sizes(recording)
    write_table(shown.output / results.CELLS, cells)
    shown.tables.append((results.CELLS, cells))
    area = "area_um2" if "area_um2" in cells else "area_px"
    shown.save(area_histogram(cells, area), results.CELLS_FIGURE, "Areas", "Numbers of cells by area, stacked by type.")
    types = cells.groupby(results.CELL_TYPE)[area] if results.CELL_TYPE in cells else ()
    return {
        "n_images": len(tables),
        "n_cells": len(cells),
        area: distribution(cells[area].to_numpy(np.float64)),
        "types": {str(name): distribution(values.to_numpy(np.float64)) for name, values in types},
    }


def _measure(recording: Recording, intensity: Callable[[int], np.ndarray] | None, i: int) -> pd.DataFrame:
    labels, size = recording.labels(i), recording.frames[i].pixel_size_um
    image = None if intensity is None else intensity(i)[..., None]
    table = cell_table(labels, image, ("image",) if image is not None else (), pixel_size_um=size)
    rods = rod_table(labels, size)
    new = {name: rods[name] for name in map(str, rods) if name.startswith(("length_", "width_"))}
    return recording.rows(recording.frames[i], table.assign(**new))


def _say_unknown_sizes(recording: Recording) -> None:
    """Say which images have no pixel size, if others have one: their columns in um are empty."""
    unknown = [recording.frames[i].name for i in recording.present if recording.frames[i].pixel_size_um is None]
    if unknown and len(unknown) < len(recording.present):
        say(
            f"note: {unknown[0]}{f' and {len(unknown) - 1} others' if len(unknown) > 1 else ''}: the pixel size is "
            "unknown, so columns in um are empty there; give pixel_size_um=..., or save it in the files"
        )


def format_cells(metrics: dict[str, Any]) -> str:
    """The line shown on screen."""
    return f"{metrics['n_cells']} cells in {metrics['n_images']} images"
