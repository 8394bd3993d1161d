"""Everything that is worth knowing about a GPU, in one call: training, dense inference, agreement with the CPU, stages.

python -m benchmarks.gpu [--budget 540] [--runs DIR] [--rehearsal]

With `--runs`, the five sweeps of conf/sweep follow in the time that is left, at full length. The same folder again goes
on with them. What fails is a row that says why, and the exit status is 1. What there is no time for is a row, too.
Without a GPU, only a rehearsal on little ones is possible; its figures mean nothing.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from benchmarks import whole_cell
from benchmarks.flops import peak_tflops
from benchmarks.gpu_programs import NETWORKS, REHEARSAL, Inferences, Rate, Shapes, Trainings, experiment_of
from benchmarks.timing import NO_TORCH, print_table, start, torch
from cellflax.device import set_up_jax
from cellflax.jsonfile import read_json
from cellflax.training.config import Precision

SECTIONS = ("train", "dense", "parity", "stages", "sweeps")
# The most interesting first: the time may not be enough for all.
PRECISIONS = (Precision.bfloat16, Precision.tensorfloat32, Precision.float32)
# Each sweep and the experiment that it varies, as its YAML says.
SWEEPS = {
    **dict.fromkeys(("regularization", "l2", "shear", "receptive_field"), "hela_cyto_patch_net"),
    "normalization": "coculture",
}
# A program is not begun in the last seconds: compiling takes about that long.
RESERVE_S = 30.0
# Seconds that a training gets to save after SIGTERM.
GRACE_S = 20.0


class Rows:
    """A table whose rows are measured one by one until the time is over.

    Args:
        ends: moment, by `time.monotonic`, after which nothing is begun.
        header: names of the columns.
    """

    def __init__(self, ends: float, header: list[str]):
        self._ends, self._header = ends, header
        self._rows: list[list[str]] = []
        self.failed = 0

    def add(self, name: Iterable[str], measure: Callable[[], list[str]]) -> None:
        """Measure a row; if that fails, the row says why."""
        name = list(name)
        if time.monotonic() > self._ends:
            cells = ["not begun: no time left"]
        else:
            try:
                cells = measure()
            except Exception as error:
                traceback.print_exc()
                self.failed += 1
                cells = [f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"]
        row = [*name, *cells]
        self._rows.append([*row, *[""] * (len(self._header) - len(row))])
        print(" ".join(row), file=sys.stderr, flush=True)

    def print(self) -> int:
        """Print the table; returns the number of rows that failed."""
        print_table(self._header, self._rows)
        return self.failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=float, default=540, help="seconds for everything")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--precisions", nargs="+", choices=[p.name for p in PRECISIONS], help="by default all")
    parser.add_argument("--batch", type=int, help="crops in a training step")
    parser.add_argument("--runs", type=Path, help="folder of the sweeps' trainings; without it, no sweeps")
    parser.add_argument("--rehearsal", action="store_true", help="little arrays, on whatever device there is")
    options = parser.parse_args()
    ends = time.monotonic() + options.budget - RESERVE_S
    # PyTorch, and the trainings of sweeps, need memory beside this process.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    start()
    is_gpu = jax.default_backend() == "gpu"
    if not (is_gpu or options.rehearsal):
        parser.error("there is no GPU here; --rehearsal runs on little arrays on the CPU")
    if not is_gpu:
        print("A rehearsal on the CPU: the figures mean nothing.")
    if torch is None:
        print(NO_TORCH)
    shapes = REHEARSAL if options.rehearsal else Shapes()
    shapes = replace(shapes, batch=options.batch or shapes.batch)
    precisions = [p for p in PRECISIONS if options.precisions is None or p.name in options.precisions]
    cases = [(network, precision) for precision in precisions for network in options.networks]
    sections: dict[str, Callable[[], int]] = {
        "train": lambda: train(cases, shapes, ends),
        "dense": lambda: dense(cases, shapes, ends),
        "parity": lambda: parity(cases, shapes, ends),
        "stages": lambda: stages(shapes, ends, options.rehearsal),
        "sweeps": lambda: sweeps(options.runs, ends),
    }
    failed = sum(run() for name, run in sections.items() if name in options.sections)
    if failed:
        print(f"{failed} rows failed", file=sys.stderr)
        sys.exit(1)


RATES = ["images/s", "TFLOP/s", "share of peak", "PyTorch's time / this"]


def train(cases: list[tuple[str, Precision]], shapes: Shapes, ends: float) -> int:
    """Training steps; returns the number of rows that failed."""
    crops = f"training, {shapes.batch} x {shapes.crop} x {shapes.crop}"
    table = Rows(ends, [crops, "precision", "program", *RATES, "first loss"])
    several = f"cellflax, {shapes.together} steps in a call"
    for network, precision in cases:
        contender = Contenders(table, (network, precision.name), shapes)
        made: list[Trainings] = []  # at the first row, so that its failure is a row

        def trainings(network=network, precision=precision, made=made) -> Trainings:
            if not made:
                made.append(Trainings(network, precision, shapes))
            return made[0]

        if torch is not None:
            contender.add("PyTorch", lambda trainings=trainings: trainings().theirs(), _loss)
        contender.add("cellflax", lambda trainings=trainings: trainings().ours(), _loss)
        contender.add(several, lambda trainings=trainings: trainings().ours(shapes.together), _loss)
    return table.print()


def dense(cases: list[tuple[str, Precision]], shapes: Shapes, ends: float) -> int:
    """Dense inference, from an image to probabilities on the host; returns the number of rows that failed."""
    image = f"dense inference, {shapes.image} x {shapes.image}"
    table = Rows(ends, [image, "precision", "program", *RATES, "largest difference"])
    for network, precision in cases:
        contender = Contenders(table, (network, precision.name), shapes)
        first: list[np.ndarray] = []

        def difference(rate: Rate, first=first) -> str:
            first.append(rate.first)
            return f"{np.abs(rate.first - first[0]).max():.1e}" if len(first) > 1 else "-"

        case = network, precision, shapes
        if torch is not None:
            contender.add("PyTorch", lambda case=case: Inferences(*case).theirs(), difference)
        contender.add("cellflax", lambda case=case: Inferences(*case).ours(), difference)
    return table.print()


class Contenders:
    """Programs that do the same, PyTorch's first.

    Args:
        table: where their rows go.
        name: network and precision.
        shapes: for the peak.
    """

    def __init__(self, table: Rows, name: tuple[str, str], shapes: Shapes):
        self._table, self._name, self._shapes = table, name, shapes
        self._theirs: float | None = None

    def add(self, program: str, run: Callable[[], Rate], last: Callable[[Rate], str]) -> None:
        """A row; `last` makes its last cell."""

        def measure() -> list[str]:
            rate = run()
            peak, _ = peak_tflops(self._name[1], self._shapes.product)
            if program == "PyTorch":
                self._theirs = rate.images_s
            ratio = "-" if self._theirs is None else f"{rate.images_s / self._theirs:.2f}"
            return [f"{rate.images_s:.4g}", f"{rate.tflops:.3g}", f"{rate.tflops / peak:.1%}", ratio, last(rate)]

        self._table.add((*self._name, program), measure)


def _loss(rate: Rate) -> str:
    return "-" if rate.first is None else f"{rate.first:.6f}"


def parity(cases: list[tuple[str, Precision]], shapes: Shapes, ends: float) -> int:
    """Probabilities by this device against those of the CPU in float32; returns the number of rows that failed."""
    shapes = replace(shapes, image=min(shapes.image, 512))  # the CPU takes seconds for that
    table = Rows(ends, [f"{shapes.image} x {shapes.image}", "precision", "largest difference from the CPU in float32"])
    exact: dict[str, np.ndarray] = {}
    for network, precision in cases:

        def measure(network=network, precision=precision) -> list[str]:
            if network not in exact:
                exact[network] = Inferences(network, Precision.float32, shapes).on(jax.devices("cpu")[0])
            found = Inferences(network, precision, shapes).on(jax.devices()[0])
            return [f"{np.abs(found - exact[network]).max():.1e}"]

        table.add((network, precision.name), measure)
    return table.print()


def stages(shapes: Shapes, ends: float, rehearsal: bool) -> int:
    """The stages of `predict` on one image, which print a table of their own; returns the number that failed."""
    table = Rows(ends, ["stages of the pipeline", "precision", ""])
    for precision in (Precision.tensorfloat32,) if rehearsal else (Precision.tensorfloat32, Precision.bfloat16):

        def measure(precision=precision) -> list[str]:
            set_up_jax(precision.name)
            experiment = experiment_of("asymmetric U-Net (P3)", precision, shapes)
            size, rounds = (96, 1) if rehearsal else (2048, 3)
            whole_cell.time_stages(experiment, size, 0.65, rounds)
            return ["printed above"]

        table.add(("asymmetric U-Net (P3)", precision.name), measure)
    return table.print()


def sweeps(runs: Path | None, ends: float) -> int:
    """The sweeps of conf/sweep, as far as the time goes; returns the number that failed."""
    table = Rows(ends, ["sweep", "finished trainings", "best score", "data"])
    for sweep, experiment in SWEEPS.items():

        def measure(sweep=sweep, experiment=experiment) -> list[str]:
            if runs is None:
                return ["not asked for: --runs=DIR"]
            folder = runs / sweep
            words = ["train", "-m", f"+experiment={experiment}", f"+sweep={sweep}", f"run={folder}"]
            status = run_until([sys.executable, "-m", "cellflax", *words], ends)
            summaries = [read_json(path, "train again") for path in sorted(folder.glob("*/summary.json"))]
            done = [summary for summary in summaries if summary["training"]["reason"] is not None]
            if status is not None and status != 0:
                raise RuntimeError(f"status {status} after {len(done)} trainings")
            if not done:
                return ["0; the first was interrupted and goes on next time"]
            kind = "simulated" if any(summary["data"]["simulated"] for summary in done) else "as published"
            return [f"{len(done)}{'' if status == 0 else ' so far'}", f"{max(s['score'] for s in done):.3f}", kind]

        table.add((sweep,), measure)
    return table.print()


def run_until(command: list[str], ends: float) -> int | None:
    """Run a command; None if it was ended because the time is over."""
    process = subprocess.Popen(command, stdout=sys.stderr)
    try:
        return process.wait(max(ends - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # it saves, and goes on next time
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


if __name__ == "__main__":
    main()
