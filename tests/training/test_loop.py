"""The order of the loop: what is validated, saved and kept, and what an interruption at any moment changes."""

import signal
from dataclasses import asdict
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.targets import Outputs
from cellflax.training.checkpoint import Checkpoints
from cellflax.training.config import Monitor, TrainConfig, TrainerConfig
from cellflax.training.loop import Loop
from cellflax.training.optimizers import SgdConfig
from cellflax.training.runlog import LoggerConfig, RunLog, WandbMode
from cellflax.training.state import StepSums, TrainState
from cellflax.training.stopping import SignalWatch, Tally
from tests.commands import arrays_of, assert_same_arrays, checkpoint_steps, metrics_of, record_of

CLASSES = ("edge", "interior")


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program may catch it."""


class Training:
    """A training whose network is a number, and whose validation scores are given.

    Args:
        run: directory.
        scores: validation score by step; 0.5 where nothing is said.
        nan_from: the cost of this step, and of all after it, is not a number.
        at: what to do at which event; events are the start, steps, log lines, validations and saves.
        trainer: of the configuration.
    """

    def __init__(self, run: Path, scores=None, nan_from=None, at=None, **trainer):
        run.mkdir(exist_ok=True)
        self.run, self.scores, self.nan_from, self.at = run, scores or {}, nan_from, at or {}
        self.config = TrainConfig(
            optimizer=SgdConfig(),
            trainer=TrainerConfig(**{"steps": 8, "validate_every": 4, "log_every": 2, **trainer}),
            logger=LoggerConfig(wandb=WandbMode.disabled),
        )
        self.class_names = CLASSES
        self.outputs = Outputs(CLASSES)
        self.positions: list[float] = []
        self.events = 0

    def event(self) -> None:
        self.at.get(self.events, lambda: None)()
        self.events += 1

    def step(self, state: TrainState, data: None, sums: StepSums, position: np.float32) -> tuple[TrainState, StepSums]:
        self.event()
        self.positions.append(float(position))
        n = int(state.step)
        cost = jnp.nan if self.nan_from is not None and n >= self.nan_from else jnp.float32(n)
        params = {"w": 1.5 * state.params["w"] + n, "n": state.params["n"] + 1}
        return TrainState(state.step + 1, params, {}, ()), sums._replace(steps=sums.steps + 1, loss=sums.loss + cost)

    shapes = ((8, 8, 1),)

    def order(self, seed: int) -> tuple[int, ...]:
        return (0,)

    def part(self, regions) -> "Training":
        return self

    def predict(self, probability) -> dict:
        """Stand in for the validator, as `score` does."""
        return probability(None)

    def score(self, predictions: dict) -> tuple[dict[str, float], np.ndarray]:
        self.event()
        n = int(predictions["n"])
        score = self.scores.get(n, 0.5)
        return {"loss": 1 - score, "jaccard": score, "dice": score}, np.zeros((2, 2, 3), np.uint8)

    def go(self) -> Tally:
        """Start, or resume, as `train` does."""
        state = TrainState(jnp.zeros((), jnp.int32), {"w": jnp.ones(3), "n": jnp.zeros((), jnp.int32)}, {}, ())
        checkpoints = Checkpoints(self.run)
        with RunLog(self.run, self.config.logger, {}) as log, SignalWatch() as signals:
            tally = Tally()
            if checkpoints.latest() is not None:
                state, record = checkpoints.restore(state)
                tally = Tally(**record["training"])
            log.truncate(int(state.step))
            log_line, save = log.log, checkpoints.save
            log.log = lambda *arguments: (self.event(), log_line(*arguments))
            checkpoints.save = lambda *arguments: (self.event(), save(*arguments))
            record = {"config": {}, "data": {}}
            loop = Loop(self.config, self.step, lambda step: None, self, None, checkpoints, log, record)
            loop.probability = lambda params, stats, image: params
            self.event()
            return loop.run(state, tally, signals)


def kill() -> None:
    raise Killed


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def validations(run: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["validation_jaccard"]) for line in metrics_of(run) if "validation_jaccard" in line]


def outcome(run: Path, tally: Tally):
    """All that an interruption must not change."""
    kept = {step: record_of(run, step)["score"] for step in checkpoint_steps(run)}
    times = {"elapsed_s": None, "validation_s": None, "timeline": [step for step, _ in tally.timeline]}
    return {**asdict(tally), **times}, kept, validations(run)


@pytest.fixture
def whole(tmp_path):
    """An uninterrupted training whose best step is not its last."""
    training = Training(tmp_path / "whole", {4: 0.7, 8: 0.6})
    return training, training.go()


def test_metrics_are_means_of_intervals_and_validations_follow(whole):
    training, tally = whole
    lines = metrics_of(training.run)
    assert [line["step"] for line in lines] == [2, 4, 4, 6, 8, 8]
    assert [line["train_loss"] for line in lines if "train_loss" in line] == [0.5, 2.5, 4.5, 6.5]
    assert [line["learning_rate"] for line in lines if "learning_rate" in line] == pytest.approx([0.01] * 4, rel=1e-3)
    assert validations(training.run) == [(4, 0.7), (8, 0.6)]
    assert (tally.best_step, tally.best_score, tally.stale, tally.reason) == (4, 0.7, 1, "all steps done")


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ({4: 0.7}, [4, 12]),
        ({8: 0.7}, [8, 12]),
        ({12: 0.7}, [12]),
        ({4: 0.1, 8: -0.2, 12: -0.3}, [4, 12]),
    ],
)
def test_best_and_last_checkpoints_are_kept(tmp_path, scores, kept):
    Training(tmp_path, scores, steps=12).go()
    assert checkpoint_steps(tmp_path) == kept


def test_monitor_loss_takes_the_lowest_loss(tmp_path):
    tally = Training(tmp_path, {4: 0.9, 8: 0.2}, monitor=Monitor.loss).go()
    assert tally.best_step == 4
    assert tally.best_score == pytest.approx(-0.1)


def test_patience(tmp_path):
    training = Training(tmp_path, {4: 0.6, 8: 0.7}, steps=40, patience=2)
    tally = training.go()
    assert (tally.reason, tally.best_step) == ("no improvement in 2 validations", 8)
    assert checkpoint_steps(tmp_path) == [8, 16]
    assert training.go().reason == "no improvement in 2 validations"
    assert checkpoint_steps(tmp_path) == [8, 16]


def test_time_budget_stops_with_a_checkpoint_and_a_larger_one_goes_on(tmp_path, whole):
    training = Training(tmp_path / "run", {2: 0.1, 4: 0.7, 8: 0.6}, max_minutes=1e-9)
    assert training.go().reason == "trainer.max_minutes=1e-09 are over before the learning rate was annealed"
    assert checkpoint_steps(training.run) == [1]
    training.events = 0
    assert training.go().reason == "trainer.max_minutes=1e-09 are over before the learning rate was annealed"
    assert training.events == 1  # over once it began
    training.config.trainer.max_minutes = 10.0
    assert training.go().reason == "all steps done"
    assert_same_arrays(arrays_of(training.run, 8), arrays_of(whole[0].run, 8))


@pytest.mark.parametrize(("nan_from", "interval"), [(0, "0 and 2"), (5, "4 and 6"), (7, "6 and 8")])
def test_cost_that_is_no_number_stops_and_keeps_what_was_saved(tmp_path, nan_from, interval):
    with pytest.raises(UserError, match=f"stopped being a number between steps {interval}; lower") as caught:
        Training(tmp_path, nan_from=nan_from).go()
    assert "\n" not in str(caught.value)
    assert checkpoint_steps(tmp_path) == ([4] if nan_from >= 4 else [])


def test_a_signal_at_any_moment_changes_nothing(tmp_path, whole):
    complete, tally = whole
    for event in range(complete.events):
        run = tmp_path / str(event)
        interrupted = Training(run, complete.scores, at={event: terminate})
        interrupted.go()
        assert interrupted.events < complete.events or event >= complete.events - 3
        resumed = Training(run, complete.scores)
        assert outcome(run, resumed.go()) == outcome(complete.run, tally), f"signal at event {event}"
        assert_same_arrays(arrays_of(run, 8), arrays_of(complete.run, 8))


def test_a_signal_before_the_first_step_keeps_the_score_of_the_last_checkpoint(tmp_path, whole):
    complete, tally = whole
    with pytest.raises(Killed):
        Training(tmp_path, complete.scores, at={10: kill}).go()
    assert checkpoint_steps(tmp_path) == [4]
    resumed = Training(tmp_path, complete.scores, at={0: terminate})
    before = {step: record_of(tmp_path, step) for step in checkpoint_steps(tmp_path)}
    resumed.go()
    assert {step: record_of(tmp_path, step) for step in checkpoint_steps(tmp_path)} == before
    assert outcome(tmp_path, Training(tmp_path, complete.scores).go()) == outcome(complete.run, tally)


def test_a_kill_at_any_moment_changes_nothing(tmp_path, whole):
    complete, tally = whole
    for event in range(complete.events):
        run = tmp_path / str(event)
        with pytest.raises(Killed):
            Training(run, complete.scores, at={event: kill}).go()
        resumed = Training(run, complete.scores)
        assert outcome(run, resumed.go()) == outcome(complete.run, tally), f"kill at event {event}"
        assert_same_arrays(arrays_of(run, 8), arrays_of(complete.run, 8))
        assert metrics_of(run) == metrics_of(complete.run)


def test_a_second_signal_kills():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes ignore it
    try:
        with SignalWatch() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.received is signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
