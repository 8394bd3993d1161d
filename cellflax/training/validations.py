"""Which held-out regions are validated when, and what that costs.

Without a time budget: all regions (or a sample of `trainer.validate_regions`), every `trainer.validate_every` steps.
With one: a sample, as many regions as keep validation below a tenth of the time. It is drawn by the seed and stays the
same through the training, so that its scores can be compared and choose the best checkpoint. At the end, the best
checkpoint is scored on all regions. The time for this is measured on the sample and kept free.
"""

import itertools
import math
from collections.abc import Callable

from cellflax.training.config import TrainConfig
from cellflax.training.held_out import Probability, Sight, Validator
from cellflax.training.pace import Pace
from cellflax.training.stopping import Clock, Tally

# Share of the time that validations take while training, its checkpoints included.
_SHARE = 0.08
# By time, there are this many validations in a budget, or more where these seconds would pass between two.
_VALIDATIONS = 10
_LONGEST_S = 600.0
# The last validation takes at most this share of the budget: of very many regions, as many as fit.
_MOST_LAST = 0.25
# It may end this share of the budget after it.
_OVERTIME = 0.04
# Programs are compiled for each shape of regions, until this share of the budget is used; regions of other shapes are
# left out.
_MOST_COMPILING = 0.1

Metrics = dict[str, float]


