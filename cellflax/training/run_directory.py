"""Run directories that are named by the time."""

import itertools
from pathlib import Path

from cellflax.training.checkpoint import DIRECTORY


def claim_run_directory(run: Path) -> Path:
    """Take a run directory that is named by the time, or one beside it if another training took it in that second.

    A directory is taken by making its folder of checkpoints: of several processes, one succeeds.

    Returns:
        `run`, or `<run>_2`, `<run>_3`, ...
    """
    try:
        (run / DIRECTORY).mkdir(parents=True)
        return run
    except FileExistsError:
        pass
    for number in itertools.count(2):
        other = run.with_name(f"{run.name}_{number}")
        try:
            other.mkdir()
        except FileExistsError:
            continue
        (other / DIRECTORY).mkdir()
        return other
    raise AssertionError("numbers do not end")


def run_of_checkpoint(path: Path) -> Path:
    """The run directory of a checkpoint, RUN/checkpoints/STEP; of one that was copied alone, the folder it is in."""
    return path.parent.parent if path.parent.name == DIRECTORY else path.parent
