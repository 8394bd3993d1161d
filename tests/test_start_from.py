"""Trainings that start from another: what they take, say and record, and that they resume without it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from cellflax import predict, train
from cellflax.training.runlog import RunLog
from tests.commands import TINY, arrays_of, assert_same_arrays, record_of, run_command
from tests.predictions import one_file


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
def mine(fields, tmp_path) -> Path:
    """A user's own images."""
    root = tmp_path / "mine"
    for name in ("field_0007", "field_0008"):
        one_file(fields, root / f"{name}.tif", name)
        shutil.copy(fields / "labels" / f"{name}.tif", root / f"{name}_masks.tif")
    return root


def test_starts_freezes_and_resumes_without_the_source(tiny, mine, tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(tiny.path, source)
    arguments = (
        *("sampler.size=32", "sampler.batch=2", "optimizer.warmup_steps=0", "optimizer.weight_decay=0.1"),
        *("trainer.devices=1", "trainer.steps=12", "trainer.validate_every=4", "trainer.log_every=2"),
        *("data=folder", f"data.root={mine}", "data.channels=[0,1]", "seed_channel=null", "logger.wandb=disabled"),
        *("plan=false", "tune=false", "guide=false"),
        *(f"start_from={source}", "freeze_levels=1", "trainer.ensemble=2"),
    )
    whole = run_command(train.main, *arguments, f"run={tmp_path / 'whole'}")
    assert whole.status == 0, whole.err
    assert "model=patch_net: as in start_from=" in whole.err
    assert 'normalize.intensity="median": as in start_from=' in whole.err
    assert "start_from: SIMULATED DATA: the weights" in whole.err
    assert "start_from: taken: " in whole.err
    assert "(channels in order: channel_0 as phase, channel_1 as nuclear)" in whole.err
    assert "frozen: stages.0\n" in whole.err

    record = record_of(tmp_path / "whole", 12)["started_from"]
    assert (record["path"], record["simulated"]) == (str(source / "checkpoints" / str(record["step"])), True)
    assert record["frozen"] == ["stages.0"]
    assert json.loads((tmp_path / "whole" / "summary.json").read_text())["started_from"] == record
    theirs, ours = arrays_of(source, record["step"]), arrays_of(tmp_path / "whole", 12)
    for name, values in theirs.items():
        if not name.startswith(("params.", "stats.")):
            continue
        for member in range(2):
            same = np.array_equal(ours[name][member], values[0])
            assert same == ("stages.0." in name), name
    hidden = next(name for name in ours if name.startswith("params.hidden.0.") and name.endswith("kernel"))
    assert not np.array_equal(*ours[hidden])  # members differ by their batches

    def log_or_die(self, step, scalars, log=RunLog.log):
        log(self, step, scalars)
        if step == 10:
            raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "log", log_or_die)
        with pytest.raises(Killed):
            run_command(train.main, *arguments, f"run={run}")
    shutil.rmtree(source)
    (run / "config.json").unlink()
    result = run_command(train.main, *arguments, f"run={run}")
    assert result.status == 0, result.err
    assert "resuming at step 8 of 12" in result.err
    assert "start_from: taken" not in result.err
    assert_same_arrays(arrays_of(run, 12), ours)
    assert record_of(run, 12)["started_from"] == record
    again = run_command(train.main, *arguments, f"run={tmp_path / 'new'}")
    assert again.error.startswith(f"checkpoint {source} does not exist")

    given = (f"checkpoint={run}", f"input={mine}/field_0007.tif", f"output={tmp_path / 'out'}", "channels=[0,1]")
    predicted = run_command(predict.main, *given)
    assert predicted.status == 0, predicted.err
    assert "the training of this network started from weights learned from simulated images" in predicted.err
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["simulated"] is False
    assert provenance["checkpoint"]["started_from"] == record


def test_a_plan_is_one_for_the_network_of_the_source(tiny, mine, tmp_path):
    arguments = (
        *("data=folder", f"data.root={mine}", "data.channels=[0,1]", f"start_from={tiny.path}", "trainer.steps=1"),
        *("trainer.max_minutes=null", "sampler.size=32", "sampler.batch=1", "tune=false", "guide=false"),
        "logger.wandb=disabled",
    )
    run = tmp_path / "run"
    result = run_command(train.main, *arguments, f"run={run}")
    assert result.status == 0, result.err
    config, source = (json.loads((path / "config.json").read_text()) for path in (run, tiny.path))
    assert (config["model"], config["normalize"]) == (source["model"], source["normalize"])
    planned = yaml.safe_load((run / "plan" / "experiment" / "planned.yaml").read_text())
    assert {"override /model": "patch_net_61"} in planned["defaults"]
    assert planned["normalize"] == source["normalize"]
    assert "(it was " not in result.err.replace("(it was another patch_net)", "")  # all but the layers is in the plan
    again = run_command(train.main, *arguments, f"run={run}")
    assert again.status == 0, again.err


@pytest.mark.parametrize(("experiment", "size"), [("scale: {pixel_size_um: 2.6}", 2.6), ("name: other", None)])
def test_an_experiment_may_set_the_scale(tiny, tmp_path, experiment, size):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "other.yaml").write_text(f"# @package _global_\n{experiment}\n")
    given = ("--config-dir", str(tmp_path / "conf"), "+experiment=other", "trainer.steps=1", f"start_from={tiny.path}")
    result = run_command(train.main, *TINY, *given, f"run={tmp_path / 'run'}")
    assert result.status == 0, result.err
    config, source = (json.loads((path / "config.json").read_text()) for path in (tmp_path / "run", tiny.path))
    assert config["scale"]["pixel_size_um"] == (source["scale"]["pixel_size_um"] if size is None else size)


def test_what_the_command_line_gives_stays(tiny, tmp_path):
    """The network, of which the layers that fit are taken, and a key of `normalize`."""
    given = ("model.dense=[9]", "normalize.subtract_local_mean=false", "trainer.steps=2")
    result = run_command(train.main, *TINY, *given, f"start_from={tiny.path}", f"run={tmp_path / 'run'}")
    assert result.status == 0, result.err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"]["dense"] == [9]
    assert config["normalize"]["subtract_local_mean"] is False
    assert "start_from: taken: stages\n" in result.err
    assert "start_from: at random: hidden, output (shape (8, 9), the source has (8, 8))\n" in result.err, result.err


def test_another_kind_of_network_is_refused(tiny, fields, tmp_path):
    arguments = ("data=simulated", "data.fields=1", "model=unet", f"start_from={tiny.path}", "logger.wandb=disabled")
    result = run_command(train.main, *arguments, f"run={tmp_path / 'run'}")
    assert "holds model=patch_net, the training has model=unet; leave model out" in result.error
