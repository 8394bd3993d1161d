"""One training as a process that something happens to, and what its run directory must hold afterwards."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.commands import (
    REPOSITORY,
    TINY_NETWORK,
    Result,
    arrays_of,
    assert_same_arrays,
    checkpoint_steps,
    heeding_rights,
    metrics_of,
    record_of,
)

STEPS = 240
SETTINGS = (
    *TINY_NETWORK,
    "trainer.devices=1",
    f"trainer.steps={STEPS}",
    "trainer.validate_every=12",
    "trainer.log_every=6",
    "logger.wandb=disabled",
)
_TIMEOUT_S = 900
_TIMES = ("elapsed_s", "validation_s", "pixel_s", "timeline")  # of a training, in the records of its checkpoints


class Wrong(AssertionError):
    """The training did something that it must not."""


@dataclass
class Running:
    """A training in a process of its own.

    Attributes:
        run: its directory.
        process: the process, which leads a group, as in a terminal.
    """

    run: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, run: Path, *settings: str) -> "Running":
        command = [*heeding_rights(), sys.executable, "-m", "cellflax.train", *SETTINGS, *settings, f"run={run}"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return cls(run, subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes))  # pyright: ignore[reportCallIssue, reportArgumentType]

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """As Ctrl-C in a terminal, to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def finish(self) -> Result:
        """Wait for the end."""
        with self:
            out, err = self.process.communicate(timeout=_TIMEOUT_S)
        return Result(self.process.returncode, out, err)

    def wait(self, rng: random.Random, moment: str, start_s: float) -> bool:
        """Wait for a random moment: while it starts, as it runs, or as it writes a checkpoint.

        Args:
            rng: chooses the moment.
            moment: "starting", "running" or "saving".
            start_s: how long a start takes.

        Returns:
            Whether it still runs.
        """
        while self.process.poll() is None and not _handles_signals(self.process.pid):
            time.sleep(0.005)
        if moment == "starting":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(rng.uniform(0, start_s))
        elif moment == "running":
            count = rng.randint(1, 8)
            self._poll(lambda before: _size(self.run / "metrics.jsonl") > before, count)
            time.sleep(rng.uniform(0, 0.05))
        else:
            for last in reversed(range(rng.randint(1, 3))):
                self._poll(lambda _: _is_saving(self.run), 1)
                if last:
                    self._poll(lambda _: not _is_saving(self.run), 1)
            time.sleep(rng.choice([0, rng.uniform(0, 0.02), rng.uniform(0, 0.1)]))
        return self.process.poll() is None

    def _poll(self, happened, times: int) -> None:
        pause = 0.005
        for _ in range(times):
            before = _size(self.run / "metrics.jsonl")
            while not happened(before) and self.process.poll() is None:
                time.sleep(pause)
            pause = 0.0005


def _handles_signals(pid: int) -> bool:
    """Whether SIGTERM is handled: before Python has begun to import cellflax, nobody can say why it ends."""
    if not Path("/proc/self/status").exists():  # not Linux: nobody tells
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = int(re.findall(r"SigCgt:\s*([0-9a-f]+)", status)[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_saving(run: Path) -> bool:
    try:
        names = os.listdir(run / "checkpoints")
    except FileNotFoundError:
        return False
    return any(not name.isdigit() for name in names)


# --- what must hold ---


def newest(run: Path) -> int:
    """The newest complete checkpoint, 0 if there is none."""
    return max((int(path.name) for path in _complete(run)), default=0)


def _complete(run: Path) -> list[Path]:
    folders = (run / "checkpoints").glob("[0-9]*")
    return [path for path in folders if path.name.isdigit() and (path / "_CHECKPOINT_METADATA").exists()]


def require_whole_checkpoints(run: Path) -> None:
    """What looks like a checkpoint is one: all its arrays are there, with the checksums that its record has."""
    for path in _complete(run):
        record = record_of(run, int(path.name))
        found = {
            name: zlib.crc32(np.ascontiguousarray(values)) for name, values in arrays_of(run, int(path.name)).items()
        }
        if found != record["crc32"]:
            raise Wrong(f"{path} is not whole")


def require_one_line(result: Result, run: Path) -> None:
    """An end that is not regular is told in one line: an error that names something of the run, or what stopped it."""
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    if "Traceback" in result.err or len(lines) > 1:
        raise Wrong(f"status {result.status}, {len(lines)} error lines: {result.err[-500:]}")
    if result.status == 1 and not (lines and str(run) in lines[0] and result.err.endswith(lines[0] + "\n")):
        raise Wrong(f"an end without a line that names something in {run}: {result.err[-1000:]}")


def require_same_training(run: Path, whole: Path, log_was_damaged: bool = False) -> None:
    """A training that was ended and resumed ended bit for bit where one did that was left alone.

    Args:
        run: the one that was ended.
        whole: the one that was left alone.
        log_was_damaged: whether lines of metrics.jsonl can be missing.
    """
    try:
        assert checkpoint_steps(run) == checkpoint_steps(whole)
        for step in checkpoint_steps(whole):
            assert_same_arrays(arrays_of(run, step), arrays_of(whole, step))
            assert _without_times(record_of(run, step)) == _without_times(record_of(whole, step))
        (training, validation), (all_training, all_validation) = by_kind(run), by_kind(whole)
        steps = [line["step"] for line in training]
        assert steps == sorted(set(steps))
        if log_was_damaged:
            assert validation == [line for line in all_validation if line in validation]
        else:
            assert validation == all_validation
            assert {line["step"] for line in all_training} <= set(steps)
    except AssertionError as error:
        raise Wrong(f"{run} differs from a training that was left alone: {error}") from error
    left = [path for path in run.rglob("*") if path.name.startswith(".") or path.name.endswith((".tmp", ".lock"))]
    if left:
        raise Wrong(f"left behind: {left}")


def _without_times(record: dict) -> dict:
    training = {key: value for key, value in record["training"].items() if key not in _TIMES}
    return {**record, "training": training, "record_crc32": None}


def by_kind(run: Path) -> tuple[list[dict], list[dict]]:
    """Lines of metrics.jsonl of training, and of validation."""
    lines = metrics_of(run)
    return [line for line in lines if "train_loss" in line], [line for line in lines if "validation_loss" in line]


def spoil_last(run: Path, rng: random.Random) -> Path | None:
    """Cut off what was written last at a random place, or fill it with NUL, as a disk does that lost its power."""
    files = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size]
    if not files:
        return None
    newest_first = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    path = rng.choice(newest_first[:3])
    size = path.stat().st_size
    if rng.random() < 0.3:
        path.write_bytes(bytes(size))
    else:
        os.truncate(path, rng.choice([0, rng.randrange(size)]))
    return path


def follow_remedy(result: Result) -> bool:
    """Remove what the line of an error says is damaged, as it says; False if it says nothing of the kind."""
    line = result.err.splitlines()[-1] if result.err else ""
    found = re.search(r"checkpoint (\S+) is damaged.*remove that folder", line)
    if found is None:
        return False
    shutil.rmtree(found[1])
    return True


def owner_named(result: Result, running: Running) -> bool:
    """Whether the line of a refusal names the process that holds the run directory."""
    lines = [json.dumps(line) for line in result.err.splitlines() if line.startswith("error: ")]
    return len(lines) == 1 and f"process {running.process.pid} on {os.uname().nodename} is writing there" in lines[0]
