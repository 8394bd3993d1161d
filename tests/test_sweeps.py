"""P1's ablations in `conf/sweep/`: one command each, which jobs it runs and where; and one run to its summary."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cellflax import summarize, train
from cellflax.config import config_directory
from cellflax.training.config import TrainConfig
from tests.commands import TINY, Result, run_command
from tests.test_launchers import is_installed

# What each sweep varies, and the values in order.
SWEEPS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "receptive_field": (lambda c: c.model.receptive_field, [21, 31, 41, 61, 81]),
    "normalization": (lambda c: c.normalize.intensity.name, ["median", "maximum", "none"]),
    "regularization": (
        lambda c: (c.model.regularization.name, len(c.model.side_filters)),
        [("batch_norm", 0), ("dropout", 0), ("none", 0), ("batch_norm", 2)],
    ),
    "shear": (lambda c: c.sampler.augment.shear_degrees, [0, 10, 20, 30]),
    "l2": (lambda c: (c.loss.l2, c.optimizer.weight_decay), [(0, 0), (1e-7, 0), (1e-6, 0), (1e-5, 0)]),
}

# What those with Optuna vary, and between which values.
SEARCHES: dict[str, tuple[Callable[[Any], float], float, float]] = {
    "learning_rate": (lambda c: c.optimizer.learning_rate, 1e-4, 1e-1),
}


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Start a sweep whose trainings only write down their configuration and directory."""
    monkeypatch.chdir(tmp_path)
    done: list[tuple[TrainConfig, Path]] = []

    def record(config: TrainConfig, run: Path, **_: object) -> dict[str, float]:
        done.append((config, run))
        return {"score": 0.5}

    monkeypatch.setattr(train, "train", record)

    def jobs(*arguments: str) -> tuple[Result, list[tuple[TrainConfig, Path]]]:
        return run_command(train.main, *arguments), done

    return jobs


def test_every_sweep_is_tested():
    assert {path.stem for path in (config_directory() / "sweep").glob("*.yaml")} == SWEEPS.keys() | SEARCHES.keys()


@pytest.mark.parametrize("sweep", SWEEPS)
def test_jobs_of_a_sweep(jobs, sweep):
    result, done = jobs("+experiment=hela_cyto_patch_net", f"+sweep={sweep}", "seed=7")
    assert result.status == 0, result.err
    value, expected = SWEEPS[sweep]
    assert [value(config) for config, _ in done] == expected
    assert {(config.name, config.seed, config.data.folder) for config, _ in done} == {
        ("hela_cyto_patch_net", 7, "training_data/HeLa_joint")
    }
    # One folder, jobs by number and value, and one W&B group.
    (folder,) = {run.parent for _, run in done}
    assert folder.relative_to(Path.cwd()).parts[:2] == ("runs", f"hela_cyto_patch_net_{sweep}")
    assert {config.logger.group for config, _ in done} == {f"hela_cyto_patch_net_{sweep}_{folder.name}"}
    names = [run.name for _, run in done]
    assert all(name.startswith(f"{i}_") and name.endswith("_seed_7") for i, name in enumerate(names))
    assert len({name.split("_", 1)[1] for name in names}) == len(names)


@pytest.mark.skipif(not is_installed("optuna", "sweeper"), reason="hydra-optuna-sweeper is not installed")
@pytest.mark.filterwarnings("ignore")  # Optuna 2 has many
@pytest.mark.parametrize("search", SEARCHES)
def test_jobs_of_a_search(jobs, search):
    result, done = jobs("+experiment=hela_cyto_patch_net", f"+sweep={search}", "hydra.sweeper.n_trials=5")
    assert result.status == 0, result.err
    value, lowest, highest = SEARCHES[search]
    values = [value(config) for config, _ in done]
    assert len(set(values)) == 5
    assert all(lowest <= value <= highest for value in values)
    (folder,) = {run.parent for _, run in done}
    assert folder.relative_to(Path.cwd()).parts[:2] == ("runs", f"hela_cyto_patch_net_{search}")
    assert [run.name for _, run in done] == [f"{i}_rate_{value}" for i, value in enumerate(values)]
    # The same again: what a sweep that is resumed does.
    _, again = jobs("+experiment=hela_cyto_patch_net", f"+sweep={search}", "hydra.sweeper.n_trials=5")
    assert [value(config) for config, _ in again[5:]] == values


def test_every_setting_has_three_seeds(jobs):
    _, done = jobs("+experiment=hela_cyto_patch_net", "+sweep=normalization")
    assert [(config.normalize.intensity.name, config.seed) for config, _ in done] == [
        (intensity, seed) for intensity in ("median", "maximum", "none") for seed in (0, 1, 2)
    ]


def test_another_parameter_is_crossed_with_the_sweep(jobs):
    _, done = jobs("+sweep=shear", "-m", "seed=0", "sampler.augment.shear_degrees=0,5", "trainer.steps=10,20")
    assert [(config.sampler.augment.shear_degrees, config.trainer.steps) for config, _ in done] == [
        (0, 10), (0, 20), (5, 10), (5, 20),
    ]  # fmt: skip
    assert len({run for _, run in done}) == 4


def test_weight_decay_cannot_stand_in_for_the_penalty(jobs):
    result, done = jobs("+experiment=hela_cyto_paper", "+sweep=l2")
    assert (result.status, done) == (1, [])
    assert "in sweep/l2: unknown key optimizer.weight_decay" in result.error


def test_sweep_to_summary(tmp_path):
    run, output = tmp_path / "runs", tmp_path / "summary"
    values = ("normalize.intensity=median,none", "seed=3")
    result = run_command(train.main, *TINY, "+sweep=normalization", *values, f"run={run}")
    assert result.status == 0, result.err
    result = run_command(summarize.main, run, f"output={output}")
    assert result.status == 0, result.err
    table = pd.read_csv(output / "summary.csv", keep_default_na=False)
    assert table["normalize.intensity"].tolist() == ["median", "none"]
    assert table["data"].tolist() == ["SIMULATED"] * 2
    assert table["seeds"].tolist() == [3, 3]
    assert table["steps_min"].tolist() == table["steps_max"].tolist() == [12, 12]
    scores = [
        json.loads((run / f"{name}_seed_3/summary.json").read_text())["score"]
        for name in ("0_Intensity.median", "1_Intensity.none")
    ]
    assert table["best_jaccard_mean"].tolist() == pytest.approx(scores)
