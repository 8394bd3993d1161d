"""The report of `summarize`: settings compared, a row per setting and per run, all curves of validation."""

from typing import Any

from cellflax.evaluation.report import roc_chart
from cellflax.io import results
from cellflax.pictures.comparison import comparison_figure
from cellflax.pictures.vector import vector_of
from cellflax.report.model import Chart, Drawing, Notice, PlotLine, Report, Table, View, Weight
from cellflax.report.origin import SIMULATED, facts_of, settings_table
from cellflax.summary.markdown import notes, title
from cellflax.summary.part_tables import part_table, pooled_roc
from cellflax.summary.scores_by_setting import compare
from cellflax.summary.tables import Summary, run_table, setting_table

_MOST_LINES = 60  # of runs in a chart; more are hard to distinguish
_METRICS = {"jaccard": "Jaccard index", "f1": "F1 at IoU 0.5", "loss": "loss"}


def summary_report(summary: Summary, settings: dict[str, Any]) -> Report:
    """The page of a summary.

    Args:
        summary: the runs by setting.
        settings: options of the command.
    """
    compared = compare(summary)
    svg, png = vector_of(comparison_figure(compared), "comparison")
    tested, roc = part_table(summary), pooled_roc(summary)
    scores = [float(run.validation.loc[run.best_step, compared.metric]) for run in summary.runs]
    best = (min if compared.metric == "loss" else max)(scores)
    return Report(
        command="summarize",
        title=title(summary).removeprefix("SIMULATED DATA: "),
        subtitle=f"{len(summary.runs)} runs in {len(summary.groups)} settings, {len(summary.skipped)} not counted",
        notices=(
            *((SIMULATED,) if summary.simulated else ()),
            *(Notice(note, Weight.warning) for note in notes(summary) if not note.startswith("Trained and validated")),
        ),
        headline=(
            ("settings", str(len(summary.groups))),
            ("runs", str(len(summary.runs))),
            (f"best {compared.metric}", f"{best:.3f}"),
            ("its run", summary.runs[scores.index(best)].directory.name),
        ),
        curves=(
            Drawing("Settings compared", "Scores of each setting's runs, and their validation losses.", svg, png),
            *_charts(summary),
            *([roc_chart(roc)] if roc else []),
        ),
        tables=(
            Table.of("Settings", setting_table(summary), results.SETTINGS_TABLE, whole=results.SETTINGS_TABLE),
            *([] if tested.empty else [Table.of("Test parts", tested, results.TESTED_TABLE)]),
            Table.of("Runs", run_table(summary).astype(object), results.RUNS_TABLE, whole=results.RUNS_TABLE),
            settings_table(settings),
        ),
        facts=facts_of(
            "summarize",
            simulated=summary.simulated,
            data=[("data", "; ".join(sorted({run.source for run in summary.runs})))],
        ),
    )


def _charts(summary: Summary) -> list[Chart]:
    """Validation metrics of the runs by step and by minute, as far as steps take equal times; a colour per setting."""
    charts = []
    for name, words in _METRICS.items():
        by_step, by_minute = [], []
        for style, group in enumerate(summary.groups):
            for number, run in enumerate(run for run in group.runs if name in run.validation):
                step, values = run.validation.index.to_numpy(), run.validation[name].to_numpy()
                by_step.append(PlotLine(group.label, step, values, style, number == 0))
                by_minute.append(PlotLine(group.label, step * run.minutes / run.steps, values, style, number == 0))
        left_out = "" if len(by_step) <= _MOST_LINES else f" The first {_MOST_LINES} of {len(by_step)}."
        text = f"One line per run, a colour per setting.{left_out}"
        by_step, by_minute = by_step[:_MOST_LINES], by_minute[:_MOST_LINES]
        views = View("by step", "step", tuple(by_step)), View("by minute", "minute (mean pace)", tuple(by_minute))
        if by_step:
            charts.append(Chart(f"Validation: {words}", text, words, views))
    return charts
