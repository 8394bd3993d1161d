"""What commands print while they run."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Self, TextIO

from tqdm import tqdm


def say(line: str) -> None:
    """Print a line to standard error at once; standard output is for results."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def closing_pipe_ends() -> Iterator[None]:
    """End the program quietly where the reader of its output stops reading, as `| head` does.

    The exit status is that of a program which SIGPIPE ends, 141.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # at exit, Python would report what it can no longer write
    except BrokenPipeError as error:
        end_if_pipe_closed(error)
        raise


def end_if_pipe_closed(error: BaseException) -> None:
    """Exit with status 141 if an error says that standard output or standard error has no reader any more."""
    if not isinstance(error, BrokenPipeError):
        return
    closed = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream)]
    for stream in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # takes what is still in the buffer
    if closed:
        sys.exit(128 + signal.SIGPIPE)


def _has_no_reader(stream: TextIO) -> bool:
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream in memory
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Progress:
    """How far a loop is, with its rate and the time left: a bar on a terminal, else a line now and then.

    Args:
        total: number of steps of the whole run.
        initial: steps done before (a resumed run).
        line_seconds: seconds between two lines where there is no terminal.
        stream: where to print; standard error by default.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self,
        total: int,
        initial: int = 0,
        line_seconds: float = 30.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._stream = stream or sys.stderr
        self._clock, self._line_seconds, self._total = clock, line_seconds, total
        self._first: tuple[int, float] | None = None
        self._last_line = clock()
        self._bar = (
            tqdm(total=total, initial=initial, file=self._stream, dynamic_ncols=True, unit="step")
            if self._stream.isatty()
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, step: int, text: str = "") -> None:
        """Say that `step` steps are done, with a short text (the loss)."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = self._clock()
        if self._first is None:
            self._first = (step, now)  # the first step compiles; the rate is that of the others
        if now - self._last_line >= self._line_seconds or step >= self._total:
            self._last_line = now
            print(self._line(step, now, text), file=self._stream, flush=True)

    def note(self, text: str) -> None:
        """Print a line of its own (a validation result) without disturbing the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, step: int, now: float, text: str) -> str:
        line = f"step {step}/{self._total}"
        first_step, first_time = self._first or (step, now)
        if step > first_step and now > first_time:
            rate = (step - first_step) / (now - first_time)
            line += f", {rate:.3g} steps/s, {tqdm.format_interval((self._total - step) / rate)} left"
        return f"{line}, {text}" if text else line
