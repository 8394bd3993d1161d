"""Timing and tables that the benchmarks share."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import jax

from cellflax.device import set_up_jax
from cellflax.huge_pages import TUNABLES, start_again_with_huge_pages

try:
    import torch
except ModuleNotFoundError:
    torch = None

NO_TORCH = "PyTorch is not installed here: its rows are left out (benchmarks/README.md says how to add it)."


@dataclass(frozen=True)
class Time:
    """Medians over the rounds.

    Attributes:
        wall_s: elapsed seconds.
        cpu_s: seconds of processor time, summed over threads; less disturbed by other programs.
    """

    wall_s: float
    cpu_s: float

    def scaled(self, factor: float) -> "Time":
        return Time(self.wall_s * factor, self.cpu_s * factor)

    def __add__(self, other: "Time") -> "Time":
        return Time(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def seconds(self) -> list[str]:
        """Cells of a table: seconds, core-seconds."""
        return [f"{self.wall_s:.3g}", f"{self.cpu_s:.3g}"]

    def row(self, ours: "Time") -> list[str]:
        """Cells of a table: seconds, core-seconds, and the ratio of each to that of `ours`."""
        ratios = (self.wall_s / ours.wall_s, self.cpu_s / ours.cpu_s)
        return [f"{self.wall_s:.4g}", f"{self.cpu_s:.4g}", *(f"{ratio:.2f}" for ratio in ratios)]


COLUMNS = ["seconds", "core-seconds", "ratio", "ratio of core-seconds"]


def start() -> None:
    """Take huge pages as commands do, give PyTorch the same cores as JAX, and print the machine that is measured."""
    start_again_with_huge_pages("benchmarks")
    line = f"{date.today()}; {set_up_jax()}; {TUNABLES}={os.environ.get(TUNABLES, '')}"
    if torch is not None:
        pinned = hasattr(os, "sched_getaffinity")  # Linux only
        torch.set_num_threads(len(os.sched_getaffinity(0)) if pinned else os.cpu_count() or 1)
        line += f"; PyTorch {torch.__version__}, {torch.get_num_threads()} threads"
    print(f"{line}; load average {os.getloadavg()[0]:.1f}", flush=True)


class Steps:
    """Does the next training step at every call, and keeps the loss of the first.

    Args:
        step: does one step and returns its loss, without the penalty.
    """

    def __init__(self, step: Callable[[], Any]):
        self._step = step
        self._first_loss: float | None = None

    @property
    def first_loss(self) -> float:
        assert self._first_loss is not None, "no step was done"
        return self._first_loss

    def __call__(self) -> Any:
        loss = self._step()
        if self._first_loss is None:
            self._first_loss = float(loss)
        return loss


def compare(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, Time]:
    """Time each of `runs` in turn, so that a temporary slowdown of the machine affects all of them.

    The first call of each compiles and is not counted.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for timed in [False] + rounds * [True]:
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(run())
            if timed:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Time(*map(statistics.median, zip(*pairs, strict=True))) for name, pairs in times.items()}


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    print("", *("| " + " | ".join(row) + " |" for row in [header, len(header) * ["---"], *rows]), sep="\n", flush=True)
