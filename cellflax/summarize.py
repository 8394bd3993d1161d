"""Summarise many runs in one table and one figure.

    cellflax summarize RUNS... output=DIR
    cellflax summarize runs/hela_cyto_patch_net_l2 output=l2

RUNS are directories, or patterns, at or below which `cellflax.train` wrote: a sweep, several, single runs. Writes
`summary.csv` and `summary.md` (a row per setting: mean and standard deviation over seeds, and over the folds of a
cross-validation), `runs.csv` (a row per run, those not counted too) and `summary.png`; where runs have a test part,
also `tested.csv`, a row per setting and data set, and `roc.png` with the pixels of all test parts. Nothing but the
run directories is needed.
"""

import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from cellflax.config import entry
from cellflax.errors import UserError
from cellflax.evaluation.figures import roc_figure
from cellflax.summary.figure import summary_figure
from cellflax.summary.markdown import markdown, notes, title
from cellflax.summary.part_tables import part_table, pooled_roc
from cellflax.summary.runs import FinishedRun, SkippedRun, find_runs, read_run
from cellflax.summary.tables import Summary, group_runs, run_table, setting_table


@dataclass
class SummarizeConfig:
    """Options of `cellflax.summarize`.

    Attributes:
        runs: directories or patterns; on the command line they may stand without `runs=`.
        output: directory for the results.
    """

    runs: list[str] = field(default_factory=list)
    output: str = "summary"


@entry("summarize", SummarizeConfig, positional="runs")
def main(config: SummarizeConfig) -> None:
    """Summarise runs."""
    summary = summarize(config)
    for note in notes(summary):
        print(f"note: {note}")
    print(f"{len(summary.runs)} runs in {len(summary.groups)} settings, {len(summary.skipped)} not counted")
    print(f"results: {config.output}")


def summarize(config: SummarizeConfig) -> Summary:
    """Read the runs, group them over seeds and folds, write the results, and return what they show.

    Raises:
        UserError: no run is given or finished, or some are of simulated data and some are not.
    """
    if not config.runs:
        raise UserError("no runs given: name directories, as in python -m cellflax.summarize runs/hela_cyto")
    read = [read_run(directory) for directory in find_runs(config.runs)]
    finished = [run for run in read if isinstance(run, FinishedRun)]
    for run in read:
        if isinstance(run, SkippedRun):
            print(f"not counted: {run.status}: {run.directory} ({run.reason})", file=sys.stderr)
    if not finished:
        raise UserError(f"none of {len(read)} runs is finished; its own command with run=DIRECTORY finishes one")
    _check_simulated(finished)
    summary = group_runs(finished, [run for run in read if isinstance(run, SkippedRun)])

    output = Path(config.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={output}: cannot make this directory ({error.strerror})") from error
    setting_table(summary).to_csv(output / "summary.csv", index=False)
    run_table(summary).to_csv(output / "runs.csv", index=False)
    (output / "summary.md").write_text(markdown(summary), encoding="utf-8")
    summary_figure(summary).savefig(output / "summary.png")
    _write_tested(summary, output)
    return summary


def _write_tested(summary: Summary, output: Path) -> None:
    """Write what the runs were tested by, or remove what another summary left."""
    table, curves = part_table(summary), pooled_roc(summary)
    for name in ("tested.csv", "roc.png"):
        (output / name).unlink(missing_ok=True)
    if not table.empty:
        table.to_csv(output / "tested.csv", index=False)
    if curves:
        figure = roc_figure(curves)
        figure.suptitle(textwrap.fill(title(summary), 60), color="red" if summary.simulated else "black")
        figure.savefig(output / "roc.png")


def _check_simulated(runs: list[FinishedRun]) -> None:
    by_kind = {run.simulated: run for run in runs}
    if len(by_kind) > 1:
        raise UserError(
            f"{by_kind[True].directory} was trained on simulated images and {by_kind[False].directory} on real ones; "
            "summarise them apart"
        )


if __name__ == "__main__":
    main()
