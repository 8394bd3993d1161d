"""Killed, terminated, interrupted: a training that is started again ends bit for bit where it would have."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from cellflax import train
from cellflax.training.runlog import RunLog
from tests.commands import (
    TINY,
    arrays_of,
    assert_same_arrays,
    checkpoint_steps,
    finish_command,
    metrics_of,
    record_of,
    run_command,
    start_command,
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


@pytest.mark.slow
def test_signals_to_a_process(tmp_path):
    """SIGKILL, SIGTERM and Ctrl-C at random moments of one training, against one that is left alone."""
    arguments = [*TINY, "trainer.steps=200", "trainer.validate_every=25", "trainer.log_every=10"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = newest(run)
        process = start_command("cellflax.train", *arguments, f"run={run}", cwd=tmp_path)
        while newest(run) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(number)
        result = finish_command(process)
        assert result.status == status, result.err
        assert before < newest(run) < 200
        if number is not signal.SIGKILL:
            assert f"stopped by {number.name} and saved" in result.err
            assert "run: " not in result.out
    finished = finish_command(start_command("cellflax.train", *arguments, f"run={run}", cwd=tmp_path))
    assert (finished.status, finished.out) == (0, f"run: {run}\n"), finished.err

    alone = finish_command(start_command("cellflax.train", *arguments, f"run={whole}", cwd=tmp_path))
    assert alone.status == 0, alone.err
    assert_same_arrays(arrays_of(run, 200), arrays_of(whole, 200))
    assert checkpoint_steps(run) == checkpoint_steps(whole)
    best = checkpoint_steps(run)[0]
    assert record_of(run, best)["score"] == record_of(whole, best)["score"]
    training, validation = lines_by_kind(run)
    assert validation == lines_by_kind(whole)[1]
    steps = [line["step"] for line in training]
    assert steps == sorted(set(steps))
    assert set(range(10, 201, 10)) <= set(steps)


def newest(run: Path) -> int:
    """The newest checkpoint that is complete, 0 if there is none."""
    return max(
        (
            int(path.parent.name)
            for path in run.glob("checkpoints/[0-9]*/_CHECKPOINT_METADATA")
            if path.parent.name.isdigit()
        ),
        default=0,
    )


def lines_by_kind(run: Path) -> tuple[list[dict], list[dict]]:
    lines = metrics_of(run)
    return [line for line in lines if "train_loss" in line], [line for line in lines if "validation_loss" in line]
