"""What Orbax is cleaned of where the system does not let it read or write."""

import gc
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import jax

_ABANDONED_S = 0.2
# Orbax puts the system's errors into texts of its own.
_SYSTEM_ERROR = re.compile(r"os_error_code='(\d+)'")


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
    """End what Orbax leaves running after an error that is handled.

    It closes the event loop under its other reads or writes, which print errors as they end. Of those that never
    began, Python would warn, at the latest when the command ends, after the line that says what happened.
    """
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    if jax.process_count() == 1:
        _release_waiting_threads()
    time.sleep(_ABANDONED_S)
    gc.collect()


def _release_waiting_threads() -> None:
    """Cancel the parts of a save that wait for folders which were not made.

    They would wait for five minutes, and the end of the program for them. Orbax has no public way to end them; where
    another version names things differently, nothing happens here.
    """
    waiting = [thread for thread in threading.enumerate() if type(thread).__module__.startswith("orbax.")]
    for thread in waiting:
        with suppress(Exception):
            thread.cancel()  # pyright: ignore[reportAttributeAccessIssue]
    for thread in waiting:
        with suppress(Exception):
            signals, operation = thread._receive_signals, thread._operation_id  # pyright: ignore[reportAttributeAccessIssue]
            sys.modules[type(thread).__module__].set_signals(signals, operation_id=operation)
