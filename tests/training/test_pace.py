"""Time budgets against a clock that the tests turn: whatever the machine does, the schedule ends with the time."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.training.config import TrainConfig, TrainerConfig
from cellflax.training.optimizers import AdamwConfig, RmspropConfig, Schedule, learning_rate
from cellflax.training.pace import Pace, schedule_span
from cellflax.training.stopping import Clock

QUEUED = 4


class Machine:
    """Runs steps on a clock of its own; the host is ahead of it, as in the loop."""

    def __init__(self, seconds_per_step: Callable[[float], float], compilation: float = 20.0):
        self.now, self.seconds_per_step, self.compilation = 0.0, seconds_per_step, compilation
        self.clock = Clock(lambda: self.now)

    def train(self, config: TrainConfig, step: int = 0, position=None, until=math.inf, reserve: float = 0.0):
        """Train as the loop does; the pace after it, the steps done, and the position of each step."""
        pace = Pace(config, self.clock, step, position)
        pace.reserve_s = reserve
        positions, queued = [], []
        self.now += self.compilation
        while self.now < until and not (positions and pace.is_over(step)):
            positions.append(pace.position)
            pace.advance(step)
            step += 1
            queued.append(step)
            if len(queued) > QUEUED:
                self.now += self.seconds_per_step(self.now)
                pace.finished(queued.pop(0))
        for done in queued:
            self.now += self.seconds_per_step(self.now)
            pace.finished(done)
        return pace, step, np.array(positions)


def budget(minutes: float | None = 15.0, steps: int | None = None, warmup: int = 0, **options) -> TrainConfig:
    return TrainConfig(
        optimizer=AdamwConfig(warmup_steps=warmup, **options), trainer=TrainerConfig(steps=steps, max_minutes=minutes)
    )


def slow_from(half: float, factor: float, seconds: float = 0.5) -> Callable[[float], float]:
    return lambda now: seconds * (factor if now > half else 1)


@pytest.mark.parametrize("steps", [None, 1_000_000])
@pytest.mark.parametrize("minutes", [0.75, 15.0])
@pytest.mark.parametrize(
    "speed",
    [
        pytest.param(lambda now: 0.5, id="steady"),
        pytest.param(lambda now: 0.02, id="fast"),
        pytest.param(lambda now: slow_from(400, 3)(now), id="three times slower"),
        pytest.param(lambda now: slow_from(400, 1 / 3)(now), id="three times faster"),
        pytest.param(lambda now: 0.5 if math.sin(now / 7) > 0 else 0.15, id="with other work now and then"),
    ],
)
def test_the_schedule_ends_with_the_time(speed, minutes, steps):
    machine = Machine(speed)
    config = budget(minutes, steps, warmup=10)
    pace, _, positions = machine.train(config)
    assert machine.now == pytest.approx(60 * minutes, rel=0.05)
    assert pace.position >= 0.99 * pace.span
    assert (np.diff(positions) > 0).all()
    rates = np.array([float(learning_rate(config.optimizer, pace.span)(np.float32(p))) for p in positions[-200:]])
    assert rates[-1] < 1e-2 * config.optimizer.learning_rate


def test_the_rate_falls_with_the_time_on_slow_and_fast_machines():
    """A cosine of time: half of the way at half of the time that is left after compilation."""
    for seconds in (0.05, 1.0):
        machine = Machine(lambda now, seconds=seconds: seconds)
        pace, steps, positions = machine.train(budget(15.0))
        assert steps == pytest.approx(880 / seconds, rel=0.02)
        assert positions[steps // 2] / pace.span == pytest.approx(0.5, abs=0.02)


def test_a_machine_that_slows_down_in_the_middle_leaves_no_jump():
    _, _, positions = Machine(slow_from(460, 3)).train(budget(15.0))
    shares = np.diff(positions) / 1e6
    assert shares.max() < 3.5 * np.median(
        shares[:500]
    )  # three times as much per step, as each takes three times as long


@pytest.mark.parametrize("stall_s", [20.0, 120.0, 600.0])
def test_a_stall_costs_its_time_and_leaves_no_jump(stall_s):
    """As of a laptop that sleeps: what the machine does afterwards is as fast as before."""
    stalled = []

    def seconds(now):
        if now > 600 and not stalled:
            stalled.append(now)
            return stall_s
        return 0.5

    machine = Machine(seconds)
    pace, step, positions = machine.train(budget(30))
    ways = np.diff(positions)
    before, after = ways[1000], ways[1400:-20]
    assert pace.position == pace.span
    assert step == pytest.approx((1800 - 20 - stall_s) / 0.5, rel=0.01)
    lost = 1200 / (1200 - stall_s)  # the steps that are left share what is left of the schedule
    assert ways[1000:].max() < 1.6 * lost * before
    np.testing.assert_allclose(after, lost * before, rtol=0.1)


def test_a_machine_that_becomes_much_slower_is_believed():
    machine = Machine(slow_from(600, 40))
    pace, *_ = machine.train(budget(30))
    assert pace.position == pace.span
    assert machine.now == pytest.approx(1800, abs=60)
    assert pace.steps_per_second == pytest.approx(1 / 20, rel=0.05)


def test_time_for_the_end_is_kept():
    machine = Machine(lambda now: 0.5)
    machine.train(budget(15.0), reserve=100.0)
    assert machine.now == pytest.approx(800, abs=5)


def test_a_budget_that_is_long_enough_changes_nothing():
    _, steps, positions = Machine(lambda now: 0.5).train(budget(15.0, steps=600, warmup=100))
    _, alone, expected = Machine(lambda now: 0.5).train(budget(None, steps=600, warmup=100))
    assert steps == alone == 600
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(positions, np.arange(600))


@pytest.mark.parametrize(("seconds", "step"), [(0.5, 100), (10.0, 9)])
def test_warm_up_takes_its_steps_but_at_most_a_tenth(seconds, step):
    machine = Machine(lambda now: seconds)
    _, _, positions = machine.train(budget(15.0, warmup=100))
    warm = np.argmax(positions >= 100)
    assert warm == pytest.approx(step, abs=6)


def test_a_resumed_budget_goes_on_where_it_was():
    machine = Machine(lambda now: 0.5)
    before, step, first = machine.train(budget(15.0), until=500)
    machine.now += 3600  # nobody trains
    spent, machine.clock = 500.0, Clock(lambda: machine.now)
    machine.clock.add(spent)
    start = machine.now
    pace, _, second = machine.train(budget(15.0), step, before.position)
    assert pace.position == pace.span
    assert machine.now - start == pytest.approx(400, rel=0.02)
    assert second[0] >= first[-1]
    assert second[0] / pace.span == pytest.approx(480 / 880, abs=0.02)


def test_a_budget_shorter_than_compilation_makes_one_step():
    pace, steps, _ = Machine(lambda now: 0.5).train(budget(0.1))
    assert steps == 1
    assert pace.position < pace.span


def test_without_steps_a_schedule_by_steps_is_refused():
    config = TrainConfig(optimizer=RmspropConfig(), trainer=TrainerConfig(steps=None, max_minutes=1.0))
    with pytest.raises(
        UserError, match=r"optimizer.schedule=exponential counts steps, but trainer.steps is null; give"
    ):
        schedule_span(config)
    assert schedule_span(budget(1.0, schedule=Schedule.constant)) > 0
    with pytest.raises(UserError, match=r"trainer.steps=null needs a time budget; give trainer.max_minutes=15"):
        TrainerConfig(steps=None)
