"""What commands print while they run."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import Self, TextIO

from tqdm import tqdm

FEW = 20  # images that have a line each


def printable(text: str) -> str:
    """A text as a terminal may get it: what moves its cursor, sets its title or fills its clipboard is spelled out.

    Names from files hold anything.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def show(line: str) -> None:
    """Print a result to standard output at once."""
    print(printable(line), flush=True)


def say(line: str) -> None:
    """Print a line to standard error at once, above a bar if there is one; standard output is for results."""
    tqdm.write(printable(line), file=sys.stderr)
    sys.stderr.flush()


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


def each[T](items: Collection[T], name: Callable[[T], str], unit: str = "images") -> Iterator[T]:
    """The items one after the other, with the progress of the work on them.

    Args:
        items: what is worked on.
        name: what an item is called on the screen.
        unit: what the items are, in the plural.
    """
    with Progress(len(items), unit=unit) as bar:
        for item in items:
            yield item
            bar.done(name(item))


class Progress:
    """How far a loop is, with its rate and the time left: a bar on a terminal, else a line now and then.

    Of a batch of images:

        with Progress(len(images), unit="images") as bar:
            for image in images:
                ...  # bar.part("block", done, of_all) within a large image
                bar.done(image.name)

    Args:
        total: number of steps of the whole run; None if it is unknown.
        initial: steps done before (a resumed run).
        line_seconds: seconds between two lines where there is no terminal.
        stream: where to print; standard error by default.
        clock: seconds since any fixed moment.
        unit: what the steps are, in the plural.
    """

    def __init__(
        self,
        total: int | None,
        initial: int = 0,
        line_seconds: float = 30.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "steps",
    ):
        self._stream = stream or sys.stderr
        self._clock, self._line_seconds, self._total = clock, line_seconds, total
        self._units, self._unit = unit, unit.removesuffix("s")
        self._step, self._noted = initial, 0
        self._first: tuple[float, float] | None = None
        self._started = self._last_line = clock()
        self._bar = (
            tqdm(total=total, initial=initial, file=self._stream, dynamic_ncols=True, unit=self._unit)
            if self._stream.isatty()
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, step: int, text: str = "", total: int | None = None) -> None:
        """Say that `step` steps are done, with a short text (the loss), and that there are now `total` steps in all."""
        self._step = step
        if total is not None:
            self._total = total
            if self._bar is not None:
                self._bar.total = total
        self._show(step, text, is_last=self._total is not None and step >= self._total)

    def done(self, text: str = "") -> None:
        """Say that one more image is done, with a short text (its name)."""
        self._step += 1
        total = self._total or 0
        long = total > FEW or self._last_line > self._started
        self._show(self._step, text, is_last=long and self._step >= total)

    def part(self, unit: str, done: int, total: int) -> None:
        """Say how much of the next image is done.

        Args:
            unit: what its parts are: block, frame.
            done: number of parts that are done.
            total: number of all.
        """
        if done < total:  # else the image itself is
            self._show(self._step + done / total, f"{unit} {done}/{total}")

    def brief(self, text: str) -> None:
        """Print a line of its own about an image; after the first 20, the progress says enough."""
        self._noted += 1
        if self._noted <= FEW:
            self.note(text)
        if self._noted == FEW < (self._total or 0):
            self.note(f"the others of {self._total} {self._units} have no line of their own")

    def note(self, text: str) -> None:
        """Print a line of its own (a validation result) without disturbing the bar."""
        if self._bar is not None:
            self._bar.write(printable(text), file=self._stream)
        else:
            print(printable(text), file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _show(self, position: float, text: str, is_last: bool = False) -> None:
        now = self._clock()
        if self._bar is not None:
            left = self._left(position, now) if position > self._step else ""
            self._bar.set_postfix_str(printable(f"{text}{left}"), refresh=position > self._step)
            self._bar.update(self._step - self._bar.n)
        elif now - self._last_line >= self._line_seconds or is_last:
            self._last_line = now
            of_all = "" if self._total is None else f"/{self._total}"
            line = f"{self._unit} {self._step}{of_all}{self._rate(position, now)}{self._left(position, now)}"
            print(f"{line}, {printable(text)}" if text else line, file=self._stream, flush=True)
        if self._first is None:
            self._first = (position, now)  # the first step compiles; the rate is that of the others

    def _rate(self, position: float, now: float) -> str:
        """The rate so far, as a part of a line; empty if it is unknown."""
        rate = self._per_second(position, now)
        if rate is None:
            return ""
        return f", {rate:.3g} {self._units}/s" if rate >= 0.1 else f", {1 / rate:.3g} s per {self._unit}"

    def _left(self, position: float, now: float) -> str:
        """The time left, as a part of a line; empty if it is unknown."""
        rate = self._per_second(position, now)
        if rate is None or self._total is None:
            return ""
        return f", {tqdm.format_interval((self._total - position) / rate)} left"

    def _per_second(self, position: float, now: float) -> float | None:
        first, since = self._first or (position, now)
        return (position - first) / (now - since) if position > first and now > since else None
