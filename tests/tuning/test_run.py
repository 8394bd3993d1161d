"""Tuning of a training: kept in its checkpoint, used by prediction, done once, and never from test images."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import predict, train, validate
from cellflax.data.example import Dataset, Example
from cellflax.errors import UserError
from cellflax.prediction import trained_on
from cellflax.prediction.networks import PredictionSettings, load_networks
from cellflax.prediction.trained import load_model
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.training.config import TrainConfig
from cellflax.training.record import read_record
from tests.commands import TINY, arrays_of, assert_same_arrays, checkpoint_steps, record_of, run_command, set_record

# A start that is far off: the networks here are not surer than that.
BAD = ("refine.interior=0.8", "refine.seed_smoothing_px=0")
QUICK = ("tuner.evaluations=16", "tuner.margin=0")
OLD = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("tuned") / "run"
    result = run_command(train.main, *TINY, *BAD, "tune=true", *QUICK, f"run={run}")
    assert result.status == 0, result.err
    assert "tuned: pq of " in result.err
    return run


def tuning_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())["tuning"]


def test_before_and_after_are_in_the_summary_and_the_record(tuned):
    summary = tuning_of(tuned)
    model = load_model(tuned)
    record = model.record["tuning"]
    assert summary == {key: value for key, value in record.items() if key != "trials"}
    assert summary["after"] > summary["before"]
    assert summary["index"] == "pq"
    assert summary["evaluations"] == 16
    assert summary["start"]["interior"] == 0.8
    table = pd.read_csv(tuned / "tuning.csv")
    assert len(table) == 16
    assert table["refine.interior"].tolist() == record["trials"]["refine.interior"]
    assert table["index"][table["chosen"]].tolist() == [pytest.approx(summary["after"])]


def test_prediction_takes_the_tuned_settings(tuned, fields, tmp_path):
    model = load_model(tuned)
    assert model.config.refine.interior == tuning_of(tuned)["refine"]["interior"] < 0.8
    assert model.trained_refine.interior == 0.8
    assert load_networks(tuned, PredictionSettings()).how == model.config.refine
    given = (f"checkpoint={tuned}", f"input={fields / 'images'}", "channels=[phase,nuclear]")
    assert run_command(predict.main, *given, f"output={tmp_path / 'tuned'}").status == 0
    provenance = json.loads((tmp_path / "tuned" / "provenance.json").read_text())
    assert provenance["checkpoint"]["refine"] == tuning_of(tuned)["refine"]
    # What is given wins, as a whole: it starts from its file, not from the checkpoint's.
    given_by_hand = (*given, f"output={tmp_path / 'given'}", "refine=watershed", *BAD)
    assert run_command(predict.main, *given_by_hand).status == 0
    assert load_networks(tuned, PredictionSettings(refine=ThresholdConfig())).how == ThresholdConfig()
    labels = [tifffile.imread(tmp_path / name / "field_0007_labels.tif") for name in ("tuned", "given")]
    assert (labels[0] != labels[1]).any()


def test_a_prediction_is_not_resumed_with_other_settings(tuned, tiny):
    untuned = load_networks(tiny.path, PredictionSettings()).identity()
    assert set(untuned["checkpoint"]) == {"step", "weights"}  # as earlier versions wrote it
    assert load_networks(tuned, PredictionSettings()).identity()["checkpoint"]["refine"]["kind"] == "watershed"


def test_a_finished_run_is_not_tuned_again(tuned, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tuned, run)
    before = {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "summary.json"}
    result = run_command(train.main, *TINY, *BAD, "tune=true", "tuner.evaluations=30", f"run={run}")
    assert result.status == 0, result.err
    assert "was tuned before, and stays as it is" in result.err
    after = {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "summary.json"}
    before.pop("config.json"), after.pop("config.json")  # which names the tuner's new settings
    assert after == before
    assert tuning_of(run) == tuning_of(tuned)


def test_one_seed_gives_one_result(tuned, tmp_path):
    run = tmp_path / "again"
    assert run_command(train.main, *TINY, *BAD, "tune=true", *QUICK, f"run={run}").status == 0
    first, again = (tuning_of(directory) | {"seconds": None} for directory in (tuned, run))  # which depends on the load
    assert again == first
    assert (run / "tuning.csv").read_bytes() == (tuned / "tuning.csv").read_bytes()
    assert checkpoint_steps(run) == checkpoint_steps(tuned)


def test_an_old_run_is_tuned_by_validate(tmp_path):
    """One that version 0.1.0 wrote; its arrays, its score and its other checkpoints stay."""
    run = tmp_path / "old"
    shutil.copytree(OLD / "finished", run)
    best = load_model(run)
    other = {40: 60, 60: 40}[best.step]
    result = run_command(validate.main, f"checkpoint={run}", "tune=true", *QUICK)
    assert result.status == 0, result.err
    assert result.out.startswith(f"{run}: pq_before 0.")
    tuned = load_model(run)
    assert tuned.step == best.step
    assert tuned.record["tuning"]["start"] == {**best.record["config"]["refine"]}
    assert tuned.record["tuning"]["test_time_augmentation"] == best.config.test_time_augmentation
    assert {key: value for key, value in tuned.record.items() if key not in ("tuning", "record_crc32")} == best.record
    assert_same_arrays(arrays_of(run, best.step), arrays_of(OLD / "finished", best.step))
    assert record_of(run, other) == record_of(OLD / "finished", other)
    assert (run / "tuning.csv").is_file()
    # Scored again, it gives what tuning said.
    again = run_command(validate.main, f"checkpoint={run}")
    shutil.copytree(OLD / "finished", tmp_path / "before")
    jaccard = run_command(validate.main, f"checkpoint={tmp_path / 'before'}")
    assert again.status == jaccard.status == 0
    if tuned.config.refine != best.config.refine:
        assert again.out != jaccard.out.replace(str(tmp_path / "before"), str(run))


def test_a_tuned_run_resumes(tmp_path):
    """Orbax reads the record that was replaced, and keeps the best."""
    run = tmp_path / "run"
    stopped = (*TINY, *BAD, "trainer.max_minutes=0.00001")
    assert run_command(train.main, *stopped, f"run={run}").status == 0
    step = load_model(run).step
    assert run_command(validate.main, f"checkpoint={run}", "tune=true", *QUICK).status == 0
    assert read_record(run / "checkpoints" / str(step))["tuning"]["index"] == "pq"
    result = run_command(train.main, *TINY, *BAD, f"run={run}")
    assert result.status == 0, result.err
    assert f"resuming at step {step} of 12" in result.err
    assert checkpoint_steps(run)[-1] == 12


def test_another_index_and_another_refinement(tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    given = ("tune=true", "tuner.evaluations=5", "tuner.index=jaccard", "refine=threshold", "refine.interior=0.3")
    result = run_command(validate.main, f"checkpoint={run}", *given, "tuner.margin=0", "test_time_augmentation=4")
    assert result.status == 0, result.err
    assert f"{run}: jaccard_before" in result.out
    model = load_model(run)
    assert isinstance(model.config.refine, ThresholdConfig)
    assert isinstance(model.trained_refine, WatershedConfig)
    assert model.record["tuning"]["start"]["interior"] == 0.3
    assert model.record["tuning"]["test_time_augmentation"] == 4
    # Tuned again, it begins with the training's.
    assert run_command(validate.main, f"checkpoint={run}", "tune=true", "tuner.evaluations=2").status == 0
    assert load_model(run).record["tuning"]["start"]["kind"] == "watershed"


class _Unread:
    """A test image that nobody may look at."""

    name, data_set, pixel_size_um = "secret", "", None

    def __getattr__(self, name: str):
        raise AssertionError(f"{name} of a test image was read")


def test_test_images_are_never_read(tiny, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    load = trained_on.load_dataset

    def with_test(config) -> Dataset:
        return replace(load(config), test=(_Unread(),))

    monkeypatch.setattr(trained_on, "load_dataset", with_test)
    with pytest.raises(AssertionError, match="of a test image was read"):  # the guard works
        validate.score_test(load_model(run), with_test(load_model(run).config.data).test, WatershedConfig(), 1, run)
    assert run_command(validate.main, f"checkpoint={run}", "tune=true", "tuner.evaluations=4").status == 0


def test_training_tunes_before_it_looks_at_test_images(tmp_path, monkeypatch):
    load, score, events = train.load_dataset, train.score_test, []

    def with_test(config) -> Dataset:
        data = load(config)
        example: Example = data.validation[0].example
        return replace(data, test=(replace(example, name="kept"),))

    def scored(model, examples, how, *others):
        events.append((how, model.record.get("tuning")))
        return score(model, examples, how, *others)

    monkeypatch.setattr(train, "load_dataset", with_test)
    monkeypatch.setattr(train, "score_test", scored)
    run = tmp_path / "run"
    result = run_command(train.main, *TINY, *BAD, "tune=true", *QUICK, f"run={run}")
    assert result.status == 0, result.err
    ((how, tuning),) = events
    assert how.interior == tuning["refine"]["interior"] != 0.8  # and the scores are those of the tuned settings
    tested = json.loads((run / "test.json").read_text())
    assert tested["settings"]["refine"] == tuning["refine"]


def test_a_new_split_is_refused(tiny, tmp_path, monkeypatch):
    """Images of the training may be held out now."""
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    load = trained_on.load_dataset

    def other(config) -> Dataset:
        data = load(config)
        region = data.validation[0]
        return replace(data, validation=(replace(region, example=replace(region.example, name="other")),))

    monkeypatch.setattr(trained_on, "load_dataset", other)
    result = run_command(validate.main, f"checkpoint={run}", "tune=true")
    assert "held out 1 regions of other images than there are now; restore those of its training" in result.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("part=test", "tune=true"), "tune=true chooses settings, and part=test is for final scores"),
        (("erode_reference=true", "tune=true"), "erode_reference=true has no effect with tune=true"),
        (("tuner.index=f2",), "tuner.index must be one of f1_50, f1_70, mean_f1, pq, jaccard"),
        (("refine.interior=0.3",), "refine.interior: no refine is given that it could change; add refine=threshold"),
        (("tune=true", "refine=whole_cell"), "refine=whole_cell starts from the classes nucleus and cytoplasm"),
    ],
)
def test_mistakes_in_one_line(tiny, tmp_path, arguments, message):
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    before = record_of(run, load_model(run).step)
    assert message in run_command(validate.main, f"checkpoint={run}", *arguments).error
    assert record_of(run, load_model(run).step) == before


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        (5, "its record holds values of other types"),
        ({}, "the record of its tuning has no refine"),
        ({"refine": {"kind": "magic"}}, "the record of its tuning: refine.kind must be one of"),
        ({"refine": {"kind": "watershed", "interior": 7.0}}, "the record of its tuning: refine.interior must be in"),
    ],
)
def test_a_damaged_record_is_one_line(tiny, tmp_path, tuning, message):
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    for step in checkpoint_steps(run):
        set_record(run / "checkpoints" / str(step), tuning=tuning)
    with pytest.raises(UserError, match=message):
        load_model(run)


def test_who_is_tuned_by_default():
    from cellflax.data.folder import FolderData
    from cellflax.data.simulated import SimulatedData

    assert TrainConfig(data=FolderData(root="x")).tune is True
    assert TrainConfig(data=SimulatedData()).tune is False
    assert TrainConfig(data=FolderData(root="x"), tune=False).tune is False
    assert TrainConfig(data=SimulatedData(), tune=True).tune is True


def test_own_images_are_tuned(fields, tmp_path):
    run = tmp_path / "run"
    others = ("data.", "+debug")
    own = [argument for argument in TINY if not argument.startswith(others)]
    given = ("data=folder", f"data.root={fields}", "data.channels=[phase,nuclear]", "data.split=region")
    options = ("seed_channel=null", "sampler.batch=2", "logger.wandb=disabled")
    result = run_command(train.main, *own, *given, *options, *QUICK, f"run={run}")
    assert result.status == 0, result.err
    assert tuning_of(run)["regions"] == 2
    assert np.isfinite(tuning_of(run)["after"])
