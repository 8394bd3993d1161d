"""Settings for accelerators, here on a CPU: precision, steps in a call, parts of a batch."""

import numpy as np
import pytest

from cellflax import train
from cellflax.prediction.trained import load_model
from cellflax.training.config import Precision
from tests.commands import TINY, arrays_of, assert_same_arrays, checkpoint_steps, metrics_of, run_command


@pytest.mark.slow
def test_several_steps_in_a_call_change_nothing(tiny, tmp_path):
    """Twelve steps are calls of three and single ones, because a line is due after every second."""
    run = tmp_path / "run"
    result = run_command(train.main, *TINY, f"run={run}", "trainer.steps_per_dispatch=3", "trainer.log_every=4")
    assert result.status == 0, result.err
    last = checkpoint_steps(run)[-1]
    assert last == 12
    assert_same_arrays(arrays_of(run, last), arrays_of(tiny.path, last))
    scores = [[line for line in metrics_of(path) if "validation_loss" in line] for path in (run, tiny.path)]
    assert len(scores[0]) == 3
    assert [line["validation_loss"] for line in scores[0]] == [line["validation_loss"] for line in scores[1]]


@pytest.mark.slow
def test_mixed_precision_and_parts_from_training_to_prediction(tiny, tmp_path):
    run = tmp_path / "run"
    words = ("sampler.batch=2", "trainer.accumulate=2", "trainer.precision=bfloat16")
    result = run_command(train.main, *TINY, f"run={run}", *words)
    assert result.status == 0, result.err
    assert "precision: bfloat16" in result.err
    step = checkpoint_steps(run)[-1]
    found, usual = arrays_of(run, step), arrays_of(tiny.path, step)
    assert {name: (a.shape, a.dtype) for name, a in found.items()} == {
        name: (a.shape, a.dtype) for name, a in usual.items()
    }
    tiles = np.random.default_rng(0).normal(size=(1, 40, 40, 2)).astype(np.float32)
    mixed, exact = (
        np.asarray(load_model(run, precision=precision).probabilities(tiles)) for precision in (None, Precision.float32)
    )
    assert mixed.dtype == np.float32
    assert 0 < np.abs(mixed - exact).max() < 0.03
    again = run_command(train.main, *TINY, f"run={run}", *words[:2])
    assert again.status == 1
    assert "trainer.precision=bfloat16, not float32" in again.err


def test_parts_that_do_not_divide_the_batch(tmp_path):
    result = run_command(train.main, *TINY, f"run={tmp_path / 'run'}", "sampler.batch=4", "trainer.accumulate=3")
    assert result.status == 1
    assert "sampler.batch=4 cannot be split into trainer.accumulate=3 parts; use a divisor" in result.err