class Validations:
    """The validations of one training.

    Args:
        config: configuration of the training.
        validator: scores a network on the held-out regions.
        clock: seconds of training.
        tally: progress of the training; what is measured and chosen here is kept in it.

    Attributes:
        save_s: seconds that the last checkpoint took.
    """

    def __init__(self, config: TrainConfig, validator: Validator, clock: Clock, tally: Tally):
        trainer = config.trainer
        self._validator, self._clock, self._tally = validator, clock, tally
        self._budget_s = None if trainer.max_minutes is None else 60 * trainer.max_minutes
        self._every = trainer.validate_every
        self._order = validator.order(config.seed)
        self._pixels = [math.prod(validator.shapes[i][:2]) for i in self._order]
        self._last: float | None = None
        self._compiled = False
        self.save_s = 0.0
        if trainer.validate_regions is not None:
            tally.sample = min(trainer.validate_regions, len(self._order))

    @property
    def interval_s(self) -> float:
        """Seconds of training between two validations by time."""
        assert self._budget_s is not None, "only a time budget has validations by time"
        usual = min(self._budget_s / _VALIDATIONS, _LONGEST_S)
        if self._tally.pixel_s is None or self._tally.sample is None:
            return usual
        return max(usual, self._sample_s() / _SHARE)  # one slow region may take more than its share

    def started(self) -> None:
        """Note that training goes on: after the first step's compilation, and after every validation."""
        self._last = self._clock.seconds()

    def is_due(self) -> bool:
        """Whether it is time for a validation, where they are a matter of time."""
        if self._every is not None or self._last is None:
            return False
        return self._clock.seconds() - self._last >= self.interval_s

    def score(self, probability: Probability, pace: Pace) -> tuple[Metrics, list[Sight]]:
        """Score the sample, or all regions where there is none; as `Validator.score`."""
        return self._timed(lambda: self._score_sample(probability, pace))

    def _score_sample(self, probability: Probability, pace: Pace) -> tuple[Metrics, list[Sight]]:
        first = not self._compiled
        if first and self._budget_s is not None:
            self._measure(probability, pace)
        self._compiled = True
        start = self._clock.seconds()
        result = self._on(self._tally.sample, probability)
        if not first and self._budget_s is not None:  # the first one may compile more
            self._tally.pixel_s = (self._clock.seconds() - start) / sum(self._pixels[: self._tally.sample])
        return result

    @property
    def last_regions(self) -> int | None:
        """Number of regions for the validation at the end, if it were now; None where the sample has as many."""
        if self._tally.sample is None:
            return None
        count = len(self._order)
        if self._budget_s is not None and self._tally.pixel_s is not None:
            left = (1 + _OVERTIME) * self._budget_s - self._clock.seconds()
            fitting = self._fitting(min(_MOST_LAST * self._budget_s, left), self._tally.pixel_s)
            count = max(fitting, self._tally.sample)
        return count if count > self._tally.sample else None

    def score_last(self, probability: Probability, regions: int) -> Metrics:
        """Score a number of regions, the sample among them."""
        return self._timed(lambda: self._on(regions, probability)[0])

    def plan(self, pace: Pace) -> None:
        """Say how much time validation will take until the end, and at the end."""
        if self._budget_s is None or self._tally.pixel_s is None:
            return
        sample_s = self._sample_s()
        last = self.last_regions
        pace.reserve_s = sample_s + (0.0 if last is None else self._seconds(last))
        between = self._between(pace)
        pace.share = 0.0 if between is None else sample_s / (sample_s + between)

    def _between(self, pace: Pace) -> float | None:
        """Seconds of training between two validations, None if unknown."""
        if self._every is None:
            return self.interval_s
        return None if pace.steps_per_second is None else self._every / pace.steps_per_second

    def _measure(self, probability: Probability, pace: Pace) -> None:
        """Compile for every shape, time one region, and choose the sample unless it is there."""
        self._compile(probability)
        seconds = math.inf
        for _ in range(2):  # the first time includes imports
            start = self._clock.seconds()
            self._on(1, probability)
            seconds = min(seconds, self._clock.seconds() - start)
        pixel_s = seconds / self._pixels[0]
        self._tally.pixel_s = pixel_s
        if self._tally.sample is None:
            between = self._between(pace)
            allowed = math.inf if between is None else _SHARE * between - self.save_s
            self._tally.sample = max(self._fitting(allowed, pixel_s), 1)

    def _compile(self, probability: Probability) -> None:
        """Compile for the shapes of regions, one after the other; leave out regions of those that take too long."""
        assert self._budget_s is not None, "without a budget, all shapes are compiled when they come"
        shapes, tally, start = self._validator.shapes, self._tally, self._clock.seconds()
        end = min(start + _MOST_COMPILING * self._budget_s, self._budget_s)
        first = {shapes[i]: i for i in reversed(self._order)}
        kinds = list(dict.fromkeys(shapes[i] for i in self._order))
        compiled = set()
        for kind in kinds[: tally.shapes]:
            self._validator.part([first[kind]]).predict(probability)
            compiled.add(kind)
            if tally.shapes is None and self._clock.seconds() > end:
                break
        tally.shapes = len(compiled)
        self._order = tuple(i for i in self._order if shapes[i] in compiled)
        self._pixels = [math.prod(shapes[i][:2]) for i in self._order]

    def _fitting(self, seconds: float, pixel_s: float) -> int:
        """How many regions, in their random order, are validated in some seconds."""
        return sum(total * pixel_s <= seconds for total in itertools.accumulate(self._pixels))

    def _sample_s(self) -> float:
        """Seconds of a validation while training, and of its checkpoint."""
        return self._seconds(self._tally.sample) + self.save_s

    def _seconds(self, regions: int | None) -> float:
        assert self._tally.pixel_s is not None, "no region was timed"
        return self._tally.pixel_s * sum(self._pixels[:regions])

    def _on(self, regions: int | None, probability: Probability) -> tuple[Metrics, list[Sight]]:
        chosen = sorted(self._order[:regions])
        # All regions in their own order: the sums are those of `validate`, to the last bit.
        whole = len(chosen) == len(self._validator.shapes)
        part = self._validator if whole else self._validator.part(chosen)
        return part.score(part.predict(probability))

    def _timed[T](self, function: Callable[[], T]) -> T:
        start = self._clock.seconds()
        result = function()
        self._tally.validation_s += self._clock.seconds() - start
        return result
