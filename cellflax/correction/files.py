"""The folder in which images are corrected: what `train data=folder` reads, and a list of what to look at."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.correction.predicted import POSITION, PredictedImage
from cellflax.correction.ranking import Candidate
from cellflax.data.example import SIMULATED_NOTE
from cellflax.io import results
from cellflax.io.corrections import DONE, content_checksum
from cellflax.io.tables import write_table
from cellflax.io.tiff_output import write_channels, write_labels

_ROW, _COLUMN = POSITION


def write_candidate(folder: Path, name: str, predicted: PredictedImage) -> dict[str, int]:
    """Write an image with its label images.

    Args:
        folder: target folder.
        name: name of the files.
        predicted: the image, its cells and, where they are known, its nuclei.

    Returns:
        Checksums of the label images, by their paths in the folder.
    """
    image, size = predicted.image, predicted.image.pixel_size_um
    file = f"{name}.tif"
    write_channels(folder / results.IMAGE_FOLDER / file, image.pixels, image.channels, size)
    planes = {results.LABEL_FOLDER: predicted.labels, results.NUCLEUS_FOLDER: predicted.nuclei}
    contents = {}
    for kind, plane in planes.items():
        if plane is not None:
            write_labels(folder / kind / file, plane, size)
            contents[f"{kind}/{file}"] = content_checksum(plane)
    return contents


def write_simulated(folder: Path, note: str) -> None:
    """Say in the folders of images and labels that the images are simulated."""
    for kind in results.TRAINING_FOLDERS:
        if (folder / kind).is_dir():
            (folder / kind / SIMULATED_NOTE).write_text(note, encoding="utf-8")


def write_lists(folder: Path, candidates: Iterable[Candidate], most: int) -> None:
    """Write what to correct: a row per image, and a row per uncertain cell.

    Args:
        folder: target folder.
        candidates: the images, in order.
        most: number of cells that are named of each image.
    """
    candidates = list(candidates)
    rows, cells = [], []
    for candidate in candidates:
        named = candidate.cells.head(most) if results.UNCERTAINTY in candidate.cells else candidate.cells.head(0)
        row: dict[str, object] = {results.IMAGE: candidate.name, "source": candidate.image}
        if any(other.frame is not None for other in candidates):
            row[results.FRAME] = candidate.frame
        row |= {"why": candidate.why, "cells": len(candidate.cells), "look_at": _look_at(named), DONE: ""}
        rows.append(row)
        columns = [results.LABEL, *(c for c in (*POSITION, results.UNCERTAINTY) if c in named)]
        cells.append(named[columns].assign(**{results.IMAGE: candidate.name}))
    write_table(folder / results.CORRECTION_TABLE, pd.DataFrame(rows))
    table = pd.concat(cells, ignore_index=True)
    table = table.reindex(columns=[results.IMAGE, *table.columns.drop(results.IMAGE)])
    write_table(folder / results.UNCERTAIN_CELLS, table, float_format="%.6g")


def _look_at(cells: pd.DataFrame) -> str:
    """Cells in words: `cell 12 at row 40, column 91 (0.63)`."""
    words = []
    for cell in cells.to_dict("records"):
        where = ""
        if _ROW in cell and np.isfinite([cell[_ROW], cell[_COLUMN]]).all():
            where = f" at row {cell[_ROW]:.0f}, column {cell[_COLUMN]:.0f}"
        words.append(f"cell {cell[results.LABEL]}{where} ({cell[results.UNCERTAINTY]:.2f})")
    return "; ".join(words)
