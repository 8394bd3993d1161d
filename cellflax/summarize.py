"""Summarise many runs in one table and one figure.

    cellflax summarize RUNS... output=DIR
    cellflax summarize runs/hela_cyto_patch_net_l2 output=l2

RUNS are directories, or patterns of directories, that `cellflax.train` wrote: single runs or whole sweeps. Writes
`summary.csv` and `summary.md` (a row per setting: mean and standard deviation over seeds, and over the folds of a
cross-validation), `runs.csv` (a row per run, including those not counted), `summary.png` and `report.html`. If runs
have a test part, also writes `tested.csv` (a row per setting and data set) and `roc.png` (the pixels of all test
parts). Only the run directories are needed.
"""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import cellflax
from cellflax.config import entry, to_json
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.result_set import result_set
from cellflax.io.tables import write_table
from cellflax.pictures.comparison import comparison_figure
from cellflax.pictures.curves import roc_figure
from cellflax.pictures.png import save_png
from cellflax.progress import say, show
from cellflax.report.page import save_report
from cellflax.summary.markdown import markdown, notes, title
from cellflax.summary.part_tables import part_table, pooled_roc
from cellflax.summary.report import summary_report
from cellflax.summary.runs import FinishedRun, SkippedRun, find_runs, read_run
from cellflax.summary.scores_by_setting import compare
from cellflax.summary.tables import Summary, group_runs, run_table, setting_table

_FILES = (
    *(results.SETTINGS_TABLE, results.SETTINGS_PAGE, results.SETTINGS_FIGURE, results.RUNS_TABLE),
    *(results.TESTED_TABLE, results.ROC_FIGURE),
)


@dataclass
class SummarizeConfig:
    """Options of `cellflax.summarize`.

    Attributes:
        runs: directories or patterns; on the command line, `runs=` may be omitted.
        output: directory for the results.
        overwrite: whether to replace the results of an earlier summary in `output`; other files there stay. With
            false they are refused.
    """

    runs: list[str] = field(default_factory=list)
    output: str = "summary"
    overwrite: bool = True


@entry("summarize", SummarizeConfig, positional="runs")
def main(config: SummarizeConfig) -> None:
    """Summarise runs."""
    summary = summarize(config)
    for note in notes(summary):
        show(f"note: {note}")
    print(f"{len(summary.runs)} runs in {len(summary.groups)} settings, {len(summary.skipped)} not counted")
    print(f"results: {config.output}")


def summarize(config: SummarizeConfig) -> Summary:
    """Read the runs, group them over seeds and folds, write the results, and return what they show.

    Raises:
        UserError: if no run is given or finished, or runs on simulated and on real data are mixed.
    """
    if not config.runs:
        raise UserError("no runs given: name directories, as in python -m cellflax.summarize runs/hela_cyto")
    read = [read_run(directory) for directory in find_runs(config.runs)]
    finished = [run for run in read if isinstance(run, FinishedRun)]
    for run in read:
        if isinstance(run, SkippedRun):
            say(f"not counted: {run.status}: {run.directory} ({run.reason})")
    if not finished:
        raise UserError(f"none of {len(read)} runs is finished; finish one by its own command with run=DIRECTORY")
    _check_simulated(finished)
    summary = group_runs(finished, [run for run in read if isinstance(run, SkippedRun)])

    with result_set(config.output, config.overwrite, _FILES, command="summarize") as found:
        write_table(found.folder / results.SETTINGS_TABLE, setting_table(summary))
        write_table(found.folder / results.RUNS_TABLE, run_table(summary))
        (found.folder / results.SETTINGS_PAGE).write_text(markdown(summary), encoding="utf-8")
        save_png(comparison_figure(compare(summary)), found.folder / results.SETTINGS_FIGURE)
        _write_tested(summary, found.folder)
        settings = to_json(config)
        save_report(found.report(), lambda: summary_report(summary, settings))
        found.publish({"cellflax": cellflax.__version__, "settings": settings})
    return summary


def _write_tested(summary: Summary, output: Path) -> None:
    """Write the test scores, where there are some."""
    table, curves = part_table(summary), pooled_roc(summary)
    if not table.empty:
        write_table(output / results.TESTED_TABLE, table)
    if curves:
        figure = roc_figure(curves)
        figure.suptitle(textwrap.fill(title(summary), 60), color="red" if summary.simulated else "black")
        save_png(figure, output / results.ROC_FIGURE)


def _check_simulated(runs: list[FinishedRun]) -> None:
    by_kind = {run.simulated: run for run in runs}
    if len(by_kind) > 1:
        raise UserError(
            f"{by_kind[True].directory} was trained on simulated images and {by_kind[False].directory} on real ones; "
            "summarise them separately"
        )


if __name__ == "__main__":
    main()
