"""A summary of runs as a Markdown page."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from cellflax.summary.part_tables import part_metrics, part_notes, part_table
from cellflax.summary.tables import Group, Summary, metric_names, setting_table


def markdown(summary: Summary) -> str:
    """The page: title, notes for the reader, a table for each of two steps, and the runs left out."""
    table, metrics = setting_table(summary), metric_names(summary.runs)
    monitors = " or ".join(sorted({run.monitor for run in summary.runs}))
    parts = [
        f"# {title(summary)}",
        *(f"**{note}**" for note in notes(summary)),
        f"Mean ± standard deviation over {_repetition(summary)}, on held-out data; n is the number of runs.",
        *_tested(summary),
        f"## Best checkpoint (validation {monitors})",
        _table(summary, table, [f"best_{name}" for name in metrics]),
        "## Last step",
        _table(summary, table, [f"last_{name}" for name in metrics]),
    ]
    if summary.skipped:
        lines = [f"- {run.status}: `{run.directory}` ({run.reason})" for run in summary.skipped]
        parts += [f"## Not counted: {len(summary.skipped)}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def title(summary: Summary) -> str:
    """Experiments and what differs between their runs, in one line."""
    names = ", ".join(sorted({run.name for run in summary.runs}))
    subject = f"{names} by {', '.join(summary.keys)}" if summary.keys else names
    return f"SIMULATED DATA: {subject}" if summary.simulated else subject


def notes(summary: Summary) -> list[str]:
    """What a reader must know before comparing the numbers, one sentence each."""
    found = []
    if summary.simulated:
        found.append("Trained and validated on simulated images: these numbers do not hold for real ones.")
    sources = sorted({run.source for run in summary.runs})
    if len(sources) > 1:
        found.append(f"The data differ; compare only scores on the same held-out regions: {'; '.join(sources)}.")
    if summary.along:
        found.append(f"Other keys differ along with these settings: {', '.join(summary.along)}.")
    found += list(part_notes(summary))
    if any(_shares_networks(group) for group in summary.groups):
        found.append(
            "Ensembles whose seeds are closer than trainer.ensemble share networks (network i has seed + i): the "
            "spread over seeds is too small."
        )
    return found


def _shares_networks(group: Group) -> bool:
    members = group.runs[0].config.get("trainer", {}).get("ensemble", 1)
    return any(
        after.fold == before.fold and after.seed - before.seed < members for before, after in pairwise(group.runs)
    )


def _repetition(summary: Summary) -> str:
    return "seeds and folds" if summary.cross_validated else "seeds"


def _table(summary: Summary, table: pd.DataFrame, columns: Sequence[str]) -> str:
    names = [name.split("_", 1)[1].replace("_", " ") for name in columns]
    first = ["data", *summary.keys, "n", "seeds", *(["folds"] if summary.cross_validated else [])]
    rows = []
    for row in table.to_dict("records"):
        steps = "-".join(map(str, dict.fromkeys([row["steps_min"], row["steps_max"]])))
        cells = [*(row[key] for key in first), steps, _spread(row, "minutes", 1)]
        rows.append([*cells, *(_spread(row, name, 3) for name in columns)])
    return _lines([*first, "steps", "minutes", *names], rows)


def _tested(summary: Summary) -> list[str]:
    """The section of the test part; empty if none was scored."""
    table, metrics = part_table(summary), part_metrics(summary)
    if table.empty:
        return []
    first = [*summary.keys, "data_set", "n", "images", "cells"]
    rows = [
        [*(row[key] for key in first), *(_spread(row, name, 3) for name in metrics)] for row in table.to_dict("records")
    ]
    return ["## Test part (best checkpoint)", _lines([name.replace("_", " ") for name in [*first, *metrics]], rows)]


def _lines(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in [head, ["---"] * len(head), *rows])


def _spread(row: dict, name: str, digits: int) -> str:
    """Write mean ± standard deviation; the mean alone for one run."""
    mean, deviation = row[f"{name}_mean"], row[f"{name}_std"]
    if math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if math.isnan(deviation) else f"{mean:.{digits}f} ± {deviation:.{digits}f}"
