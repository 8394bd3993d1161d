"""Progress of a loop on the terminal."""

import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

from tqdm import tqdm


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
