"""Why training ends before its last step: a signal, the clock, no improvement."""

import signal
import time
from dataclasses import asdict, dataclass
from types import FrameType, TracebackType
from typing import Any, Self


class SignalWatch:
    """Remembers SIGTERM or Ctrl-C instead of dying, so that the loop can save; a second one kills."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._before[self.received])


@dataclass
class Tally:
    """The progress of training besides its weights; kept in every checkpoint.

    Attributes:
        elapsed_s: seconds of training, summed over resumptions.
        best_score: the best validation so far; larger is better.
        best_step: where it was reached.
        validated_step: the last step that was validated.
        stale: validations since the best.
        reason: why training ended, or null while it runs.
    """

    elapsed_s: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    validated_step: int | None = None
    stale: int = 0
    reason: str | None = None

    def validated(self, step: int, score: float) -> None:
        """Count one validation."""
        self.validated_step = step
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_step, self.stale = score, step, 0
        else:
            self.stale += 1

    def to_json(self) -> dict[str, Any]:
        """As JSON types; `Tally(**...)` is the inverse."""
        return asdict(self)


class Clock:
    """Seconds of training, both before this start and since."""

    def __init__(self, before_s: float):
        self._start = time.monotonic() - before_s

    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start
