"""How many steps go to the device in one call, at which positions of the schedule, and how far ahead of it."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.data.sampler import CropsConfig
from cellflax.data.stored_batches import StoredBatches
from cellflax.errors import UserError
from cellflax.training import dispatch
from cellflax.training.config import TrainConfig, TrainerConfig
from cellflax.training.dispatch import Dispatch, steps_together
from cellflax.training.optimizers import SgdConfig
from cellflax.training.pace import Pace
from cellflax.training.stopping import Clock


def configured(**trainer: Any) -> TrainConfig:
    return TrainConfig(optimizer=SgdConfig(), sampler=CropsConfig(), trainer=TrainerConfig(**trainer))


class Calls:
    """Runs to some steps, with a state that counts, and keeps what every call got."""

    def __init__(self, together: int, *, seconds: list[float] | None = None, **trainer: Any):
        times = iter(seconds or [])
        self.pace = Pace(configured(**trainer), Clock(lambda: next(times, 0.0)), 0, None)
        self.fed: list[int] = []
        self.positions: list[list[float]] = []
        self.finished: list[int] = []
        self.starts = 0
        finished = self.pace.finished
        self.pace.finished = lambda step: (self.finished.append(step), finished(step))
        self.dispatch = Dispatch(self.step, self.feed, together, self.pace, self.started)

    def feed(self, step: int) -> int:
        self.fed.append(step)
        return step

    def started(self) -> None:
        self.starts += 1

    def step(self, state, fed, sums, positions):
        assert state == fed
        self.positions.append(np.atleast_1d(positions).tolist())
        return state + positions.size, SimpleNamespace(steps=jnp.zeros(()))

    def run(self, *ends: int) -> int:
        step = state = 0
        for end in ends:
            while step < end and not self.pace.is_over(step):
                state, _, step, position = self.dispatch(state, None, step, end)
                assert position == self.positions[-1][-1]
            assert state == step
        self.dispatch.all_finished(step)
        return step


def test_full_calls_then_single_steps_until_something_is_due():
    calls = Calls(4, steps=20)
    assert calls.run(10, 20) == 20
    assert [len(positions) for positions in calls.positions] == 2 * [4, 4, 1, 1]
    assert np.concatenate(calls.positions).tolist() == list(range(20))
    assert calls.fed == [0, 4, 8, 9, 10, 14, 18, 19]
    assert calls.finished[-1] == 20
    assert calls.starts == 1


def test_one_by_one():
    calls = Calls(1, steps=5)
    assert calls.run(5) == 5
    assert calls.positions == [[0], [1], [2], [3], [4]]


def test_a_time_budget_that_ends_within_a_call():
    """Steps are positions of the schedule: no call goes beyond its end."""
    calls = Calls(4, steps=6, max_minutes=1.0)
    assert calls.run(8) == 6
    assert [len(positions) for positions in calls.positions] == [4, 1, 1]
    assert calls.pace.position == calls.pace.span


@pytest.mark.parametrize(("together", "ahead"), [(1, 4), (2, 2), (10, 1)])
def test_few_steps_are_ahead_of_the_device(together, ahead, monkeypatch):
    monkeypatch.setattr(dispatch, "_is_ready", lambda sums: False)
    calls = Calls(together, steps=100)
    calls.run(60)
    assert calls.finished == [*range(together, 60 - ahead * together + 1, together), 60]


def test_the_number_of_steps_in_a_call(monkeypatch):
    drawn: Any = object()
    assert steps_together(configured(), drawn) == 1
    assert steps_together(configured(steps_per_dispatch=3), drawn) == 3
    stored = StoredBatches([], seed=0, batch=1)
    monkeypatch.setattr(dispatch.jax, "default_backend", lambda: "gpu")
    assert steps_together(configured(), drawn) == 10
    assert steps_together(configured(), stored) == 1
    with pytest.raises(UserError, match=r"trainer.steps_per_dispatch=2, but with sampler.store .* leave it null"):
        steps_together(configured(steps_per_dispatch=2), stored)
