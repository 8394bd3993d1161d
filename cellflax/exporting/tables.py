"""Exports of tables: Parquet, and AnnData for the programs of single-cell biology."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.atomic import replacing
from cellflax.exporting.formats import FORMATS, export_file
from cellflax.io import results
from cellflax.io.tables import read_table, write_table
from cellflax.io.tiff_output import writing

# Columns that say which cell a row is of, or name something: they are no measurements.
_KEYS = (
    *(results.IMAGE, results.FRAME, results.TIME_S, results.LABEL),
    *(results.TRACK, results.PARENT, results.GENERATION, results.CELL_TYPE),
    *("touches_border", "nucleus", "first_frame", "last_frame"),
)
_PLACES = ("output", "overwrite", "resume")  # settings
_TEXT = {f"{results.IMAGE}|{results.CELL_TYPE}": str}
# The end of a column's name, and the unit that it says.
_UNITS = {
    **{"px": "px", "um": "um", "um2": "um^2", "rad": "rad", "s": "s", "h": "h", "frame": "frames"},
    **{"per_h": "1/h", "per_frame": "1/frame"},
}
_UNIT = re.compile(r"_(per_h|per_frame|px|um2|um|rad|s|h|frame)$")


def read_cell_table(path: Path) -> pd.DataFrame:
    """Read a CSV table that a command wrote; names stay text.

    Raises:
        UserError: if it cannot be read.
    """
    return read_table(path, {}, "make it again", _TEXT)


def export_table(folder: Path, cells: pd.DataFrame, name: str, wanted: Iterable[str], record: dict[str, Any]) -> None:
    """Write a table in the formats that are of tables; other formats are left to others.

    Args:
        folder: directory of the results.
        cells: the table.
        name: its name, without an ending.
        wanted: the formats.
        record: where the table comes from, as JSON.

    Raises:
        OutputError: if a file cannot be written.
    """
    for form in wanted:
        if FORMATS[form].of != "tables":
            continue
        path = folder / export_file(form, name)
        with writing(path):
            match form:
                case "parquet":
                    write_table(path, cells)
                case "anndata":
                    write_anndata(path, cells, record)


def write_anndata(path: Path, cells: pd.DataFrame, record: dict[str, Any]) -> None:
    """Write a table of cells as AnnData.

    `X` holds the measurements (float64, a column each, NaN where they are undefined), `var` their units; `obs` what
    locates and names a cell; `obsm["spatial"]` x and y of the centroids in pixels, where the table has them;
    `uns["cellflax"]` the units and the record.

    Args:
        path: the target; a reader sees the old file or the new.
        cells: a row per cell.
        record: where the table comes from, as JSON.

    Raises:
        OSError: if it cannot be written.
    """
    import anndata

    # Of a table without rows the types are unknown.
    numbers = [
        str(name) for name, column in cells.items() if (column.dtype.kind in "iuf" or cells.empty) and name not in _KEYS
    ]
    units = [_unit(name) for name in numbers]
    observed = cells.drop(columns=numbers).rename(columns=lambda name: name.replace("/", "_"))  # HDF5's separator
    for name, column in observed.items():  # as plain text, which every version of AnnData reads
        if column.dtype.kind not in "iufb":
            texts = ["" if isinstance(text, float) else str(text) for text in column]
            observed[name] = pd.Series(texts, column.index, dtype=object)
    observed.index = _names(cells)
    data = anndata.AnnData(
        X=cells[numbers].to_numpy(np.float64).reshape(len(cells), len(numbers)),
        obs=observed,
        var=pd.DataFrame({"unit": units}, index=pd.Index(numbers, dtype=object), dtype=object),
        uns={
            "cellflax": {
                "columns": np.array(numbers, object),
                "units": np.array(units, object),
                "spatial_unit": "px",
                "provenance": json.dumps(_without_places(record)),
            }
        },
    )
    centroid = [f"centroid-{axis}_px" for axis in (1, 0)]
    if set(centroid) <= set(numbers):
        data.obsm["spatial"] = cells[centroid].to_numpy(np.float64)
    with replacing(path) as temporary:
        data.write_h5ad(temporary)


def _without_places(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what does not change the table, so that the same table is the same file anywhere."""
    settings = record.get("settings")
    if not isinstance(settings, dict):
        return record
    return {**record, "settings": {key: value for key, value in settings.items() if key not in _PLACES}}


def _names(cells: pd.DataFrame) -> pd.Index:
    """A name for each row, of what locates the cell; its number where that does not tell rows apart."""
    keys = [name for name in (results.IMAGE, results.TRACK, results.FRAME, results.LABEL) if name in cells]
    names = ["_".join(_words(row)) for row in cells[keys].itertuples(index=False)]
    plain = not keys or len(set(names)) < len(names)
    return pd.Index(list(map(str, range(len(cells)))) if plain else names, dtype=object)


def _words(row: Iterable[object]) -> Iterator[str]:
    """Without the frame of a single image, which is NaN among movies and makes the others' frames floats."""
    for value in row:
        if not isinstance(value, float):
            yield str(value)
        elif not math.isnan(value):
            yield str(int(value))


def _unit(name: str) -> str:
    """The unit that a column's name ends in; empty for pure numbers and for intensities, which are as in the file."""
    found = _UNIT.search(name) if not name.startswith("intensity_") else None
    return "" if found is None else _UNITS[found[1]]
