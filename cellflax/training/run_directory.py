"""Run directories: names by the time, and one process at a time."""

import errno
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellflax.atomic import output_directory, remove_leftovers
from cellflax.directory_lock import directory_lock
from cellflax.errors import OutputError
from cellflax.io import results
from cellflax.training.record import DIRECTORY

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def holding_run(run: Path, command: str, key: str = "run") -> Iterator[None]:
    """Be the only process that writes to a run directory, and remove what one that was killed left half written.

    Args:
        run: the directory, which is made if need be.
        command: the command that writes, such as "train".
        key: the argument's name, for errors.

    Raises:
        UserError: if another process holds it, or it cannot be written to.
        OutputError: if the disk is full; what is complete stays.
    """
    with directory_lock(output_directory(run, key), command, key):
        for folder in (run, *(run / DIRECTORY).glob("*"), *(run / results.PLAN).glob("**")):
            remove_leftovers(folder)
        try:
            yield
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise OutputError(
                f"{error.filename or run}: cannot be written ({error.strerror}); make room, and run the same command "
                f"again with {key}={run}"
            ) from error


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
