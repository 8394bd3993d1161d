"""Tables of runs and of settings, as data frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from cellflax.summary.runs import FinishedRun, SkippedRun
from cellflax.summary.settings import find_settings, in_order

_FIRST_METRICS = ("jaccard", "dice", "loss")  # the others follow by name


@dataclass(frozen=True)
class Group:
    """Runs of one setting, which differ only by seed and, in a cross-validation, by fold.

    Attributes:
        values: values of the summary's keys, as text.
        runs: the runs by ascending fold and seed.
    """

    values: tuple[str, ...]
    runs: tuple[FinishedRun, ...]

    @property
    def label(self) -> str:
        """The setting in a few words."""
        return ", ".join(self.values) or "all runs"


@dataclass(frozen=True)
class Summary:
    """Runs sorted into settings.

    Attributes:
        keys: configuration keys that distinguish the settings; none if there is one setting.
        along: keys that differ only along with those.
        groups: one for each setting, in the order of their values.
        skipped: runs that are not counted.
    """

    keys: tuple[str, ...]
    along: tuple[str, ...]
    groups: tuple[Group, ...]
    skipped: tuple[SkippedRun, ...]

    @property
    def runs(self) -> list[FinishedRun]:
        """All runs that are counted."""
        return [run for group in self.groups for run in group.runs]

    @property
    def cross_validated(self) -> bool:
        """Whether any of the runs belongs to a cross-validation."""
        return any(run.fold is not None for run in self.runs)

    @property
    def simulated(self) -> bool:
        """Whether the runs were trained on simulated data (all of them: `summarize` does not mix)."""
        return any(run.simulated for run in self.runs)


def group_runs(runs: Sequence[FinishedRun], skipped: Sequence[SkippedRun] = ()) -> Summary:
    """Group runs over seeds and folds.

    Among runs with the same setting, seed and fold, only the latest counts. Training is reproducible, so another copy
    would make the spread look smaller than it is.
    """
    settings = find_settings(runs)
    latest: dict[tuple[tuple[str, ...], int, int], FinishedRun] = {}
    repeated: list[SkippedRun] = []
    for values, run in sorted(zip(settings.values, runs, strict=True), key=lambda item: item[1].finished):
        key = values, -1 if run.fold is None else run.fold, run.seed
        if key in latest:
            same = "seed" if run.fold is None else "seed and fold"
            repeated.append(SkippedRun(latest[key].directory, "repeated", f"as {run.directory}, with the same {same}"))
        latest[key] = run
    groups: dict[tuple[str, ...], list[FinishedRun]] = {}
    for (values, *_), run in sorted(latest.items(), key=lambda item: item[0][1:]):
        groups.setdefault(values, []).append(run)
    return Summary(
        keys=settings.keys,
        along=settings.along,
        groups=tuple(
            Group(values, tuple(groups[values])) for values in sorted(groups, key=lambda v: [in_order(x) for x in v])
        ),
        skipped=(*skipped, *repeated),
    )


def metric_names(runs: Sequence[FinishedRun]) -> list[str]:
    """Validation metrics that any of the runs has."""
    names = {name for run in runs for name in run.validation.columns}
    first = [name for name in _FIRST_METRICS if name in names]
    return first + sorted(names.difference(first))


def run_table(summary: Summary) -> pd.DataFrame:
    """One row per run, counted or not: where, status, setting, seed, and its metrics at two steps.

    `best_<metric>` is at the best checkpoint, `last_<metric>` at the last step.
    """
    rows = []
    for group in summary.groups:
        for run in group.runs:
            rows.append(
                {"run": str(run.directory), "status": "finished", "reason": run.reason}
                | {"data": _data(run)}
                | dict(zip(summary.keys, group.values, strict=True))
                | ({"fold": run.fold} if summary.cross_validated else {})
                | {"seed": run.seed, "steps": run.steps, "minutes": run.minutes, "best_step": run.best_step}
                | _metrics(run)
            )
    rows += [{"run": str(s.directory), "status": s.status, "reason": s.reason} for s in summary.skipped]
    table = pd.DataFrame(rows)
    return table.astype({name: "Int64" for name in ("fold", "seed", "steps", "best_step") if name in table})


def setting_table(summary: Summary) -> pd.DataFrame:
    """One row per setting: mean and sample standard deviation over its runs (empty for a single one).

    A metric that is undefined in one run is undefined in the mean.
    """
    rows = []
    for group in summary.groups:
        steps = [run.steps for run in group.runs]
        row = {"data": _data(group.runs[0])} | dict(zip(summary.keys, group.values, strict=True))
        row |= {"n": len(group.runs), "seeds": _numbers(run.seed for run in group.runs)}
        if summary.cross_validated:
            row["folds"] = _numbers(run.fold for run in group.runs)
        row |= {"steps_min": min(steps), "steps_max": max(steps)}
        values = pd.DataFrame([{"minutes": run.minutes, **_metrics(run)} for run in group.runs])
        for name in ["minutes", *_columns(metric_names(summary.runs))]:
            column = values[name] if name in values else pd.Series([float("nan")])
            row |= {f"{name}_mean": column.mean(skipna=False), f"{name}_std": column.std(skipna=False)}
        rows.append(row)
    return pd.DataFrame(rows)


def _numbers(values: Iterable[int | None]) -> str:
    """Each number once, ascending."""
    return " ".join(map(str, sorted({value for value in values if value is not None})))


def _data(run: FinishedRun) -> str:
    return "SIMULATED" if run.simulated else "real"


def _columns(metrics: Sequence[str]) -> list[str]:
    return [f"{when}_{name}" for when in ("best", "last") for name in metrics]


def _metrics(run: FinishedRun) -> dict[str, float]:
    best, last = run.validation.loc[run.best_step], run.validation.loc[run.steps]
    names = metric_names([run])
    return dict(zip(_columns(names), [*best[names].tolist(), *last[names].tolist()], strict=True))
