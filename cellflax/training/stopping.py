"""Why training ends before its last step: a signal, the clock, no improvement."""

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import FrameType, TracebackType
from typing import Any, Self


class SignalWatch:
    """Remembers SIGTERM or Ctrl-C instead of dying, so that the loop can save; a second one kills.

    Args:
        shared: with other processes, which have to agree on it first: what is `heard` here is not yet `received`.
    """

    def __init__(self, shared: bool = False) -> None:
        self.heard: signal.Signals | None = None
        self.received: signal.Signals | None = None
        self._shared = shared
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
        self.heard = signal.Signals(number)
        if not self._shared:
            self.received = self.heard
        signal.signal(number, self._before[self.heard])


@dataclass
class Tally:
    """The progress of training besides its weights; kept in every checkpoint.

    Attributes:
        elapsed_s: seconds of training, from its start until before the last checkpoint, summed over resumptions.
        best_score: the best validation so far; larger is better.
        best_step: where it was reached.
        validated_step: the last step that was validated.
        stale: validations since the best.
        reason: why training ended, or null while it runs.
        validation_s: seconds of validation among `elapsed_s`.
        position: where on the learning-rate schedule the next step is (`Pace`), if a time budget moved it; null: at the
            number of steps done.
        planned_steps: steps that the time budget was expected to allow, as planned at the first validation.
        sample: held-out regions in the validations while training; null: all of them, or none yet.
        shapes: with a time budget, how many shapes of held-out regions are validated, in a random order of the seed;
            regions of other shapes are left out.
        pixel_s: seconds that validation takes for a pixel of a held-out region.
        reported_score: score of the best checkpoint on more regions than `sample`, at the end of training.
        reported_regions: their number.
        timeline: step and `elapsed_s` of each validation.
    """

    elapsed_s: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    validated_step: int | None = None
    stale: int = 0
    reason: str | None = None
    validation_s: float = 0.0
    position: float | None = None
    planned_steps: int | None = None
    sample: int | None = None
    shapes: int | None = None
    pixel_s: float | None = None
    reported_score: float | None = None
    reported_regions: int | None = None
    timeline: list[list[float]] = field(default_factory=list)

    def validated(self, step: int, score: float) -> None:
        """Count one validation; of equal scores, the last is the best, and no improvement."""
        self.validated_step = step
        improves = self.best_score is None or score > self.best_score
        if improves or score == self.best_score:
            self.best_score, self.best_step = score, step
        self.stale = 0 if improves else self.stale + 1

    @property
    def score(self) -> float | None:
        """Score of the best checkpoint: on all regions, where the validations while training saw a sample of them."""
        return self.best_score if self.reported_score is None else self.reported_score

    @property
    def validation_share(self) -> float:
        """Share of validation in the time."""
        return self.validation_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON types; `Tally(**...)` is the inverse."""
        return asdict(self)


class Clock:
    """Seconds of training, both before this start and since.

    Args:
        now: seconds since any fixed moment.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now, self._start = now, now()

    def add(self, before_s: float) -> None:
        """Count the seconds of the starts before this one, too."""
        self._start -= before_s

    def seconds(self) -> float:
        """Seconds so far."""
        return self._now() - self._start
