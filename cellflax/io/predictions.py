"""Read what `cellflax.predict` wrote: label images with the rows of `cells.csv` that belong to them."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.images import read_labels
from cellflax.io.pairs import by_stem
from cellflax.io.tables import read_table
from cellflax.jsonfile import read_json
from cellflax.labels import label_values

_MEANS = "(probability|intensity)_(mean|std)_.*"
# Columns of `cells.csv` that other commands use, besides image and label.
_OPTIONAL = {
    results.CELL_TYPE: str,
    "|".join([results.FRAME, results.TIME_S, results.UNCERTAINTY, *results.RIGHT]): float,
    f"{results.SCORE_PREFIX}.*|{_MEANS}": float,
}


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
    tables: dict[Path, Callable[[str], pd.DataFrame]] = {}
    predictions = {}
    for stem, file in by_stem("predicted", text).items():
        if file.parent not in tables:
            tables[file.parent] = cells_by_image(read_cells(file.parent / results.CELLS))
        name = results.input_name(file)
        predictions[stem] = Prediction(name, file, tables[file.parent](name))
    return predictions


def read_cells(path: Path) -> pd.DataFrame:
    """Read a `cells.csv`, one row per cell, with at least the columns `image` and `label`.

    A column `frame` is float64, and NaN in the rows of single images, where these are segmented beside movies.
    `cells_of_image` gives the rows of one image or movie without such values.

    Raises:
        UserError: if it is missing, or is not such a table.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; predicted= must be the output of cellflax.predict, with its {results.CELLS}"
        )
    table = read_table(path, {results.IMAGE: str, results.LABEL: int}, "predict again", _OPTIONAL)
    key = [name for name in (results.IMAGE, results.FRAME, results.LABEL) if name in table]
    for row in np.flatnonzero(table.duplicated(key).to_numpy())[:1].tolist():
        raise UserError(
            f"{path}: line {row + 2} is a second row of label {table[results.LABEL].iloc[row]} of image "
            f"{table[results.IMAGE].iloc[row]}; predict again"
        )
    if results.FRAME in table:
        _require_frames(path, table)
    return table


def _require_frames(path: Path, table: pd.DataFrame) -> None:
    """Require whole numbers as frames, and that an image has them in all of its rows or in none."""
    frame = table[results.FRAME].to_numpy()
    single = np.isnan(frame)
    known = pd.Series(single).groupby(table[results.IMAGE].to_numpy()).transform("first").to_numpy(bool)
    wrong = (single != known) | ~(single | (np.rint(frame) == frame) & (frame >= 0))
    for row in np.flatnonzero(wrong)[:1].tolist():
        shown = "''" if single[row] else f"'{frame[row]:g}'"
        image = table[results.IMAGE].iloc[row]
        raise UserError(
            f"{path}: line {row + 2}, frame must be a whole number in all rows of a movie and empty in those of an "
            f"image, got {shown} for {image}; predict again"
        )


def cells_of_image(cells: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a `cells.csv` that belong to one image or movie; `frame` is int64, and only a movie's have it."""
    return _with_frames(cells.loc[cells[results.IMAGE] == name])


def cells_by_image(cells: pd.DataFrame) -> Callable[[str], pd.DataFrame]:
    """As `cells_of_image`, for many images: the table is gone through once, not for each of them."""
    rows = cells.groupby(results.IMAGE, sort=False).indices
    return lambda name: _with_frames(cells.iloc[rows.get(name, [])])


def _with_frames(rows: pd.DataFrame) -> pd.DataFrame:
    if results.FRAME not in rows:
        return rows
    if len(rows) and np.isnan(rows[results.FRAME].to_numpy()).all():
        return rows.drop(columns=results.FRAME)
    return rows.astype({results.FRAME: np.int64})


def from_simulated_training(folder: Path) -> bool:
    """Whether `provenance.json` in a folder of predictions says that the network learnt from simulated images.

    Raises:
        UserError: if the file is not such a record.
    """
    file = folder / results.PROVENANCE
    if not os.path.lexists(file):
        return False
    remedy = "predict again or remove it"
    try:
        simulated = read_json(file, remedy).get("simulated")
    except UserError as error:
        raise UserError(f"{file}: not a provenance record ({error})") from error
    if not isinstance(simulated, bool):
        raise UserError(f"{file}: not a provenance record, because it has no simulated of true or false; {remedy}")
    return simulated


def simulation_notes(folders: Iterable[Path]) -> list[str]:
    """A line for every folder of predictions whose network was trained on simulated images."""
    return [
        f"simulated: the model behind {folder} was trained on simulated images"
        for folder in sorted(set(folders))
        if from_simulated_training(folder)
    ]
