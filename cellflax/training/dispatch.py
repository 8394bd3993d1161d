"""Steps on their way to the device: several at once where that saves time, and few ahead of what it has finished."""

from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cellflax.data.sampler import BatchSource
from cellflax.data.stored_batches import StoredBatches
from cellflax.errors import UserError
from cellflax.training.config import TrainConfig
from cellflax.training.pace import Pace
from cellflax.training.state import StepSums, TrainState, TrainStep

# Steps ahead of the device: enough to keep it busy, and so few that a signal or the clock waits briefly.
_MAX_AHEAD = 4
# Steps in one call on accelerators, where the step of a small network takes less time than its call.
_TOGETHER = 10


def steps_together(config: TrainConfig, source: BatchSource) -> int:
    """How many steps one call does.

    Raises:
        UserError: if several are asked for, but each gets its crops from the disk.
    """
    wanted, is_fed = config.trainer.steps_per_dispatch, isinstance(source, StoredBatches)
    if wanted is None:
        return 1 if is_fed or jax.default_backend() == "cpu" else _TOGETHER
    if is_fed and wanted > 1:
        raise UserError(
            f"trainer.steps_per_dispatch={wanted}, but with sampler.store every step reads its crops from the disk; "
            "leave it null, or sampler.store"
        )
    return wanted


class Dispatch:
    """Calls the compiled step.

    Args:
        step: the compiled update.
        feed: function from a step's number to what the compiled update takes its batch from.
        together: steps in one call; where fewer are left, they are called one by one.
        pace: positions on the schedule; is told what the device has finished.
        on_start: called when the device has finished its first step, which compiled, and after every interruption.
        by_time: makes what depends on the time equal in all processes of the training.
    """

    def __init__(
        self,
        step: TrainStep,
        feed: Callable[[int], Any],
        together: int,
        pace: Pace,
        on_start: Callable[[], None],
        by_time: Callable[[Any], Any] = lambda value: value,
    ):
        self._step, self._feed, self._together = step, feed, together
        self._pace, self._on_start, self._by_time = pace, on_start, by_time
        self._queued: deque[tuple[int, StepSums]] = deque()

    def __call__(
        self, state: TrainState, sums: StepSums, step: int, end: int
    ) -> tuple[TrainState, StepSums, int, float]:
        """Do the next step, or the next few.

        Args:
            state: state before; it is donated.
            sums: sums before.
            step: number of steps done, below `end`.
            end: number of steps after which something else is due.

        Returns:
            state and sums after the steps, the number of steps done then, and the position of the last one.
        """
        positions = self._positions(step, self._together if end - step >= self._together else 1)
        positions, self._pace.position = self._by_time((positions, self._pace.position))
        if len(positions) == self._together > 1:
            calls = [np.asarray(positions, np.float32)]
        else:
            calls = [np.float32(position) for position in positions]
        for position in calls:
            state, sums = self._step(state, self._feed(step), sums, position)
            step += position.size
            self._queued.append((step, sums))
            self._wait()
        return state, sums, step, positions[-1]

    def all_finished(self, step: int) -> None:
        """Note that the device has finished all steps before `step`, if any were on their way."""
        if self._queued:
            self._queued.clear()
            self._finished(step)

    def _positions(self, step: int, most: int) -> list[float]:
        """Positions of the next steps; fewer than `most` if the training is over before."""
        positions = []
        while len(positions) < most and not (positions and self._pace.is_over(step + len(positions))):
            positions.append(self._pace.position)
            self._pace.advance(step + len(positions) - 1)
        return positions

    def _wait(self) -> None:
        """Wait until few enough calls are on their way."""
        most = max(1, _MAX_AHEAD // self._together)
        while self._queued and (len(self._queued) > most or _is_ready(self._queued[0][1])):
            done, ready = self._queued.popleft()
            jax.block_until_ready(ready)
            self._finished(done)

    def _finished(self, step: int) -> None:
        if not self._pace.is_running:
            self._on_start()
        self._pace.finished(step)


def _is_ready(sums: StepSums) -> bool:
    """Whether the device has computed them; does not wait."""
    return sums.steps.is_ready()  # pyright: ignore[reportAttributeAccessIssue]
