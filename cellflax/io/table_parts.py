"""CSV tables joined from parts and split into parts, row by row and as text: no number changes, no memory grows."""

import csv
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from cellflax.atomic import replacing


def join_tables(path: Path, parts: Sequence[Path]) -> None:
    """Write the rows of CSV tables below each other.

    The columns are those of all parts. Their order does not depend on the order of the parts, if all parts have them
    in one order. A part that lacks a column leaves its fields empty.

    Args:
        path: the target; a reader sees the old file or the new, never a part.
        parts: tables with a header each.

    Raises:
        OSError: if a part cannot be read, or the target cannot be written.
    """
    columns = _all_columns([columns_of(part)[0] for part in parts])
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as target:
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(columns)
        for part in parts:
            with part.open(encoding="utf-8", newline="") as source:
                reader = csv.reader(source)
                place = {name: index for index, name in enumerate(next(reader))}
                where = [place.get(name) for name in columns]
                for row in reader:
                    rows.writerow(["" if index is None else row[index] for index in where])


def split_table(path: Path, parts: Sequence[tuple[Path, Sequence[str], int]]) -> None:
    """Write the rows of a CSV table to several, in turn.

    Args:
        path: the table.
        parts: of each, the target, its columns and its number of rows.

    Raises:
        ValueError: if the table lacks a column or a row, or has more rows.
    """
    with path.open(encoding="utf-8", newline="") as source:
        reader = csv.reader(source)
        place = {name: index for index, name in enumerate(next(reader, []))}
        for target, columns, count in parts:
            if not set(columns) <= place.keys():
                raise ValueError(f"{path} lacks a column")
            written = 0
            with target.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(columns)
                for row in islice(reader, count):
                    rows.writerow([row[place[name]] for name in columns])
                    written += 1
            if written < count:
                raise ValueError(f"{path} has too few rows")
        if next(reader, None) is not None:
            raise ValueError(f"{path} has too many rows")


def columns_of(path: Path) -> tuple[list[str], int]:
    """The columns of a CSV table, and its number of rows."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        return next(reader, []), sum(1 for _ in reader)


def _all_columns(parts: Iterable[Sequence[str]]) -> list[str]:
    """The columns of all parts; one that is new comes after the one before it in its part."""
    merged: list[str] = []
    for columns in parts:
        after = 0
        for name in columns:
            if name in merged:
                after = merged.index(name) + 1
            else:
                merged.insert(after, name)
                after += 1
    return merged
