"""What a report shows, without a word of HTML: pictures, curves, tables, and where all of it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

MOST_ROWS = 300  # of a table in the page; the file beside it holds all
MOST_TEXT = 300  # characters of a cell, a name or a note


class Weight(Enum):
    """How loudly a notice speaks; the values are classes of the style."""

    simulated = "simulated"  # red: nobody may take these numbers for real ones
    warning = "warning"
    note = "note"


@dataclass(frozen=True)
class Notice:
    """A sentence that a reader must know before the numbers.

    Attributes:
        text: the sentence.
        weight: how loudly it speaks.
    """

    text: str
    weight: Weight = Weight.note


@dataclass(frozen=True)
class Picture:
    """A picture with its outlines on a layer of their own, so that a reader can hide them.

    Attributes:
        title: printed below it.
        text: what it shows, for people who do not see it.
        image: PNG or JPEG.
        outlines: PNG of the same field, transparent where no outline is; None where there are none.
        size: width and height in pixels, as shown at most.
        link: a file beside the report that shows more, or "".
        warns: whether the title is a warning.
    """

    title: str
    text: str
    image: bytes
    outlines: bytes | None
    size: tuple[int, int]
    link: str = ""
    warns: bool = False


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading.

    Attributes:
        title: the heading.
        pictures: in order; the last ones are left out where the page would become too large.
        note: a sentence below the heading.
        legend: colour (CSS) and meaning of each outline.
        wide: whether the pictures are whole images, and not crops.
    """

    title: str
    pictures: tuple[Picture, ...]
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class PlotLine:
    """One line of a chart.

    Attributes:
        label: its name in the legend.
        x: positions; not finite ones are left out.
        y: values at them.
        style: number of its colour and dashes; None for one of its own.
        listed: whether it is in the legend.
    """

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    style: int | None = None
    listed: bool = True


@dataclass(frozen=True)
class View:
    """One way to draw the lines of a chart, such as by step or by minute.

    Attributes:
        name: on its button.
        x_label: name and unit of the horizontal axis.
        lines: what is drawn.
    """

    name: str
    x_label: str
    lines: tuple[PlotLine, ...]


@dataclass(frozen=True)
class Chart:
    """Lines over a horizontal axis.

    Attributes:
        title: the heading.
        text: what it shows, in a sentence.
        y_label: name and unit of the vertical axis.
        views: one, or several to choose from.
        y_range: ends of the vertical axis; None fits them to the lines.
    """

    title: str
    text: str
    y_label: str
    views: tuple[View, ...]
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn already.

    Attributes:
        title: the heading.
        text: what it shows, in a sentence.
        svg: an `<svg>` element that `pictures.vector` made, or "".
        png: a PNG in place of it, where the drawing has too many parts, or b"".
    """

    title: str
    text: str
    svg: str = ""
    png: bytes = b""


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort, and save as CSV.

    Attributes:
        title: the heading.
        file: name of the CSV file that the browser saves.
        columns: names.
        rows: text, numbers, True or False, or None.
        note: a sentence below the heading.
    """

    title: str
    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    @classmethod
    def of(cls, title: str, table: pd.DataFrame, file: str, note: str = "", whole: str = "") -> "Table":
        """The first rows of a data frame.

        Args:
            title: the heading.
            table: the rows; its index is not shown.
            file: name of the CSV file that the browser saves.
            note: a sentence below the heading.
            whole: the file beside the report that holds all rows, to be named where some are left out.
        """
        if len(table) > MOST_ROWS:
            rest = f"The first {MOST_ROWS} of {len(table)} rows" + (f"; {whole} has all." if whole else ".")
            note = f"{note} {rest}".strip()
        shown = table.head(MOST_ROWS)
        rows = zip(*(shown[name].tolist() for name in shown.columns), strict=True) if len(shown) else ()
        return cls(title, file, tuple(map(str, table.columns)), tuple(rows), note)


@dataclass(frozen=True)
class Fact:
    """A line of the provenance.

    Attributes:
        name: what it says.
        value: the words.
        is_code: whether it is to be copied as it stands.
        weight: red for simulated data.
    """

    name: str
    value: str
    is_code: bool = False
    weight: Weight = Weight.note


@dataclass(frozen=True)
class Report:
    """All that a page shows, in its order.

    Attributes:
        command: the command that wrote it.
        title: what it is about.
        subtitle: how it ended, or how far it is.
        notices: what must be known before the numbers.
        headline: the few numbers that matter, by name.
        galleries: pictures.
        curves: charts and drawings.
        tables: tables.
        facts: where it comes from.
        refresh_s: seconds until the page loads itself again, while the command runs; None when it has ended.
    """

    command: str
    title: str
    subtitle: str = ""
    notices: tuple[Notice, ...] = ()
    headline: tuple[tuple[str, str], ...] = ()
    galleries: tuple[Gallery, ...] = ()
    curves: tuple[Chart | Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()
    refresh_s: int | None = None
