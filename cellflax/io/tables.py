"""Tables as files."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.atomic import replacing
from cellflax.errors import UserError
from cellflax.wholefile import read_content, require_utf8

# A spreadsheet computes a cell that begins so, as a formula. An apostrophe in front makes it text; as many as there
# are already count as part of the text, so that each text has one escaped form.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_EMPTY = ["", "NaN", "nan", "NA"]
_WANTED = {int: "a whole number", float: "a number"}
_MOST_BYTES = 1 << 30  # of five million cells or more
_MOST_COLUMNS = 10_000
_ENCODING = "utf-8-sig"
_LARGEST_WHOLE = 2**53  # up to which a float64 holds every whole number


def write_table(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table without its index, as Parquet if the path ends in `.parquet`, else as CSV.

    A reader sees the old file or the new, never a part. In CSV, text that a spreadsheet would take for a formula gets
    an apostrophe in front, which `read_table` removes.

    Args:
        path: the file.
        table: its rows.
        float_format: format of numbers in CSV, such as "%.6g"; None writes all their digits.

    Raises:
        UserError: for Parquet, without the package `pyarrow`.
    """
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(temporary, table, path)
        else:
            escaped = {name: column.map(_escaped) for name, column in table.items() if _holds_text(column)}
            table = table.assign(**{str(name): column for name, column in escaped.items()}).rename(columns=_escaped)
            table.to_csv(temporary, index=False, float_format=float_format)


def _write_parquet(path: Path, table: pd.DataFrame, target: Path) -> None:
    try:
        table.to_parquet(path, index=False)
    except ImportError as error:
        raise UserError(
            f"{target}: Parquet needs the package pyarrow; install it with: pip install 'cellflax[parquet]'"
        ) from error


def read_table(
    path: Path, columns: Mapping[str, type], remedy: str, optional: Mapping[str, type] | None = None
) -> pd.DataFrame:
    """Read a CSV table, as `write_table` or a spreadsheet wrote it (with commas, semicolons or tabs).

    Args:
        path: the file.
        columns: columns that must be there: int, float or str. A float may be empty (NaN); text is never NaN, so that
            a name such as "NA" or "007" stays what it is.
        remedy: what to do about a file that is no such table, such as "predict again".
        optional: columns that may be there, by regular expression; a name in `columns` comes first.

    Returns:
        The table. Text in the columns above is as it was before `write_table`; other columns are as pandas reads them.

    Raises:
        UserError: if the file cannot be read, is not UTF-8, or lacks a column, or a value is no such number. It names
            the file and the line.
    """
    content = read_content(path, remedy, _MOST_BYTES)
    require_utf8(path, content, f"save the table as CSV in UTF-8, or {remedy}")
    head = re.split(rb"[\r\n]", content, maxsplit=1)[0]
    separator = max(",;\t", key=lambda character: head.count(character.encode()))
    if (count := head.count(separator.encode()) + 1) > _MOST_COLUMNS:
        raise UserError(f"{path}: line 1 has {count} columns, and at most {_MOST_COLUMNS} are read; {remedy}")
    try:
        names = [str(name) for name in pd.read_csv(io.BytesIO(content), sep=separator, nrows=0, encoding=_ENCODING)]
        written = next(csv.reader([head.decode(_ENCODING)], delimiter=separator), [])
        kinds = {name: kind for name in names if (kind := _kind(_unescaped(name), columns, optional or {}))}
        table = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            encoding=_ENCODING,
            dtype=dict.fromkeys(kinds, object),
            keep_default_na=False,
            na_values={name: _EMPTY for name in names if name not in kinds},
            index_col=False,
            low_memory=False,
        )
    except MemoryError as error:
        raise UserError(f"{path}: needs more memory than there is; split it") from error
    except (ValueError, OverflowError, RecursionError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table ({' '.join(str(error).split())}); {remedy}") from error
    for name in columns:
        if name not in map(_unescaped, names):
            raise UserError(f"{path}: line 1 has no column {name}; {remedy}")
        if list(map(_unescaped, written)).count(name) > 1:
            raise UserError(f"{path}: line 1 has the column {name} twice; {remedy}")
    texts = {name: pd.Series(table[name]) for name in kinds}
    converted = {name: _converted(path, name, texts[name], kind, remedy) for name, kind in kinds.items()}
    return table.assign(**converted).rename(columns=_unescaped)


def _kind(name: str, columns: Mapping[str, type], optional: Mapping[str, type]) -> type | None:
    if name in columns:
        return columns[name]
    return next((kind for pattern, kind in optional.items() if re.fullmatch(pattern, name)), None)


def _converted(path: Path, name: str, column: pd.Series, kind: type, remedy: str) -> pd.Series:
    """A column of texts as the wanted type."""
    if kind is str:
        return column.map(_unescaped)
    texts = column.astype(str)
    values = np.asarray(pd.to_numeric(texts, errors="coerce"), np.float64)
    empty = texts.isin(_EMPTY).to_numpy()
    wrong = (
        np.isnan(values) & ~empty
        if kind is float
        else ~(np.abs(values) <= _LARGEST_WHOLE) | (np.rint(values) != values)
    )
    for row in np.flatnonzero(wrong)[:1].tolist():
        shown = texts.iloc[row][:40]
        raise UserError(f"{path}: line {row + 2}, {name} must be {_WANTED[kind]}, got '{shown}'; {remedy}")
    return pd.Series(values.astype(np.int64) if kind is int else values, column.index)


def _holds_text(column: pd.Series) -> bool:
    return column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype)


def _escaped(value: object) -> object:
    """A text as it is written, any other value as it is."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unescaped(value: str) -> str:
    """A text as it was before `_escaped`."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value
