"""`cellflax.train` as a command: what it writes, prints and returns, and running it again."""

import datetime
import json
import math
import shutil
from pathlib import Path

import hydra.core.utils
import numpy as np
import pytest
import tifffile

from cellflax import predict, train
from cellflax.config import from_json
from cellflax.schemas import to_json
from cellflax.training.config import TrainConfig
from tests.commands import TINY, TINY_NETWORK, checkpoint_steps, metrics_of, record_of, run_command


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run except the summary and the report, which hold the time they were written."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in ("summary.json", "report.html")]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def summary_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def test_run_directory(trained):
    run, result = trained.path, trained.result
    assert result.status == 0, result.err
    assert result.out == f"run: {run}\n"  # the last line, and all of standard output
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "config.json", "metrics.jsonl", "report.html", "summary.json",
    ]  # fmt: skip
    summary = summary_of(run)
    best, last = summary["training"]["best_step"], 60
    assert checkpoint_steps(run) == sorted({best, last})
    assert record_of(run, best)["score"] == summary["score"] == summary["training"]["best_score"]
    assert summary["training"]["reason"] == "all steps done"
    assert summary["run"] == str(run)


def test_configuration_is_stored_exactly(trained):
    stored = json.loads((trained.path / "config.json").read_text())
    config = from_json(TrainConfig, stored)
    assert config.trainer.steps == 60
    assert config.data.field.height == 128
    assert {**to_json(config), "run": None} == {**stored, "run": None}
    assert record_of(trained.path, 60)["config"] == stored


def test_metrics_and_learning(trained):
    lines = metrics_of(trained.path)
    training = [line for line in lines if "train_loss" in line]
    validation = [line for line in lines if "validation_loss" in line]
    assert [line["step"] for line in training] == [10, 20, 30, 40, 50, 60]
    assert [line["step"] for line in validation] == [20, 40, 60]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert training[0]["learning_rate"] > training[-1]["learning_rate"] > 0
    # Far from chance, which is log 3 = 1.1 and no cell found.
    assert validation[-1]["validation_loss"] < 0.8
    assert validation[-1]["validation_jaccard"] > 0.3
    scores = {line["step"]: line["validation_jaccard"] for line in validation}
    assert scores[summary_of(trained.path)["training"]["best_step"]] == max(scores.values())


def test_simulated_data_are_announced_everywhere(trained):
    assert "SIMULATED DATA" in trained.result.err
    assert "14 cells in 1 held-out" in trained.result.err
    for data in (record_of(trained.path, 60)["data"], summary_of(trained.path)["data"]):
        assert data["simulated"] is True
        assert data["source"].startswith("simulated HeLa fields")


def test_device_precision_and_progress_are_printed(trained):
    assert "4 x " in trained.result.err
    assert "precision: float32" in trained.result.err
    assert "step 60/60, " in trained.result.err
    assert "steps/s, 00:00 left, loss " in trained.result.err


def test_stand_in_for_missing_files(tmp_path, monkeypatch):
    """What a machine without data does: it says so, or stops if it may not."""
    monkeypatch.delenv("CELLFLAX_DATA", raising=False)
    monkeypatch.setenv("CELLFLAX_CACHE", str(tmp_path / "cache"))
    fields = "data.stand_in={fields:1,validation_fields:1,field:{height:128,width:128,pixel_size_um:1.3}}"
    tiny = [argument for argument in TINY if "data" not in argument and "debug" not in argument]
    arguments = [*tiny, fields, "logger.wandb=disabled", f"run={tmp_path / 'run'}"]
    refused = run_command(train.main, *arguments, "data.on_missing=error")
    assert refused.status == 1
    assert "set data.root or CELLFLAX_DATA" in refused.error
    result = run_command(train.main, *arguments)
    assert result.status == 0, result.err
    assert "SIMULATED DATA" in result.err
    assert "stand-in: training_data/HeLa_joint not found" in result.err
    assert record_of(tmp_path / "run", 12)["data"]["simulated"] is True


def test_running_a_finished_run_again_changes_nothing(trained, tmp_path):
    run = tmp_path / "quick"
    shutil.copytree(trained.path, run)
    before = contents(run)
    result = run_command(train.main, "+debug=quick", f"run={run}")
    assert (result.status, result.out) == (0, f"run: {run}\n")
    assert "resuming at step 60 of 60" in result.err
    assert contents(run) == before
    assert summary_of(run)["training"] == summary_of(trained.path)["training"]


