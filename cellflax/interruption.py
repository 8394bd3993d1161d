"""Ctrl-C and SIGTERM end every command in one line."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: what holds for Ctrl-C holds for it."""


@contextmanager
def ending_in_one_line() -> Iterator[None]:
    """End the program in one line after Ctrl-C (status 130) or SIGTERM (status 143), where it stops.

    Who handles SIGTERM already, or ignores it, keeps doing so.
    """
    handles = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if handles:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        ended = isinstance(error, Terminated)
        print("error: ended by SIGTERM" if ended else "error: interrupted", file=sys.stderr)
        sys.exit(128 + (signal.SIGTERM if ended else signal.SIGINT))
    finally:
        if handles:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
