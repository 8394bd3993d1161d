"""A training that is started again ends bit for bit where it would have; `tests/faults` kills whole processes."""

import shutil

import pytest

from cellflax import train
from cellflax.training.runlog import RunLog
from tests.commands import (
    TINY,
    arrays_of,
    assert_same_arrays,
    checkpoint_steps,
    metrics_of,
    run_command,
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program may catch it."""


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param((), id="batch_norm-adamw"),
        pytest.param(
            ("model.regularization=dropout", "optimizer=sgd", "refine=threshold", "seed_channel=null"),
            id="dropout-sgd",
            marks=pytest.mark.slow,
        ),
        pytest.param(("optimizer.average=0.9", "trainer.validate_regions=1"), id="average", marks=pytest.mark.slow),
    ],
)
def test_killed_between_checkpoints(tiny, tmp_path, monkeypatch, changes):
    arguments = [*TINY, *changes]
    whole, run = tiny.path, tmp_path / "run"
    if changes:
        whole = tmp_path / "whole"
        assert run_command(train.main, *arguments, f"run={whole}").status == 0

    def log_or_die(self, step, scalars, log=RunLog.log):
        log(self, step, scalars)
        if step == 10:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "log", log_or_die)
        with pytest.raises(Killed):
            run_command(train.main, *arguments, f"run={run}")
    assert checkpoint_steps(run)[-1] == 8
    assert metrics_of(run)[-1]["step"] == 10
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "train_')  # a kill tears lines

    result = run_command(train.main, *arguments, f"run={run}")
    assert result.status == 0, result.err
    assert "resuming at step 8 of 12" in result.err
    assert_same_arrays(arrays_of(run, 12), arrays_of(whole, 12))
    assert metrics_of(run) == metrics_of(whole)


@pytest.mark.parametrize("removed", [(), ("config.json",)], ids=["whole", "without config.json"])
def test_another_configuration_is_refused(tiny, tmp_path, removed):
    shutil.copytree(tiny.path, tmp_path / "run")
    for name in removed:
        (tmp_path / "run" / name).unlink()
    before = arrays_of(tmp_path / "run", 12)
    result = run_command(train.main, *TINY, f"run={tmp_path / 'run'}", "optimizer.learning_rate=0.5")
    assert result.status == 1
    assert "holds a run with optimizer.learning_rate=0.01, not 0.5; give the same value to resume it" in result.error
    assert_same_arrays(arrays_of(tmp_path / "run", 12), before)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096])
def test_a_configuration_that_was_lost_is_written_again(tiny, tmp_path, content):
    """A power cut leaves files empty or full of NUL; the checkpoints have their own configuration."""
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    (run / "config.json").write_bytes(content)
    refused = run_command(train.main, *TINY, f"run={run}", "optimizer.learning_rate=0.5")
    assert "holds a run with optimizer.learning_rate=0.01, not 0.5" in refused.error
    result = run_command(train.main, *TINY, f"run={run}")
    assert result.status == 0, result.err
    assert (run / "config.json").read_bytes() == (tiny.path / "config.json").read_bytes()
