"""Scores of test parts over the runs of a summary: by data set (Al-Kofahi 2018, Tables 3 to 5), and the pooled ROC."""

from collections.abc import Iterator, Sequence
from itertools import chain

import pandas as pd

from cellflax.evaluation.part_scores import add_roc, read_roc
from cellflax.metrics.roc import RocCounts
from cellflax.summary.part import PartSummary
from cellflax.summary.runs import FinishedRun
from cellflax.summary.tables import Group, Summary

ALL = "all data sets"
_COUNTS = ("images", "n_reference", "n_predicted")


def part_table(summary: Summary) -> pd.DataFrame:
    """One row per setting and data set, and one per setting for all data sets together, if there are several.

    `n` is the number of runs. `images` and `cells` count what they were tested on, each image once. `<metric>_mean`
    and `<metric>_std` are over the runs, whose test parts differ in a cross-validation. Only settings with test scores
    have rows.
    """
    metrics = part_metrics(summary)
    rows = []
    for group in summary.groups:
        tested = [run.tested for run in group.runs if run.tested is not None]
        data_sets: list[str | None] = list(dict.fromkeys(chain.from_iterable(part.data_sets for part in tested)))
        for data_set in data_sets if len(data_sets) < 2 else [*data_sets, None]:
            scores = pd.DataFrame([m for part in tested if (m := _metrics(part, data_set)) is not None])
            cells = dict(chain.from_iterable(_cells(part, data_set) for part in tested))
            row = dict(zip(summary.keys, group.values, strict=True))
            row |= {"data_set": data_set or ALL, "n": len(scores), "images": len(cells), "cells": sum(cells.values())}
            for name in metrics:
                column = scores[name] if name in scores else pd.Series([float("nan")])
                row |= {f"{name}_mean": column.mean(skipna=False), f"{name}_std": column.std(skipna=False)}
            rows.append(row)
    return pd.DataFrame(rows)


def part_metrics(summary: Summary) -> list[str]:
    """Test metrics that any of the runs has."""
    names = dict.fromkeys(chain.from_iterable(run.tested.pooled for run in summary.runs if run.tested is not None))
    return [name for name in names if name not in _COUNTS]


def pooled_roc(summary: Summary) -> dict[str, RocCounts]:
    """Counts over the pixels of all test parts of a setting, by target; names include the setting if several have any.

    Raises:
        UserError: if a run's counts cannot be read.
    """
    groups = [(group, _roc(group)) for group in summary.groups]
    several = sum(bool(curves) for _, curves in groups) > 1
    return {
        f"{group.label}: {target}" if several else target: counts
        for group, curves in groups
        for target, counts in curves.items()
        if counts.is_defined
    }


def part_notes(summary: Summary) -> Iterator[str]:
    """What a reader must know about the test scores, one sentence each."""
    for group in summary.groups:
        folds, found = group.runs[0].folds, {run.fold for run in group.runs}
        if folds is not None and len(found) < folds:
            yield f"{group.label}: {len(found)} of {folds} folds; the others are missing from every mean."
    untested = [run for run in summary.runs if run.tested is None and (run.fold is not None or _test_sets(run))]
    if untested:
        yield (
            f"Not tested: {', '.join(run.directory.name for run in untested)}; python -m cellflax.validate part=test "
            "tests a run."
        )
    if any(run.tested is not None and run.tested.refine != run.config.get("refine") for run in summary.runs):
        yield "Some runs were tested with another refinement than that of their training configuration."


def _test_sets(run: FinishedRun) -> bool:
    data = run.config.get("data")
    return isinstance(data, dict) and bool(data.get("test_sets"))


def _roc(group: Group) -> dict[str, RocCounts]:
    total: dict[str, RocCounts] = {}
    for run in group.runs:
        if run.tested is not None:
            total = add_roc(total, read_roc(run.directory))
    return total


def _metrics(part: PartSummary, data_set: str | None) -> dict[str, float] | None:
    """Metrics of a data set, None if the part has none of its images; `data_set` None stands for all images."""
    return part.pooled if data_set is None else part.data_sets.get(data_set)


def _cells(part: PartSummary, data_set: str | None) -> Sequence[tuple[str, int]]:
    """Reference cells of a data set's images."""
    return [(name, cells) for name, (origin, cells) in part.images.items() if data_set in (None, origin)]