def test_default_run_directory_is_below_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_command(train.main, *TINY, "name=first")
    run = Path(result.out.removeprefix("run: ").strip())
    assert run.parent == tmp_path / "runs" / "first"
    assert (run / "summary.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_sweep_writes_a_run_each_and_hands_scores_to_the_sweeper(tmp_path, returned):
    result = run_command(train.main, *TINY, f"run={tmp_path}", "-m", "seed=0,1")
    assert result.status == 0, result.err
    runs = [tmp_path / "0", tmp_path / "1"]
    assert [line for line in result.out.splitlines() if line.startswith("run: ")] == [f"run: {r}" for r in runs]
    assert [summary_of(run)["score"] for run in runs] == returned
    assert [json.loads((run / "config.json").read_text())["seed"] for run in runs] == [0, 1]
    first, second = (metrics_of(run)[0]["train_loss"] for run in runs)
    assert first != second


@pytest.mark.slow
def test_ensemble_is_one_run_whose_members_are_averaged(tiny, tmp_path, fields):
    run, out = tmp_path / "run", tmp_path / "out"
    result = run_command(train.main, *TINY, f"run={run}", "trainer.ensemble=2")
    assert result.status == 0, result.err
    assert "training 2 networks on 1 of" in result.err
    given = (f"checkpoint={run}", f"input={fields / 'images'}", f"output={out}", "channels=[phase,nuclear]")
    options = ("save_probability=true", "refine=threshold", "refine.interior=0.3", "overwrite=true")
    assert run_command(predict.main, *given, *options).status == 0
    whole = tifffile.imread(out / "field_0007_probability.tif")
    assert tifffile.imread(out / "field_0007_uncertainty.tif").max() > 0.01
    alone = []
    assert run_command(train.main, *TINY, f"run={tmp_path / 'second'}", "seed=1").status == 0
    for checkpoint in (tiny.path, tmp_path / "second"):
        given = (f"checkpoint={checkpoint}", "step=last", *given[1:])
        assert run_command(predict.main, *given, *options).status == 0
        alone.append(tifffile.imread(out / "field_0007_probability.tif"))
    np.testing.assert_allclose(whole, np.mean(alone, axis=0), atol=1e-3)
    assert np.abs(alone[0] - alone[1]).max() > 0.01


def test_experiment_of_ones_own(tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "short.yaml").write_text(
        "# @package _global_\nname: short\ntrainer: {steps: 12, validate_every: 3, devices: 1}\n"
    )
    run = tmp_path / "run"
    result = run_command(
        train.main, f"--config-dir={tmp_path / 'mine'}", *TINY_NETWORK, "+experiment=short", f"run={run}"
    )
    assert result.status == 0, result.err
    assert summary_of(run)["name"] == "short"
    assert checkpoint_steps(run)[-1] == 12
    assert [line["step"] for line in metrics_of(run) if "validation_loss" in line] == [3, 6, 9, 12]


@pytest.mark.parametrize("change", ["logger.line_seconds=5", "trainer.log_every=3", "trainer.max_minutes=100"])
def test_what_cannot_change_the_result_may_change(trained, tmp_path, change):
    run = tmp_path / "quick"
    shutil.copytree(trained.path, run)
    assert run_command(train.main, "+debug=quick", f"run={run}", change).status == 0


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        (("rescale", "stored_crops", "store"), (), None),  # an older version's: it did what is now the default
        ((), ("sharpen",), "holds a run of another version of cellflax (unknown key sampler.sharpen: "),
    ],
)
def test_runs_of_other_versions(trained, tmp_path, removed, added, message):
    run = tmp_path / "quick"
    shutil.copytree(trained.path, run)
    stored = json.loads((run / "config.json").read_text())
    kept = {key: value for key, value in stored["sampler"].items() if key not in removed}
    (run / "config.json").write_text(json.dumps({**stored, "sampler": {**kept, **dict.fromkeys(added, 1)}}))
    result = run_command(train.main, "+debug=quick", f"run={run}")
    if message is None:
        assert "resuming at step 60 of 60" in result.err
    else:
        assert message in result.error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.learning_rate=0.02", "a run with optimizer.learning_rate=0.01, not 0.02"),
        ("model.dense=[16]", "a run with model.dense=[32], not [16]"),
        ("seed=3", "a run with seed=0, not 3"),
        ("refine=threshold", "a run with refine.kind=watershed, not threshold"),
        ("trainer.steps=61", "a run with trainer.steps=60, not 61"),
    ],
)
def test_another_configuration_is_refused(trained, tmp_path, change, message):
    run = tmp_path / "run"
    shutil.copytree(trained.path, run)
    before = contents(run)
    result = run_command(train.main, "+debug=quick", f"run={run}", change)
    assert result.status == 1
    assert message in result.error
    assert "give the same value to resume it, or another directory as run=..." in result.error
    assert contents(run) == before


def test_learning_rate_too_high(tmp_path):
    result = run_command(train.main, *TINY, "optimizer.learning_rate=1e30", f"run={tmp_path}")
    assert result.status == 1
    assert "the cost stopped being a number between steps 0 and 2; lower optimizer.learning_rate" in result.error
    assert not (tmp_path / "summary.json").exists()


def test_two_trainings_of_one_second_share_no_directory(tmp_path, monkeypatch):
    """As of an array of jobs; where the directory is given, the second one resumes the first."""

    class SameSecond(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hydra.core.utils, "datetime", SameSecond)
    runs = []
    monkeypatch.setattr(train, "train", lambda _, run, **__: runs.append(run.relative_to(tmp_path)) or {"score": 0.5})
    for arguments in (["+debug=quick"], ["+debug=quick"], ["+debug=quick", "run=mine"], ["+debug=quick", "run=mine"]):
        result = run_command(train.main, *arguments)
        assert result.status == 0, result.err
    assert runs == [
        Path("runs/quick/2026-01-02_03-04-05"),
        Path("runs/quick/2026-01-02_03-04-05_2"),
        *[Path("mine")] * 2,
    ]
