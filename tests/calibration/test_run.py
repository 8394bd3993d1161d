"""Calibration from the command line: made on held-out cells, kept in the checkpoint, written by `predict`, scored."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cellflax
from cellflax import evaluate, predict, quantify, train, validate
from cellflax.calibration import run as calibration_run
from cellflax.calibration.judged import judged_cells
from cellflax.data.folder import FolderData
from cellflax.data.simulated import SimulatedData
from cellflax.errors import UserError
from cellflax.inference.settings import Tiling
from cellflax.prediction.calibration import read_calibration
from cellflax.prediction.held_out_maps import HeldOutMaps
from cellflax.prediction.networks import PredictionSettings, load_networks
from cellflax.prediction.trained import load_model
from cellflax.refine.threshold import ThresholdConfig
from cellflax.training.config import TrainConfig
from tests.commands import TINY, Result, record_of, run_command, set_record

COLUMNS = ["probability_iou50", "probability_iou80"]
HOW = ("refine=threshold", "refine.interior=0.4", "refine.min_area_px=20")
REFINE = ThresholdConfig(interior=0.4, min_area_px=20)


@pytest.fixture(scope="module")
def calibrated(trained, tmp_path_factory) -> tuple[Path, Result]:
    """A quick training, calibrated with as few cells as it has."""
    run = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(trained.path, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_run, "LEAST_CELLS", 1)
        result = run_command(validate.main, f"checkpoint={run}", "calibrate=true", *HOW)
    assert result.status == 0, result.err
    return run, result


def entry_of(run: Path) -> dict:
    return load_model(run).record["calibration"]


def predicted(run: Path, fields: Path, output: Path, *more: object) -> tuple[pd.DataFrame, Result]:
    given = (f"checkpoint={run}", f"input={fields / 'images'}", "channels=[phase,nuclear]", f"output={output}")
    result = run_command(predict.main, *given, "overwrite=true", *more)
    assert result.status == 0, result.err
    return pd.read_csv(output / "cells.csv", dtype={"image": str}), result


def test_what_is_kept(calibrated, trained):
    run, result = calibrated
    before, after = load_model(trained.path).record, load_model(run).record
    entry = after.pop("calibration")
    assert after.pop("record_crc32") != before.pop("record_crc32")
    assert after == before
    assert (entry["cells"], entry["regions"], entry["images"], entry["simulated"]) == (10, 1, 1, True)
    for name in COLUMNS:
        scores = entry["scores"][name]
        assert scores["n_right"] + scores["n_wrong"] == 10
        assert scores["cross_fitted"]["n_right"] == scores["n_right"]
        assert set(scores["before"]) == {"mean probability of foreground", "mean probability of interior"}
        line = f"calibrated: {name} by 10 SIMULATED cells in 1 held-out regions, {scores['n_right']} of them right; "
        assert line in result.err
        assert f"{name}_calibration_error {scores['cross_fitted']['expected_calibration_error']:.4f}" in result.out
    assert pd.read_csv(run / "calibration.csv").groupby("probability")["n_cells"].sum().to_dict() == {
        name: 10 for name in COLUMNS
    }
    assert (run / "calibration.png").stat().st_size > 10_000
    json.dumps(entry, allow_nan=False)


def test_prediction_measures_cells_as_the_calibration_did(calibrated):
    """The held-out image, segmented by the door for Python, has the probabilities of the judged cells."""
    run, _ = calibrated
    model, dataset = validate._load(str(run), "best")
    calibration = read_calibration(model)
    maps = HeldOutMaps(model, validate._validator(str(run), "best", ThresholdConfig), 1)
    (region,) = dataset.validation
    judged = judged_cells(maps, [region], REFINE)
    expected = calibration.probabilities(judged.measured)
    example = region.example
    found = cellflax.load(run, PredictionSettings(refine=REFINE))(
        example.image, channels=dataset.channels, pixel_size_um=example.pixel_size_um
    )
    np.testing.assert_allclose(found.cells[COLUMNS], expected, rtol=1e-4)
    assert found.cells["probability_iou50"].nunique() > 5


def test_columns_travel_and_are_scored(calibrated, fields, tmp_path):
    run, _ = calibrated
    cells, result = predicted(run, fields, tmp_path / "p", *HOW)
    assert "calibrated on 10 SIMULATED cells in 1 held-out regions" in result.err
    assert cells[COLUMNS].notna().to_numpy().all()
    assert (cells["probability_iou80"] <= cells["probability_iou50"]).all()
    given = (f"predicted={tmp_path / 'p'}", f"reference={fields / 'labels'}", f"output={tmp_path / 'e'}")
    scored = run_command(evaluate.main, *given)
    assert scored.status == 0, scored.err
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    at_half = metrics["calibration"]["probability_iou50"]
    assert at_half["n_cells"] == len(cells) == metrics["pooled"]["n_predicted"]
    assert at_half["n_right"] == metrics["pooled"]["by_iou"][0]["true_positives"]
    assert metrics["calibration"]["probability_iou80"]["n_right"] == metrics["pooled"]["by_iou"][6]["true_positives"]
    rate = at_half["n_right"] / len(cells)
    assert at_half["brier_of_rate"] == pytest.approx(rate * (1 - rate))
    assert f"probability_iou50: {at_half['n_right']} of {len(cells)} cells are right" in scored.out
    bins = pd.read_csv(tmp_path / "e" / "reliability.csv")
    of_half = bins[bins["probability"] == "probability_iou50"]
    gap = (of_half["mean_probability"] - of_half["share_right"]).abs() @ of_half["n_cells"] / len(cells)
    assert at_half["expected_calibration_error"] == pytest.approx(gap)
    assert (tmp_path / "e" / "reliability.png").is_file()
    measured = run_command(quantify.main, "method=cells", given[0], f"output={tmp_path / 'q'}")
    assert measured.status == 0, measured.err
    table = pd.read_csv(tmp_path / "q" / "cells.csv")
    np.testing.assert_allclose(table[COLUMNS], cells[COLUMNS])


def test_other_pixels_have_no_probability(calibrated, fields, tmp_path):
    cells, result = predicted(calibrated[0], fields, tmp_path / "p", *HOW, "pixel_size_um=2.6")
    assert cells[COLUMNS].isna().to_numpy().all()
    assert result.err.count("are empty, because its pixels are not as large as those of the calibration") == 1
    given = (f"predicted={tmp_path / 'p'}", f"reference={fields / 'labels'}", f"output={tmp_path / 'e'}")
    assert run_command(evaluate.main, *given).status == 0
    assert "calibration" not in json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert not (tmp_path / "e" / "reliability.csv").exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "they were calibrated for refine=threshold, not watershed and "),
        ({"refine": replace(REFINE, interior=0.5)}, "refine.interior=0.4, not 0.5; cellflax validate calibrate=true"),
        ({"refine": REFINE, "test_time_augmentation": 4}, "for test_time_augmentation=1, not 4; cellflax validate"),
        ({"refine": REFINE, "tiling": Tiling.gaussian}, "for tiling=seamless, not gaussian"),
        ({"refine": REFINE, "network_pixel_size_um": 1.0}, "for scale.pixel_size_um=None, not 1.0"),
    ],
)
def test_other_settings_have_no_probability(calibrated, settings, reason):
    sureness = load_networks(calibrated[0], PredictionSettings(**settings)).sureness
    assert sureness.calibration is None
    (line,) = sureness.remarks
    assert line.startswith("no probability_iou50 and probability_iou80: they were calibrated for ")
    assert reason in line


def test_given_nuclei_have_no_probability(calibrated, fields, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(calibrated[0], run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_run, "LEAST_CELLS", 1)
        assert run_command(validate.main, f"checkpoint={run}", "calibrate=true").status == 0  # with its own watershed
    assert load_networks(run, PredictionSettings()).sureness.calibration is not None
    cells, result = predicted(run, fields, tmp_path / "p", f"nuclei={fields / 'nuclei'}")
    assert "probability_iou50" not in cells
    assert "probability_iou80: nuclei=" in result.err
    assert "seeds the cells, and they were calibrated without" in result.err


def test_tuning_makes_a_calibration_unfit_unless_it_follows(calibrated, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(calibrated[0], run)
    tuner = ("tune=true", "tuner.evaluations=4", "tuner.margin=0", "refine=threshold", "refine.interior=0.9")
    assert run_command(validate.main, f"checkpoint={run}", *tuner).status == 0
    assert load_networks(run, PredictionSettings()).sureness.calibration is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_run, "LEAST_CELLS", 1)
        result = run_command(validate.main, f"checkpoint={run}", *tuner, "calibrate=true")
    assert result.status == 0, result.err
    assert "pq_after" in result.out
    assert "probability_iou50_calibration_error" in result.out
    networks = load_networks(run, PredictionSettings())
    assert networks.sureness.calibration is not None
    assert networks.sureness.calibration.refine == networks.how


def test_a_training_says_why_there_is_none(tiny, tmp_path):
    """One that has ended, and is run again to be calibrated."""
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    result = run_command(train.main, *TINY, "calibrate=true", f"run={run}")
    assert result.status == 0, result.err
    reasons = [line for line in result.err.splitlines() if line.startswith("no probability_iou")]
    assert len(reasons) == 2
    summary = json.loads((run / "summary.json").read_text())
    assert reasons == [f"no {name}: {reason}" for name, reason in summary["calibration"]["missing"].items()]
    assert "and 20 of each are needed" in reasons[0]
    assert not (run / "calibration.csv").exists()
    before = record_of(run, load_model(run).step)
    again = run_command(train.main, *TINY, "calibrate=true", f"run={run}")
    assert "was calibrated before, and stays as it is" in again.err
    assert record_of(run, load_model(run).step) == before
    sureness = load_networks(run, PredictionSettings()).sureness
    assert sureness.calibration is None
    assert list(sureness.remarks) == reasons


def test_who_is_calibrated_by_default():
    assert TrainConfig(data=FolderData(root="x")).calibrate is True
    assert TrainConfig(data=SimulatedData()).calibrate is False
    assert TrainConfig(data=FolderData(root="x"), calibrate=False).calibrate is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (5, "its record holds values of other types"),
        ({}, "the record of its calibration: the configuration must be"),
        ({"centre": []}, "the record of its calibration: its numbers do not fit each other"),
        ({"spread": [0.0] * 10}, "its numbers do not fit each other"),
        ({"weights": {"probability_iou50": ["nan"] * 12}}, "its numbers do not fit each other"),
        ({"weights": {"area": [0.0] * 12}}, "it has other probabilities than probability_iou50, probability_iou80"),
        ({"refine": {"kind": "magic"}}, "refine.kind must be one of"),
    ],
)
def test_a_damaged_record_is_one_line(calibrated, tmp_path, change, message):
    run = tmp_path / "run"
    shutil.copytree(calibrated[0], run)
    step = load_model(run).step
    entry = record_of(run, step)["calibration"]
    if isinstance(change, dict):
        entry["fitted"] = {**entry["fitted"], **change} if change else None
    set_record(run / "checkpoints" / str(step), calibration=change if change == 5 else entry)
    with pytest.raises(UserError, match=message):
        load_networks(run, PredictionSettings(refine=REFINE))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("part=test", "calibrate=true"), "calibrate=true learns from cells, and part=test is for final scores"),
        (("erode_reference=true", "calibrate=true"), "erode_reference=true has no effect with calibrate=true"),
    ],
)
def test_mistakes_in_one_line(arguments, message):
    assert message in run_command(validate.main, "checkpoint=nowhere", *arguments).error
