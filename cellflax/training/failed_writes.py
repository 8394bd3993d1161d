"""What Orbax is kept from and cleaned of where the system does not let it read or write."""

import errno
import gc
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ABANDONED_S = 0.2
# Orbax puts the system's errors into texts of its own.
_SYSTEM_ERROR = re.compile(r"os_error_code='(\d+)'")


def require_folders(directory: Path, prefix: str) -> None:
    """Require that folders can be made in a directory.

    If Orbax cannot make its folder, its threads wait for it for minutes, and so does the end of the program.

    Args:
        directory: where Orbax will make one.
        prefix: begins the name of the folder that is made to try it, and removed.

    Raises:
        OSError: if it cannot be made.
    """
    try:
        Path(tempfile.mkdtemp(prefix=prefix, dir=directory)).rmdir()
    except FileExistsError as error:  # so tempfile ends after many tries, on some systems without the right to write
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory)) from error


def system_error_of(error: Exception) -> str | None:
    """Why the system did not let something be written; None of any other error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    code = _SYSTEM_ERROR.search(str(error))
    return None if code is None else os.strerror(int(code[1]))


@contextmanager
def without_unraisable() -> Iterator[None]:
    """Suppress what Orbax prints besides what it raises."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def end_abandoned_work() -> None:
    """Wait for what Orbax leaves running after an error that is handled.

    It closes the event loop under its other reads or writes, which print errors as they end. Of those that never
    began, Python would warn, at the latest when the command ends, after the line that says what happened.
    """
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    time.sleep(_ABANDONED_S)
    gc.collect()
