"""The pace of a training: where on the learning-rate schedule each step is, so that the schedule ends with the time.

Without a time budget (`trainer.max_minutes`), a step's position is its number. With one, the positions are spread
over the steps that the time allows. Their number is planned anew before every step, from the time left and the speed
measured after compilation, so that the learning rate is annealed when the time ends, whatever else the machine does.
Positions never go back, so that the learning rate never rises after the warm-up.
"""

import math

from cellflax.errors import UserError
from cellflax.training.config import TrainConfig
from cellflax.training.optimizers import Schedule
from cellflax.training.stopping import Clock

# Length of the schedule where no number of steps is given. Any will do: only the part that is done counts.
_UNBOUNDED_SPAN = 1_000_000
# The warm-up is of a number of steps, but of no more than this share of all that the time allows.
_MOST_WARMUP = 0.1
# The speed is that of the last part of the time, this share of the budget.
_MEMORY = 0.01
# A call of so many times the expected seconds counts no more than that: a computer that sleeps is not a slow one, and
# one that became slow is believed call by call. Calls that the host sees at once, after it was away, are fewer.
_LONGEST_CALL = 5
# Until a validation was measured, this share of the budget is kept for the last one.
_UNKNOWN_RESERVE = 0.05
# From this part of the schedule on, the rest changes the weights little.
_ANNEALED = 0.95


def schedule_span(config: TrainConfig) -> int:
    """Length of the learning-rate schedule, in steps where their number is given.

    Raises:
        UserError: if the schedule needs a number of steps and has none.
    """
    if config.trainer.steps is not None:
        return config.trainer.steps
    if config.optimizer.schedule is Schedule.exponential:
        raise UserError(
            "optimizer.schedule=exponential counts steps, but trainer.steps is null; give trainer.steps=..., or take "
            "optimizer.schedule=cosine"
        )
    return _UNBOUNDED_SPAN


class Pace:
    """Plans the steps of one training.

    Args:
        config: configuration of the training.
        clock: seconds of training.
        step: steps done before.
        position: position on the schedule of the next step; None: the number of steps done.

    Attributes:
        position: position on the schedule of the next step, between 0 and `span`.
        span: length of the schedule; when the position reaches it, the training is over.
        reserve_s: seconds to keep for what comes after the last step.
        share: expected share of validation in the time until then.
    """

    def __init__(self, config: TrainConfig, clock: Clock, step: int, position: float | None):
        trainer = config.trainer
        self.span = schedule_span(config)
        self.position = float(step) if position is None else position
        self.budget_s = math.inf if trainer.max_minutes is None else 60 * trainer.max_minutes
        self.reserve_s = _UNKNOWN_RESERVE * self.budget_s if trainer.max_minutes else 0.0
        self.share = 0.0
        self._steps = math.inf if trainer.steps is None else trainer.steps
        self._warmup = config.optimizer.warmup_steps
        self._clock, self._first = clock, step
        self._done = step  # by the device
        self._mark: float | None = None
        self._sums = (0.0, 0.0)  # steps and seconds, those of long ago fading

    @property
    def steps_per_second(self) -> float | None:
        """The speed of late, without compilation and validation; None before it was measured."""
        steps, seconds = self._sums
        return steps / seconds if steps > 0 and seconds > 0 else None

    @property
    def is_running(self) -> bool:
        """Whether the device has finished a step since the start or the last interruption."""
        return self._mark is not None

    @property
    def is_annealed(self) -> bool:
        """Whether the schedule is at its end, or so near to it that the learning rate is small."""
        return self.position >= _ANNEALED * self.span

    @property
    def is_early(self) -> bool:
        """Whether the schedule is at its end long before the time is."""
        return self.position >= self.span and self._clock.seconds() + self.reserve_s < 0.8 * self.budget_s

    def finished(self, step: int) -> None:
        """Note that the device has just finished all steps before `step`."""
        now = self._clock.seconds()
        if self._mark is not None and step > self._done:
            seconds, speed = now - self._mark, self.steps_per_second
            if speed is not None:
                seconds = min(seconds, _LONGEST_CALL * (step - self._done) / speed)
            fade = math.exp(-seconds / (_MEMORY * self.budget_s)) if math.isfinite(self.budget_s) else 1.0
            self._sums = fade * self._sums[0] + step - self._done, fade * self._sums[1] + seconds
        self._done, self._mark = step, now

    def interrupted(self) -> None:
        """Note that what the device does next is no step; the time until it has finished another one is not counted."""
        self._mark = None

    def remaining(self, step: int) -> float:
        """How many steps are left when `step` have been dispatched; infinite if nothing bounds them yet."""
        left = min(self._steps - step, self._in_time(step))
        return max(left, 0.0)

    def is_over(self, step: int) -> bool:
        """Whether no other step is to be dispatched after `step` of them."""
        return self.position >= self.span or step >= self._steps or self._in_time(step) < 0.5

    def advance(self, step: int) -> None:
        """Move the position on by one step, the one with number `step`."""
        left = self.remaining(step)
        way = 1.0  # nothing is known yet, or the time was over before the first step
        if math.isfinite(left) and left >= 0.5:
            left = max(1, round(left))
            way = (self.span - self.position) / left
            if self.position < self._warmup and self._steps - step > left:
                way = max(1.0, self._warmup / (_MOST_WARMUP * (step + left)))
        # The last step ends the schedule whatever the rounding of sums.
        self.position = float(self.span) if left == 1 else min(self.position + way, float(self.span))

    def _in_time(self, step: int) -> float:
        """Steps that the time allows after `step` of them were dispatched."""
        if not math.isfinite(self.budget_s):
            return math.inf
        seconds = self.budget_s - self.reserve_s - self._clock.seconds()
        speed = self.steps_per_second
        if speed is None:
            return math.inf if seconds > 0 else 0.0
        return seconds * (1 - self.share) * speed - (step - self._done)
