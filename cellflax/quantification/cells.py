"""Everything that is known of every cell, as one tidy table: python -m cellflax.quantify method=cells predicted=DIR."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.measure.cells import cell_table
from cellflax.measure.shape import rod_table
from cellflax.pictures.histograms import area_histogram
from cellflax.quantification.movie import Movie
from cellflax.quantification.tables import distribution, write_table


def quantify_cells(movie: Movie, intensity: Callable[[int], np.ndarray] | None, output: Path) -> dict[str, Any]:
    """Measure every cell of every image.

    Writes `cells.csv` and `cells.parquet`: image, or frame, time, track, parent and generation; the columns of
    `measure.cells.cell_table`; length and width as of a rod (`measure.shape`); cell type, scores and uncertainty
    where the segmentation came with them. And `cells.png`, the distribution of the area.

    Args:
        movie: label images.
        intensity: (H, W) of an image by its number, whose mean and standard deviation are measured; None for none.
        output: directory to write to.

    Returns:
        Numbers of cells and their areas.
    """
    cells = pd.concat([_measure(movie, intensity, i) for i in range(len(movie.frames))], ignore_index=True)
    write_table(cells, output, "cells")
    area = "area_um2" if "area_um2" in cells else "area_px"
    area_histogram(cells, area).savefig(output / "cells.png")
    types = cells.groupby("cell_type")[area] if "cell_type" in cells else ()
    return {
        "n_images": len(movie.frames),
        "n_cells": len(cells),
        area: distribution(cells[area].to_numpy(np.float64)),
        "types": {str(name): distribution(values.to_numpy(np.float64)) for name, values in types},
    }


def _measure(movie: Movie, intensity: Callable[[int], np.ndarray] | None, i: int) -> pd.DataFrame:
    labels = movie.labels(i)
    image = None if intensity is None else intensity(i)[..., None]
    table = cell_table(labels, image, ("image",) if image is not None else (), pixel_size_um=movie.pixel_size_um)
    rods = rod_table(labels, movie.pixel_size_um)
    new = {name: rods[name] for name in map(str, rods) if name.startswith(("length_", "width_"))}
    return movie.rows(movie.frames[i], table.assign(**new))


def format_cells(metrics: dict[str, Any]) -> str:
    """The line shown on screen."""
    return f"{metrics['n_cells']} cells in {metrics['n_images']} images"
