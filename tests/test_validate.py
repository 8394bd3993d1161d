"""`cellflax.validate`: the held-out regions of a finished training, scored again."""

import shutil
from dataclasses import replace

import pytest

from cellflax import validate
from cellflax.errors import UserError
from cellflax.prediction import trained_on
from cellflax.prediction.trained import load_model
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from tests.commands import metrics_of, run_command
from tests.conftest import TrainedRun


@pytest.fixture(scope="module")
def trained(trained, tmp_path_factory) -> TrainedRun:
    """A copy of the shared training, because each validation writes its report there."""
    path = tmp_path_factory.mktemp("validated") / "run"
    shutil.copytree(trained.path, path)
    return replace(trained, path=path)


def printed(line: str) -> dict[str, float]:
    words = line.rpartition(": ")[2].split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def test_scores_are_those_of_the_training(trained):
    (during,) = [m for m in metrics_of(trained.path) if m["step"] == 60 and "validation_loss" in m]
    result = run_command(validate.main, f"checkpoint={trained.path}", "step=60")
    assert result.status == 0, result.err
    for name, value in printed(result.out).items():
        assert value == pytest.approx(during[f"validation_{name}"], abs=1e-4)


def test_sweep_over_refinements(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = (f"checkpoint={trained.path}", "refine=watershed", "refine.interior=0.3,0.9")
    result = run_command(validate.main, "-m", *arguments)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"refine=watershed refine.interior={v}" for v in (0.3, 0.9)]
    low, high = map(printed, lines)
    assert low["loss"] == high["loss"]
    assert low["jaccard"] > high["jaccard"]
    assert [path.name for path in tmp_path.iterdir()] == ["multirun"]  # Hydra's record of the sweep
    page = (trained.path / "report.validate.html").read_text()
    for interior, scores in (("0.3", low), ("0.9", high)):  # the report of the last job has those before
        assert f"<td>refine=watershed refine.interior={interior}</td>" in page
        assert f"{scores['jaccard']:.4g}" in page
    assert "The worst cells" in page


def test_nuclei_seed_a_refinement_that_takes_them(trained):
    assert load_model(trained.path).config.seed_channel == "nuclear"
    for kind, seeded in ((ThresholdConfig, False), (WatershedConfig, True)):
        regions = validate._validator(str(trained.path), "best", kind).held_out
        assert [region.seeds is not None for region in regions] == [seeded] * len(regions)


def test_nothing_to_test(trained):
    result = run_command(validate.main, f"checkpoint={trained.path}", "part=test")
    assert "kept no image for a test; train with data.folds or data.test_sets" in result.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "checkpoint is not given; add checkpoint=..."),
        (("checkpoint=nowhere",), "checkpoint nowhere does not exist"),
        (
            ("checkpoint=nowhere", "test_time_augmentation=3"),
            "test_time_augmentation must be 1, 4 or 8, or null",
        ),
    ],
)
def test_mistakes_in_one_line(arguments, message):
    result = run_command(validate.main, *arguments)
    assert result.status == 1
    assert message in result.error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": ("nuclear", "phase")}, "the channels phase, nuclear, but its data have nuclear, phase now"),
        ({"class_names": ("interior", "background")}, "the classes edge, interior, background, but its data have"),
    ],
)
def test_data_of_other_channels_or_classes_are_refused(trained, monkeypatch, change, message):
    load = trained_on.load_dataset
    monkeypatch.setattr(trained_on, "load_dataset", lambda config: replace(load(config), **change))
    with pytest.raises(UserError, match=message):
        trained_on.trained_on(load_model(trained.path))
