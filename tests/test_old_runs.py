"""Run directories that version 0.1.0 wrote, in `fixtures/`: this version loads them, predicts the same and resumes.

They are of 60 steps on one CPU; `stopped` ended at step 10 of the same training. Other compilers and CPUs round
otherwise, so that numbers are compared within a tolerance.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import predict, summarize, train, validate
from tests.commands import arrays_of, checkpoint_steps, metrics_of, record_of, run_command

OLD = Path(__file__).parent / "fixtures" / "version_0_1_0"
# As it was typed then.
ARGUMENTS = (
    "+debug=quick",
    "model.stages=[{kernels:[4],filters:[8]},{kernels:[3],filters:[8]}]",
    "model.dense=[8]",
    "sampler.size=32",
    "optimizer.warmup_steps=0",
    "trainer.devices=1",
    "trainer.steps=60",
    "trainer.validate_every=20",
    "trainer.log_every=10",
)


def test_predicts_the_same(tmp_path):
    given = (f"checkpoint={OLD / 'finished'}", f"input={OLD / 'images'}", f"output={tmp_path}")
    result = run_command(predict.main, *given, "channels=[phase,nuclear]", "save_probability=true")
    assert result.status == 0, result.err
    labels, probability = (
        [tifffile.imread(folder / f"field_0007_{kind}.tif") for folder in (tmp_path, OLD / "predicted")]
        for kind in ("labels", "probability")
    )
    np.testing.assert_allclose(*probability, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(*labels)
    assert labels[0].max() > 5


def test_resumes(tmp_path):
    run = tmp_path / "stopped"
    shutil.copytree(OLD / "stopped", run)
    result = run_command(train.main, *ARGUMENTS, f"run={run}")
    assert result.status == 0, result.err
    assert "resuming at step 10 of 60" in result.err
    assert checkpoint_steps(run) == checkpoint_steps(OLD / "finished") == [40, 60]
    expected, found = arrays_of(OLD / "finished", 60), arrays_of(run, 60)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    for step in (40, 60):
        assert record_of(run, step)["score"] == pytest.approx(record_of(OLD / "finished", step)["score"], abs=1e-4)


def test_another_configuration_is_refused():
    result = run_command(train.main, *ARGUMENTS, f"run={OLD / 'finished'}", "model.dense=[9]")
    assert "holds a run with model.dense=[8], not [9]" in result.error


def test_is_validated(tmp_path):
    run = tmp_path / "finished"
    shutil.copytree(OLD / "finished", run)
    (during,) = [line for line in metrics_of(OLD / "finished") if line["step"] == 60 and "validation_loss" in line]
    result = run_command(validate.main, f"checkpoint={run}", "step=60")
    assert result.status == 0, result.err
    words = result.out.rpartition(": ")[2].split()
    scores = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    known = {name: during[f"validation_{name}"] for name in scores if name != "f1"}  # which that version had not
    assert {name: scores[name] for name in known} == pytest.approx(known, abs=1e-4)
    assert {"loss", "jaccard"} <= scores.keys()


def test_has_guidance(tmp_path):
    run = tmp_path / "finished"
    shutil.copytree(OLD / "finished", run)
    result = run_command(validate.main, f"checkpoint={run}", "guide=true")
    assert result.status == 0, result.err
    assert json.loads((run / "guidance.json").read_text())["held_out"]["cells"] == 14


def test_is_summarized(tmp_path):
    result = run_command(summarize.main, OLD, f"output={tmp_path}")
    assert result.status == 0, result.err
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 2  # `stopped`, too, is listed
    table = pd.read_csv(tmp_path / "summary.csv")
    score = json.loads((OLD / "finished" / "summary.json").read_text())["score"]
    assert table["best_jaccard_mean"].tolist() == pytest.approx([score])
