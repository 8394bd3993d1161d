"""Train on corrections in a process of its own, so that napari stays responsive and the training can be stopped."""

import re
import subprocess
import sys
from collections.abc import Generator
from datetime import datetime
from pathlib import Path

from cellflax.correction.continuing import train_words
from cellflax.errors import UserError
from cellflax.io.corrections import read_correction

_KEPT = 5  # last lines of a training that failed


def retrain_command(folder: Path, old: str, start: str, minutes: float, run: Path) -> list[str]:
    """The command that trains on the corrections.

    Args:
        folder: what `cellflax correct` wrote.
        old: folder of the images that the network knows; empty for none.
        start: checkpoint to start from; empty for none.
        minutes: time for the training.
        run: directory of the run.

    Raises:
        UserError: if the folder is no such folder.
    """
    found = read_correction(folder)
    if found is None:
        raise UserError(f"{folder}: not a folder that cellflax correct wrote")
    options = {key: value for key, value in found.training.items() if key in ("data.channels", "data.annotation")}
    options |= {"data.root": old} if old else {}
    options |= {"start_from": start} if start else {}
    words = [*train_words(folder, options), f"trainer.max_minutes={minutes:g}", f"run={run}"]
    return [sys.executable, "-P", "-m", "cellflax", "train", *words]  # -P: no module of the current folder


def new_run(folder: Path) -> Path:
    """A directory beside the corrections that no run has."""
    return folder.with_name(f"{folder.name}_runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


def follow(command: list[str]) -> Generator[str, None, str]:
    """Run a training; yields its lines, and returns the directory of the run.

    Raises:
        UserError: with its last line, if it fails.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines: list[str] = []
        try:
            for line in process.stdout or ():
                lines = [*lines, line.rstrip()][-_KEPT:]
                yield lines[-1]
        finally:
            if process.poll() is None:
                process.terminate()  # as Ctrl-C: the training saves before it ends
    if process.returncode:
        raise UserError(next((line for line in reversed(lines) if line.startswith("error: ")), "\n".join(lines)))
    last = next((line for line in reversed(lines) if line.startswith("run: ")), "")
    return re.sub("^run: ", "", last)
