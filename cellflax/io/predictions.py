"""Read what `cellflax.predict` wrote: label images with the rows of `cells.csv` that belong to them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.images import read_labels
from cellflax.io.pairs import by_stem
from cellflax.labels import label_values


@dataclass(frozen=True)
class Prediction:
    """One segmented image.

    Attributes:
        name: name of the image in `cells.csv`.
        file: label image.
        cells: its rows of `cells.csv`.
    """

    name: str
    file: Path
    cells: pd.DataFrame

    def read_labels(self) -> np.ndarray:
        """Read the label image, (H, W) int32.

        Raises:
            UserError: if it does not hold the cells of the table.
        """
        labels = read_labels(self.file)
        if not np.array_equal(label_values(labels), np.sort(self.cells[results.LABEL])):
            raise UserError(f"{self.file}: its cells are not those of {self.name} in {results.CELLS}; predict again")
        return labels


def find_predictions(text: str) -> dict[str, Prediction]:
    """Predictions of FILE | DIR | GLOB (label images beside their `cells.csv`), by the stem that partners share.

    Raises:
        UserError: if there is no label image, or no readable `cells.csv` with rows beside it.
    """
    tables: dict[Path, pd.DataFrame] = {}
    predictions = {}
    for stem, file in by_stem("predicted", text).items():
        if file.parent not in tables:
            tables[file.parent] = read_cells(file.parent / results.CELLS)
        name = results.input_name(file)
        predictions[stem] = Prediction(name, file, cells_of_image(tables[file.parent], name))
    return predictions


def read_cells(path: Path) -> pd.DataFrame:
    """Read a `cells.csv`, one row per cell, with at least the columns `image` and `label`.

    Raises:
        UserError: if it is missing, or is not such a table.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; predicted= must be the output of cellflax.predict, with its {results.CELLS}"
        )
    try:
        # Converters, so that an image or a type called "NA" stays what it is.
        table = pd.read_csv(path, converters={results.IMAGE: str, results.CELL_TYPE: str})
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a table of cells ({' '.join(str(error).split())}); predict again") from error
    missing = [name for name in (results.IMAGE, results.LABEL) if name not in table]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]}; predict again")
    return table


def cells_of_image(cells: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a `cells.csv` that belong to one image."""
    return cells.loc[cells[results.IMAGE] == name]


def from_simulated_training(folder: Path) -> bool:
    """Whether `provenance.json` in a folder of predictions says that the network learnt from simulated images.

    Raises:
        UserError: if the file is not such a record.
    """
    file = folder / results.PROVENANCE
    try:
        return bool(json.loads(file.read_text())["simulated"]) if file.is_file() else False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a provenance record; predict again or remove it") from error


def simulation_notes(folders: Iterable[Path]) -> list[str]:
    """A line for every folder of predictions whose network was trained on simulated images."""
    return [
        f"simulated: the model behind {folder} was trained on simulated images"
        for folder in sorted(set(folders))
        if from_simulated_training(folder)
    ]
