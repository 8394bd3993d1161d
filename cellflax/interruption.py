"""Ctrl-C and SIGTERM end every command in one line."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

_USUAL: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_LINES: dict[int, str] = {signal.SIGINT: "error: interrupted", signal.SIGTERM: "error: ended by SIGTERM"}


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: what holds for Ctrl-C holds for it."""


@contextmanager
def ending_in_one_line() -> Iterator[None]:
    """End the program in one line after Ctrl-C (status 130) or SIGTERM (status 143), where it stops.

    Who handles SIGTERM already, or ignores it, keeps doing so.
    """
    is_main = threading.current_thread() is threading.main_thread()
    around = [number for number in _USUAL if is_main and signal.getsignal(number) is _end_at_once]
    for number in around:
        signal.signal(number, _USUAL[number])
    handles = is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if handles:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        print(_LINES[number], file=sys.stderr)
        sys.exit(128 + number)
    finally:
        if handles:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number in around:
            signal.signal(number, _end_at_once)


def end_at_once_around_commands() -> None:
    """Before and after `ending_in_one_line`, end the process at Ctrl-C or SIGTERM in the same line, with its status.

    `python -m cellflax.COMMAND` imports for seconds before its `main` begins, and Python takes a moment to end after
    it. Nothing of ours is open then.
    """
    if threading.current_thread() is threading.main_thread():
        for number, usual in _USUAL.items():
            if signal.getsignal(number) is usual:
                signal.signal(number, _end_at_once)


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"{_LINES[number]}\n".encode())  # a stream could be in the middle of writing
    os._exit(128 + number)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
