"""`cellflax.train` with a time budget and averaged weights, as commands."""

import json
import shutil

import numpy as np
import pytest

from cellflax import summarize, train, validate
from tests.commands import TINY, arrays_of, checkpoint_steps, metrics_of, record_of, run_command

BUDGET = (
    *TINY,
    "data.validation_fields=3",
    "trainer.validate_every=null",
    "trainer.validate_regions=1",
    "trainer.max_minutes=30",  # never over: this machine may have other work
)


@pytest.fixture(scope="module")
def budgeted(tmp_path_factory):
    run = tmp_path_factory.mktemp("budget") / "run"
    return run, run_command(train.main, *BUDGET, f"run={run}")


def scores(line: str) -> dict[str, float]:
    words = line.rpartition(": ")[2].split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def test_the_reported_figure_is_that_of_validate(budgeted):
    run, result = budgeted
    assert result.status == 0, result.err
    assert "all steps done: best validation jaccard " in result.err
    assert " % validation)" in result.err
    summary = json.loads((run / "summary.json").read_text())
    training = summary["training"]
    assert (training["sample"], training["reported_regions"]) == (1, 3)
    assert summary["score"] == training["reported_score"]
    validated = scores(run_command(validate.main, f"checkpoint={run}").out)
    assert validated["jaccard"] == pytest.approx(summary["score"], abs=1e-4)
    (final,) = [line for line in metrics_of(run) if "final_loss" in line]
    assert validated["loss"] == pytest.approx(final["final_loss"], abs=1e-4)
    assert json.loads((run / "config.json").read_text())["trainer"]["validate_every"] is None


def test_it_is_summarized_by_the_reported_figure(budgeted, tmp_path):
    run, _ = budgeted
    result = run_command(summarize.main, run, f"output={tmp_path}")
    assert result.status == 0, result.err
    score = json.loads((run / "summary.json").read_text())["score"]
    assert f"{score:.3f}" in (tmp_path / "summary.md").read_text()


def test_a_run_without_a_budget_may_get_one(tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    changes = ("trainer.max_minutes=10", "trainer.validate_every=null")
    result = run_command(train.main, *TINY, *changes, f"run={run}")
    assert result.status == 0, result.err
    assert "resuming at step 12 of 12" in result.err
    result = run_command(train.main, *TINY, "trainer.validate_every=6", f"run={run}")
    assert "holds a run with trainer.validate_every=4, not 6" in result.error


def test_averaged_weights_are_what_prediction_uses(tiny, tmp_path):
    run = tmp_path / "run"
    result = run_command(train.main, *TINY, "optimizer.average=0.5", "trainer.ensemble=2", f"run={run}")
    assert result.status == 0, result.err
    last = checkpoint_steps(run)[-1]
    arrays, plain = arrays_of(run, last), arrays_of(tiny.path, last)
    names = [name for name in plain if name.startswith(("params.", "stats."))]
    assert {f"trained.{name}" for name in names} == {name for name in arrays if name.startswith("trained.")}
    kernel = next(name for name in names if name.endswith("kernel"))
    np.testing.assert_allclose(arrays[f"trained.{kernel}"][0], plain[kernel][0], rtol=1e-3, atol=1e-4)
    assert np.abs(arrays[kernel][0] - plain[kernel][0]).max() > 1e-4
    validated = scores(run_command(validate.main, f"checkpoint={run}", "step=last").out)
    assert validated["loss"] == pytest.approx(record_of(run, last)["validation"]["loss"], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainer.steps=null", "trainer.steps=null needs a time budget; give trainer.max_minutes=15"),
        ("optimizer.average=1", "optimizer.average must be in [0, 1), got 1.0"),
        ("trainer.validate_regions=0", "trainer.validate_regions must be 1 or more, or null, got 0"),
    ],
)
def test_mistakes(tmp_path, change, message):
    assert message in run_command(train.main, *TINY, change, f"run={tmp_path}").error
