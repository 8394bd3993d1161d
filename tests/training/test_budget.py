"""The loop under a time budget, on a clock that the tests turn: steps, validations and the end take what is said."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.progress import Progress
from cellflax.targets import Outputs
from cellflax.training.checkpoint import Checkpoints
from cellflax.training.config import TrainConfig, TrainerConfig
from cellflax.training.loop import Loop
from cellflax.training.optimizers import AdamwConfig
from cellflax.training.runlog import LoggerConfig, RunLog, WandbMode
from cellflax.training.state import TrainState
from cellflax.training.stopping import Clock, SignalWatch, Tally
from tests.commands import checkpoint_steps, metrics_of, record_of

COMPILATION = 20.0


class Budgeted:
    """A training of which every part takes a given time. Scores are better on the sample than on all regions.

    Args:
        run: directory.
        step_s: seconds of a step as a function of the time.
        region_s: seconds of a held-out region, prediction and score.
        regions: number of them.
        scores: validation score by step; the number of steps where nothing is said.
        stop_at: step after which a signal comes.
        shapes: number of shapes of the regions.
        compile_s: seconds that compilation takes for each shape.
        trainer: of the configuration.
    """

    def __init__(
        self,
        run,
        step_s=lambda now: 0.5,
        region_s=0.5,
        regions=40,
        scores=None,
        stop_at=None,
        shapes=1,
        compile_s=0.0,
        **trainer,
    ):
        run.mkdir(exist_ok=True)
        self.run, self.step_s, self.region_s, self.scores, self.stop_at = run, step_s, region_s, scores or {}, stop_at
        options = {"steps": None, "max_minutes": 15.0, "log_every": 50, **trainer}
        self.config = TrainConfig(
            optimizer=AdamwConfig(warmup_steps=10),
            trainer=TrainerConfig(**options),
            logger=LoggerConfig(wandb=WandbMode.disabled),
        )
        self.class_names = ("edge", "interior")
        self.outputs = Outputs(self.class_names)
        self.shapes = tuple((64, 64 + i % shapes, 1) for i in range(regions))
        self.compile_s, self.known = compile_s, set()
        self.now, self.compiled, self.chosen = 0.0, False, tuple(range(regions))
        self.validated: list[tuple[int, ...]] = []
        self.signals = None

    def order(self, seed):
        return tuple(np.random.default_rng(seed).permutation(len(self.shapes)).tolist())

    def part(self, regions):
        self.chosen = tuple(regions)
        return self

    def predict(self, probability):
        new = {self.shapes[i] for i in self.chosen} - self.known
        self.now += self.compile_s * len(new)
        self.known |= new
        return probability(None)

    def score(self, predictions):
        self.now += self.region_s * len(self.chosen)
        self.validated.append(self.chosen)
        n = int(predictions["n"])
        score = self.scores.get(n, n / 1e5) - (0.25 if len(self.chosen) == len(self.shapes) else 0)
        self.chosen = tuple(range(len(self.shapes)))
        return {"loss": 1 - score, "jaccard": score, "dice": score}, np.zeros((2, 2, 3), np.uint8)

    def step(self, state, data, sums, position):
        self.now += self.step_s(self.now) if self.compiled else COMPILATION
        self.compiled = True
        if int(state.step) == self.stop_at:
            self.signals.received = 15
        params = {"n": state.params["n"] + 1}
        return TrainState(state.step + 1, params, {}, ()), sums._replace(steps=sums.steps + 1)

    def go(self) -> Tally:
        state, tally = TrainState(jnp.zeros((), jnp.int32), {"n": jnp.zeros((), jnp.int32)}, {}, ()), Tally()
        checkpoints = Checkpoints(self.run)
        with RunLog(self.run, self.config.logger, {}) as log:
            if checkpoints.latest() is not None:
                state, record = checkpoints.restore(state)
                tally = Tally(**record["training"])
            self.signals = SignalWatch()
            record = {"config": {}, "data": {}}
            clock = Clock(lambda: self.now)
            loop = Loop(self.config, self.step, lambda step: None, self, None, checkpoints, log, record, clock)
            loop.probability = lambda params, stats, image: params
            return loop.run(state, tally, self.signals)


def rates(run):
    return [line["learning_rate"] for line in metrics_of(run) if "learning_rate" in line]


@pytest.mark.parametrize(
    ("step_s", "region_s"),
    [
        pytest.param(lambda now: 0.5, 0.05, id="quick validation"),
        pytest.param(lambda now: 0.5, 4.0, id="slow validation"),
        pytest.param(lambda now: 0.5, 30.0, id="very slow validation"),
        pytest.param(lambda now: 1.5 if now > 400 else 0.5, 1.0, id="three times slower"),
        pytest.param(lambda now: 0.5 if now > 400 else 1.5, 1.0, id="three times faster"),
    ],
)
def test_all_ends_with_the_time(tmp_path, step_s, region_s):
    training = Budgeted(tmp_path, step_s, region_s)
    tally = training.go()
    assert training.now == pytest.approx(900, rel=0.05)
    assert tally.elapsed_s == pytest.approx(training.now, abs=1)
    assert tally.reason == "trainer.max_minutes=15 are over"
    found = rates(tmp_path)
    assert found[-1] < 0.01 * max(found)
    assert found[1:] == sorted(found[1:], reverse=True)
    assert tally.best_step == checkpoint_steps(tmp_path)[-1]


def test_validations_take_less_than_a_tenth_and_the_last_one_sees_all_regions(tmp_path):
    training = Budgeted(tmp_path, region_s=2.0)
    tally = training.go()
    samples, last = training.validated[2:-1], training.validated[-1]  # the first two were timed
    assert len(set(samples)) == 1
    assert 1 < len(samples[0]) == tally.sample < 40
    assert len(samples) >= 8
    assert len(last) == 40 == tally.reported_regions
    assert (tally.validation_s - 80) / (900 - 80) < 0.1
    step = tally.best_step
    assert tally.best_score == record_of(tmp_path, step)["score"] == pytest.approx(step / 1e5)
    assert tally.score == tally.reported_score == pytest.approx(step / 1e5 - 0.25)
    assert record_of(tmp_path, step)["validation"]["jaccard"] == tally.reported_score
    assert [line["final_jaccard"] for line in metrics_of(tmp_path) if "final_jaccard" in line] == [tally.reported_score]
    assert tally.planned_steps == pytest.approx(step, rel=0.05)


def test_the_sample_is_of_the_seed(tmp_path):
    trainings = [Budgeted(tmp_path / str(i), region_s=2.0) for i in range(3)]
    trainings[2].config.seed = 1
    for training in trainings:
        training.go()
    assert trainings[0].validated[-2] == trainings[1].validated[-2] != trainings[2].validated[-2]


def test_an_earlier_checkpoint_that_is_best_is_scored_on_all_regions(tmp_path):
    first = Budgeted(tmp_path / "first", region_s=2.0)
    first.go()
    (step, *_) = [line["step"] for line in metrics_of(first.run) if "validation_jaccard" in line]
    training = Budgeted(tmp_path / "run", region_s=2.0, scores={step: 0.9})
    tally = training.go()
    assert (tally.best_step, tally.best_score) == (step, 0.9)
    assert tally.reported_score == pytest.approx(0.65)
    last = checkpoint_steps(training.run)[-1]
    assert record_of(training.run, last)["validation"]["jaccard"] == pytest.approx(last / 1e5)  # its own, of the sample


def test_too_many_regions_for_the_time_are_not_all_scored(tmp_path):
    training = Budgeted(tmp_path, region_s=2.0, regions=1000)
    tally = training.go()
    assert training.now == pytest.approx(900, rel=0.05)
    assert 100 < tally.reported_regions < 115  # a quarter of 900 s
    assert len(training.validated[-1]) == tally.reported_regions


@pytest.mark.parametrize(("compile_s", "shapes"), [(8.0, 8), (20.0, 5), (100.0, 1)])
def test_shapes_that_take_long_to_compile_are_left_out(tmp_path, compile_s, shapes):
    training = Budgeted(tmp_path, region_s=0.2, shapes=8, compile_s=compile_s)
    tally = training.go()
    assert training.now == pytest.approx(900, rel=0.05)
    assert tally.shapes == len(training.known) == shapes
    assert len(training.validated[-1]) == 40 * shapes / 8


def test_time_that_compilation_took_is_not_exceeded_much(tmp_path):
    training = Budgeted(tmp_path, region_s=2.0, shapes=8, compile_s=2.0, max_minutes=0.3)
    tally = training.go()
    assert tally.reason == "trainer.max_minutes=0.3 are over before the learning rate was annealed"
    assert training.now < COMPILATION + 2 + 4 * 2.0  # one region, timed twice


def test_stopped_and_resumed_it_goes_on_annealing(tmp_path):
    whole = Budgeted(tmp_path / "whole")
    whole.go()
    run = tmp_path / "run"
    tally = Budgeted(run, stop_at=900).go()
    assert tally.reason is None
    assert tally.position is not None
    assert tally.position > 900
    resumed = Budgeted(run)
    before = tally.elapsed_s
    tally = resumed.go()
    assert before + resumed.now == pytest.approx(900, rel=0.05)
    assert tally.reason == "trainer.max_minutes=15 are over"
    found = rates(run)
    assert found[1:] == sorted(found[1:], reverse=True)
    assert found[-1] < 0.01 * max(found)
    assert tally.sample == Tally(**record_of(run, checkpoint_steps(run)[-1])["training"]).sample
    steps = checkpoint_steps(whole.run)[-1]
    assert checkpoint_steps(run)[-1] == pytest.approx(steps - COMPILATION / 0.5, rel=0.05)

    again = Budgeted(run, max_minutes=60.0)
    assert again.go().reason == "the learning rate was annealed in an earlier budget; a longer training is a new run"
    assert again.now == 0


def test_steps_are_an_upper_bound(tmp_path):
    training = Budgeted(tmp_path, steps=300, validate_every=100)
    tally = training.go()
    assert (tally.reason, tally.position) == ("all steps done", None)
    assert training.now < 300
    assert [line["step"] for line in metrics_of(tmp_path) if "validation_loss" in line] == [100, 200, 300]


def test_a_sample_without_a_budget(tmp_path):
    training = Budgeted(tmp_path, steps=300, max_minutes=None, validate_every=100, validate_regions=7)
    tally = training.go()
    assert [len(regions) for regions in training.validated] == [7, 7, 7, 40]
    assert tally.reported_regions == 40


def test_the_screen_shows_minutes(tmp_path, capfd):
    training = Budgeted(tmp_path, region_s=2.0)
    training.config.logger.line_seconds = 1e-9
    training.go()
    shown = capfd.readouterr().err
    assert "trainer.max_minutes=15 allows about 14" in shown
    assert " of 40 held-out regions are validated while training" in shown
    assert re.search(r"step \d+/14\d\d, .*1[0-4]\.\d of 15 min, loss 0.000", shown)
    assert "on 40 of 40 loss" in shown


def test_progress_of_an_unknown_number_of_steps(capsys):
    now = iter(range(0, 1000, 60))
    with Progress(None, clock=lambda: float(next(now))) as bar:
        bar.update(10)
        bar.update(20, "loss 1", total=100)
        bar.update(30)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "step 10"
    assert lines[1].startswith("step 20/100, 0.167 steps/s, ")
    assert lines[2].startswith("step 30/100, ")
