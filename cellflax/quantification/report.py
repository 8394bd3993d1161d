"""The report of `quantify`: its figures, distributions, and the first rows of its tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cellflax.pictures.png import save_png
from cellflax.pictures.vector import Figure, vector_of
from cellflax.report.model import Drawing, Report, Table
from cellflax.report.origin import facts_of, failed_notices, note_notices, settings_table, simulated_notes

_INPUTS = ("predicted", "tracks", "image", "reporter", "nuclei", "nuclear", "truth")


@dataclass
class Shown:
    """What a method draws and tabulates: written to files, and kept for the report.

    Attributes:
        output: directory to write to.
        figures: figure, title and a sentence of each figure.
        tables: file and rows of each table.
    """

    output: Path
    figures: list[tuple[Figure, str, str]] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)

    def save(self, figure: Figure, name: str, title: str, text: str) -> None:
        """Write a figure as PNG.

        Args:
            figure: the figure.
            name: of the file.
            title: its heading in the report.
            text: what it shows, in a sentence.
        """
        save_png(figure, self.output / name)
        self.figures.append((figure, title, text))


def quantities_report(method: str, shown: Shown, metrics: Mapping[str, Any], words: str) -> Report:
    """The page of a quantification.

    Args:
        method: name of the method.
        shown: its figures and tables.
        metrics: content of `metrics.json`.
        words: the lines shown on the screen.
    """
    settings = metrics["settings"]
    inputs = [(key, settings[key]) for key in _INPUTS if settings.get(key)]
    notices = note_notices([*metrics["notes"], *simulated_notes(text for _, text in inputs)])
    simulated = True if any(notice.weight.value == "simulated" for notice in notices) else None
    first, *more = words.splitlines()
    drawings = []
    for number, (figure, title, text) in enumerate(shown.figures):
        drawings.append(Drawing(title, text, *vector_of(figure, f"figure{number}")))
    return Report(
        command="quantify",
        title=f"{_TITLES[method]} of {settings.get('tracks') or settings.get('predicted')}",
        subtitle=first,
        notices=(*notices, *failed_notices(metrics["failed"])),
        headline=tuple(_numbers(metrics)),
        curves=tuple(drawings),
        tables=(
            *([Table("In short", "in_short.csv", ("result",), tuple((line,) for line in more))] if more else []),
            *(Table.of(name.removesuffix(".csv"), table.head(1000), name, whole=name) for name, table in shown.tables),
            settings_table(settings),
        ),
        facts=facts_of("quantify", simulated=simulated, data=inputs),
    )


_TITLES = {"cells": "Cells", "growth": "Growth", "ktr": "Reporter ratios", "cell_type": "Cell types"}


def _numbers(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Counts, and medians of what is distributed."""
    found = []
    for name, value in metrics.items():
        if name.startswith("n_") and isinstance(value, int):
            found.append((name.removeprefix("n_").replace("_", " "), str(value)))
        elif isinstance(value, Mapping) and value.get("median") is not None:
            found.append((f"median {name.replace('_', ' ')}", f"{value['median']:.4g}"))
    return found
