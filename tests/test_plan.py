"""`cellflax.plan`, and the plan within `cellflax.train`, as commands."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from cellflax import plan, predict, train
from cellflax.data.split import Split
from cellflax.models.patch_net import PatchNetConfig
from cellflax.models.unet import UNetConfig
from cellflax.planning.plan_file import EXPERIMENT, PLAN_FILE
from cellflax.training.config import TrainConfig
from tests.commands import TINY_UNET, metrics_of, run_command
from tests.planning.discs import discs, stained, write_folder

SMALL = (
    *TINY_UNET,
    "test_time_augmentation=1",
    "logger.wandb=disabled",
    "tune=false",
    "guide=false",
    "trainer.devices=1",
)


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> Path:
    """Seven images of discs 14 px wide."""
    root = tmp_path_factory.mktemp("plan") / "my cells 2024"
    return write_folder(root, {f"a{i}": discs(14, 4, 4, 24) for i in range(7)})


@pytest.fixture
def trained_with(monkeypatch) -> list[tuple[TrainConfig, Path]]:
    """What `train` would do: configurations and directories, without doing it."""
    jobs: list[tuple[TrainConfig, Path]] = []

    def note(config: TrainConfig, run: Path, **_: object) -> dict:
        jobs.append((config, run))
        return {"score": 0.5}

    monkeypatch.setattr(train, "train", note)
    return jobs


def run_train(*arguments: object):
    result = run_command(train.main, *arguments)
    assert result.status == 0, result.err
    return result


def test_own_images_are_planned(mine, trained_with, tmp_path):
    result = run_train("data=folder", f"data.root={mine}", f"run={tmp_path / 'run'}")
    ((config, run),) = trained_with
    assert isinstance(config.model, UNetConfig)
    assert (config.seed_channel, config.trainer.max_minutes, config.data.split) == (None, 30.0, Split.image)
    assert config.normalize.subtract_local_mean is False
    assert config.sampler.size == 96
    assert config.data.root == str(mine)
    for words in ("sampler.size", "cells across", "median 14", "7 images with cells", "to change it: cellflax train"):
        assert words in result.err, words
    assert sorted(path.name for path in run.rglob("*") if path.is_file()) == ["plan.json", "planned.yaml"]
    stored = json.loads((run / "plan/plan.json").read_text())
    assert stored["measured"]["cells"]["count"] == 7 * 16


def test_the_printed_command_trains_by_the_plan(mine, trained_with, tmp_path):
    result = run_train("data=folder", f"data.root={mine}", "name=mine", f"run={tmp_path / 'my run'}")
    command = shlex.split(result.err.split("to change it: ")[1].splitlines()[0])
    assert command[:2] == ["cellflax", "train"]
    result = run_train(*command[2:])
    (planned, _), (again, _) = trained_with
    assert again == TrainConfig(**{**vars(planned), "run": again.run})
    assert "measured" not in result.err


def test_own_is_the_same_written_out(mine, trained_with, tmp_path):
    run_train("+experiment=own", f"data.root={mine}", f"run={tmp_path / 'a'}", "name=x", "seed=3")
    run_train("data=folder", f"data.root={mine}", f"run={tmp_path / 'b'}", "name=x", "seed=3")
    (own, _), (plain, _) = trained_with
    assert own == TrainConfig(**{**vars(plain), "run": own.run})
    assert own.seed == 3


def test_what_is_given_stays(mine, trained_with, tmp_path):
    given = (
        "refine=threshold",
        "sampler.augment={scale: 1.3, gain: 0.2}",
        "optimizer.learning_rate=0.01",
        "data.edge_px=1",
    )
    run_train(
        "data=folder", f"data.root={mine}", f"run={tmp_path / 'a'}", *given, "model=patch_net_31", "seed_channel=null"
    )
    ((config, run),) = trained_with
    assert isinstance(config.model, PatchNetConfig)
    assert (config.refine.interior, config.optimizer.learning_rate, config.data.edge_px) == (0.6, 0.01, 1)
    assert (config.sampler.augment.scale, config.sampler.augment.gain, config.sampler.augment.rotate_degrees) == (
        1.3,
        0.2,
        45,
    )
    content = yaml.safe_load((run / PLAN_FILE.replace("experiment", "plan/experiment", 1)).read_text())
    assert {"override /model": "patch_net_31"} in content["defaults"]
    assert "model" not in content
    assert "refine" not in content
    assert content["optimizer"]["learning_rate"] == 0.01


def test_keys_of_the_default_network_keep_it(mine, trained_with, tmp_path):
    stages = "model.stages=[{kernels:[4],filters:[8]},{kernels:[3],filters:[8]}]"
    run_train("data=folder", f"data.root={mine}", f"run={tmp_path / 'a'}", stages, "model.dense=[8]")
    ((config, _),) = trained_with
    assert isinstance(config.model, PatchNetConfig)
    assert config.model.dense == [8]


@pytest.mark.parametrize(
    "arguments",
    [
        ("data=folder", "plan=false"),
        ("+experiment=brightfield_auto",),
        ("data=folder", "+experiment=nuclei", "data=folder"),
    ],
)
def test_no_plan_where_there_is_a_recipe(mine, trained_with, tmp_path, arguments):
    result = run_train(*arguments, f"data.root={mine}", f"run={tmp_path / 'a'}")
    assert "measured" not in result.err
    assert not (tmp_path / "a/plan").exists()


def test_an_experiment_wins_over_a_plan(mine, trained_with, tmp_path):
    (tmp_path / "conf/experiment").mkdir(parents=True)
    lines = ["# @package _global_", "defaults:", "  - override /refine: nuclei", "  - _self_", "sampler: {size: 128}"]
    (tmp_path / "conf/experiment/half.yaml").write_text("\n".join(lines))
    where = ("--config-dir", tmp_path / "conf", "+experiment=half", "data=folder", f"data.root={mine}")
    run_train(*where, "plan=true", f"run={tmp_path / 'a'}")
    run_train(*where, f"run={tmp_path / 'b'}")
    (planned, _), (plain, _) = trained_with
    assert planned.sampler.size == plain.sampler.size == 128
    assert planned.refine == plain.refine
    assert isinstance(planned.model, UNetConfig)
    assert isinstance(plain.model, PatchNetConfig)


def test_a_sweep_plans_each_job_around_its_values(mine, trained_with, tmp_path):
    run_train("-m", "data=folder", f"data.root={mine}", f"run={tmp_path / 'sweep'}", "optimizer.learning_rate=0.1,0.2",
              "model=unet,patch_net_31")  # fmt: skip
    found = [(config.optimizer.learning_rate, type(config.model)) for config, _ in trained_with]
    assert sorted(found, key=str) == sorted(
        [(rate, network) for rate in (0.1, 0.2) for network in (UNetConfig, PatchNetConfig)], key=str
    )
    assert [run.name for _, run in trained_with] == ["0", "1", "2", "3"]
    assert all((run / "plan" / PLAN_FILE).exists() for _, run in trained_with)


def test_a_run_that_has_begun_keeps_its_plan(mine, trained_with, tmp_path):
    run = tmp_path / "run"
    given = ("data=folder", f"data.root={mine}", f"run={run}")
    run_train(*given, "trainer.steps=7")
    (run / "config.json").write_text("{}")
    file = run / "plan" / PLAN_FILE
    file.write_text(file.read_text().replace("balance: 0.5", "balance: 0.75"))
    result = run_train(*given)
    config, _ = trained_with[-1]
    assert (config.sampler.balance, config.trainer.steps) == (0.75, 7)
    assert "measured" not in result.err
    assert f"the plan of this run is {file}" in result.err
    file.write_bytes(b"\0" * file.stat().st_size)  # by a power cut
    result = run_train(*given, "trainer.steps=7")
    assert (trained_with[-1][0].sampler.balance, trained_with[-1][0].trainer.steps) == (0.5, 7)
    assert f"plan: {file}" in result.err
    shutil.rmtree(run / "plan")  # as in a run of an older version
    run_train(*given)
    assert isinstance(trained_with[-1][0].model, PatchNetConfig)


def test_a_plan_is_no_code(mine, trained_with, tmp_path):
    run = tmp_path / "run"
    run_train("data=folder", f"data.root={mine}", f"run={run}")
    (run / "config.json").write_text("{}")
    (run / "plan" / PLAN_FILE).write_text("# @package _global_\nmodel: {_target_: os.system}\n")
    result = run_command(train.main, "data=folder", f"data.root={mine}", f"run={run}")
    assert "model._target_ would run code, which no file may" in result.error


# The command alone.


def test_plan_prints_and_writes_nothing(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_command(plan.main, f"data.root={mine}", "trainer.max_minutes=5")
    assert result.status == 0, result.err
    assert "  sampler.size  " in " ".join(result.out.split("\n"))
    assert "given" in next(line for line in result.out.splitlines() if "trainer.max_minutes" in line)
    assert list(tmp_path.iterdir()) == []


def test_plan_writes_an_experiment_and_its_command(mine, trained_with, tmp_path):
    output = tmp_path / "it's a plan"
    given = (f"data.root={mine}", f"output={output}", "name=2024_01", "trainer.steps=3")
    result = run_command(plan.main, *given)
    assert result.status == 0, result.err
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()) == [
        "experiment/planned.yaml", "plan.json", "provenance.plan.json",
    ]  # fmt: skip
    command = shlex.split(result.out.splitlines()[-1])
    assert command == ["cellflax", "train", "--config-dir", str(output), f"+experiment={EXPERIMENT}"]
    run_train(*command[2:], f"run={tmp_path / 'run'}")
    ((config, _),) = trained_with
    assert (config.name, config.trainer.steps, config.data.root) == ("2024_01", 3, str(mine))
    assert "holds the results of an earlier run" in run_command(plan.main, *given).error
    assert run_command(plan.main, *given, "overwrite=true").status == 0


def test_channels_in_files_of_their_own_are_found(trained_with, tmp_path):
    cells, nuclei = discs(40, 3, 3, 60), discs(16, 3, 3, 60)
    for name in "abcdef":
        for part, image in (("actin", stained(cells)), ("dapi", stained(nuclei)), ("masks", cells.astype(np.uint16))):
            (tmp_path / "mine").mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / f"mine/{name}_{part}.tif", image)
    run_train("data=folder", f"data.root={tmp_path / 'mine'}", f"run={tmp_path / 'run'}")
    ((config, _),) = trained_with
    assert config.data.channels == ["actin", "dapi"]
    assert config.seed_channel == "dapi"
    assert config.seeds.diameter_px == pytest.approx(16, abs=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: write_folder(root, {}), "no "),
        (lambda root: write_folder(root, {"a": discs(20, 1, 1, 40)}), "one cell is annotated"),
        (lambda root: write_folder(root, {"a": discs(20, 1, 1, 40) * 0}), "no label image has a cell"),
    ],
)
def test_unusable_data_are_one_line(tmp_path, make, words):
    make(tmp_path / "mine")
    assert words in run_command(plan.main, f"data.root={tmp_path / 'mine'}").error


def test_odd_data_have_a_plan(tmp_path):
    """One image with a pixel size; colours; a few cells in a part of a large image; cells of a few pixels."""
    write_folder(tmp_path / "one", {"a": discs(20, 5, 5, 30)}, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    write_folder(tmp_path / "colours", {"a": discs(20, 5, 5, 30), "b": discs(20, 5, 5, 30)})
    for name in "ab":
        grey = tifffile.imread(tmp_path / f"colours/{name}.tif")
        tifffile.imwrite(
            tmp_path / f"colours/{name}.tif", np.stack([grey, grey // 2, grey // 3], -1), photometric="rgb"
        )
    labels = np.zeros((2500, 1500), np.int32)
    labels[:120, :120] = discs(20, 4, 4, 30)
    write_folder(tmp_path / "large", {"a": labels})
    write_folder(tmp_path / "specks", {"a": discs(3, 9, 9, 10)})
    for name, words in (
        ("one", "0.5 um per px"),
        ("colours", "3 channels"),
        ("large", "16 cells"),
        ("specks", "too small for an inside and an edge"),
    ):
        result = run_command(plan.main, f"data.root={tmp_path / name}", f"output={tmp_path / 'out' / name}")
        assert result.status == 0, result.err
        assert words in " ".join(result.out.split()), name


# The whole.


@pytest.fixture(scope="module")
def small_run(mine) -> tuple[Path, tuple[str, ...]]:
    """A planned training of two steps of a tiny network."""
    given = (*SMALL, "data=folder", f"data.root={mine}", f"run={mine.parent / 'run'}", "trainer.steps=2")
    run_train(*given, "scale.factor=2")
    return mine.parent / "run", given


def test_a_planned_training_resumes_and_predicts(small_run, mine, tmp_path):
    run, given = small_run
    assert [line["step"] for line in metrics_of(run) if "validation_loss" in line] == [2]
    result = run_train(*given)
    assert "resuming at step 2 of 2" in result.err
    result = run_command(predict.main, f"checkpoint={run}", f"input={mine / 'a0.tif'}", f"output={tmp_path / 'out'}")
    assert result.status == 0, result.err
    assert tifffile.imread(tmp_path / "out/a0_labels.tif").shape == tifffile.imread(mine / "a0.tif").shape


def test_other_settings_do_not_resume(small_run):
    run, given = small_run
    result = run_command(train.main, *given, "sampler.balance=0.1")
    assert f"{run} holds a run with sampler.balance=0.5, not 0.1" in result.error
