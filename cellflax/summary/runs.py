"""Find and read the run directories of `cellflax.train`, and sort them into finished ones and others."""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.glob_paths import glob_paths
from cellflax.jsonfile import parse_json
from cellflax.summary.part import PartSummary, read_part
from cellflax.summary.stored import read_object, stored_value
from cellflax.wholefile import read_utf8

_PREFIX = "validation_"
_FINAL = "final_"  # of the best checkpoint on all held-out regions, where validations saw a sample of them
_MOST_LOG_BYTES = 1 << 28


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended normally: all steps were done, its time was over, or it stopped improving.

    Attributes:
        directory: where it is.
        config: content of `config.json`.
        name: name of the experiment.
        seed: first seed.
        source: what it was trained on, in one line.
        simulated: whether these data were simulated.
        monitor: metric in which its best checkpoint is best.
        finished: when it ended, ISO 8601 in UTC.
        reason: why it ended.
        steps: updates done.
        minutes: time spent on the updates.
        best_step: step of the best checkpoint.
        validation: validation metrics without their prefix (columns) by step (index); those of the best step are of
            all held-out regions, even where the others are of a sample.
        fold: part of a cross-validation that it was tested on, if it belongs to one.
        folds: number of parts of the cross-validation.
        tested: scores of its test part, if it has them.
    """

    directory: Path
    config: dict[str, Any]
    name: str
    seed: int
    source: str
    simulated: bool
    monitor: str
    finished: str
    reason: str
    steps: int
    minutes: float
    best_step: int
    validation: pd.DataFrame
    fold: int | None = None
    folds: int | None = None
    tested: PartSummary | None = None


@dataclass(frozen=True)
class SkippedRun:
    """A run that is not counted.

    Attributes:
        directory: where it is.
        status: failed (nothing was trained), unfinished, unreadable or repeated.
        reason: why it is not counted, in words.
    """

    directory: Path
    status: str
    reason: str


def find_runs(places: Iterable[str]) -> list[Path]:
    """Find the run directories at and below directories or patterns, in natural order (2 before 10).

    A run has a `config.json`. A job of a sweep (beside `multirun.yaml`) counts even without one: it failed
    before it could write it.

    Raises:
        UserError: if a place does not exist, or holds no run.
    """
    found: set[Path] = set()
    for place in places:
        roots = [Path(place)] if Path(place).is_dir() else glob_paths(place)
        runs = [run for root in roots for run in _runs_below(root)]
        if not runs:
            what = f"holds no run (a directory with {results.CONFIG})" if roots else "does not exist"
            raise UserError(f"runs: {place} {what}; give a directory that contains runs, or a pattern")
        found.update(runs)
    return sorted(found, key=_natural)


def read_run(directory: Path) -> FinishedRun | SkippedRun:
    """Read one run; one that cannot be read is skipped with the reason."""
    try:
        if not (directory / results.CONFIG).exists():
            return SkippedRun(directory, "failed", f"stopped before training: no {results.CONFIG}")
        config = read_object(directory / results.CONFIG)
        if (directory / results.SUMMARY).exists():
            summary = read_object(directory / results.SUMMARY)
            if stored_value(summary, "training", dict, results.SUMMARY).get("reason") is not None:
                return _finished(directory, config, summary)
        planned = stored_value(config, "trainer.steps", (int, NoneType), results.CONFIG)  # null: by time
        of_all = "" if planned is None else f" of {planned}"
        return SkippedRun(directory, "unfinished", f"{_last_step(directory)}{of_all} steps")
    except UserError as error:
        return SkippedRun(directory, "unreadable", str(error))


def _runs_below(root: Path) -> Iterable[Path]:
    for place, folders, files in os.walk(root):
        if results.CONFIG in files:
            folders.clear()  # what is in a run belongs to it
            yield Path(place).resolve()
            continue
        folders[:] = [folder for folder in folders if not folder.startswith(".")]  # messages of a sweep's launcher
        if "multirun.yaml" in files:
            for folder in folders:
                if not (Path(place) / folder / results.CONFIG).exists():
                    yield (Path(place) / folder).resolve()


def _natural(path: Path) -> list[list[tuple[int, int | str]]]:
    """Sort key that compares the runs of digits in a path's parts as numbers."""
    words = [re.findall(r"\d+|\D+", part) for part in path.parts]
    return [[(0, int(word)) if word.isdecimal() else (1, word) for word in part] for part in words]


def _finished(directory: Path, config: dict[str, Any], summary: dict[str, Any]) -> FinishedRun:
    def stored(key: str, kind: type | tuple[type, ...]) -> Any:
        return stored_value(summary, key, kind, results.SUMMARY)

    validation, final = _validation(directory / results.METRICS_LOG)
    best, last = stored("training.best_step", int), stored("training.validated_step", int)
    for name in ("jaccard", "loss"):
        if name not in validation:
            raise UserError(f"{results.METRICS_LOG} has no {_PREFIX}{name}")
    for step in (best, last):
        if step not in validation.index:
            raise UserError(f"{results.METRICS_LOG} has no validation at step {step}, which {results.SUMMARY} names")
    for name, value in final.items():
        validation.loc[best, name] = value
    return FinishedRun(
        directory=directory,
        config=config,
        name=stored("name", str),
        seed=stored_value(config, "seed", int, results.CONFIG),
        source=stored("data.source", str),
        simulated=stored("data.simulated", bool),
        monitor=stored("monitor", str),
        finished=stored("finished", str),
        reason=stored("training.reason", str),
        steps=last,
        minutes=stored("training.elapsed_s", (int, float)) / 60,
        best_step=best,
        validation=validation,
        fold=stored_value(config, "data.fold", (int, NoneType), results.CONFIG),
        folds=stored_value(config, "data.folds", (int, NoneType), results.CONFIG),
        tested=read_part(directory),
    )


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        text = read_utf8(path, "train again", _MOST_LOG_BYTES)
    except UserError as error:
        raise UserError(f"{path.name} cannot be read ({error})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            content = parse_json(line)
        except ValueError as error:
            raise UserError(f"{path.name}, line {number} is not JSON") from error
        values = content.values() if isinstance(content, dict) else [None]
        numbers = all(
            value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values
        )
        if not isinstance(content, dict) or not isinstance(content.get("step"), int) or not numbers:
            raise UserError(f"{path.name}, line {number} is not a step with numbers")
        yield content


def _validation(path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Validation metrics by step, and those of the best checkpoint on all regions, if there are such."""
    rows, final = {}, {}
    for line in _lines(path):
        if metrics := _metrics(line, _PREFIX):
            rows[line["step"]] = metrics
        final = _metrics(line, _FINAL) or final
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("step").sort_index(), final


def _metrics(line: dict[str, Any], prefix: str) -> dict[str, float]:
    """Metrics with a prefix, without it; null, which stands for a value that is not finite, becomes NaN."""
    found = {key.removeprefix(prefix): value for key, value in line.items() if key.startswith(prefix)}
    return {key: math.nan if value is None else float(value) for key, value in found.items()}


def _last_step(directory: Path) -> int:
    """The last step that an unfinished run recorded; its last line may be incomplete."""
    last, path = 0, directory / results.METRICS_LOG
    if path.exists():
        try:
            for line in _lines(path):
                last = line["step"]
        except UserError:
            pass
    return last
