"""A cross-validation as a user runs it: folds trained in a sweep, their test scores, and the table of them all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellflax import evaluate, predict, summarize, train, validate
from cellflax.io.images import write_image, write_labels
from tests.commands import checkpoint_steps, metrics_of, record_of, run_command, set_record

pytestmark = pytest.mark.slow

SIZE, PIXEL_SIZE_UM = 64, 0.65
NETWORK = (
    "model.stages=[{kernels:[4],filters:[8]},{kernels:[3],filters:[8]}]",
    "model.dense=[8]",
    "sampler.size=16",
    "sampler.batch=2",
    "optimizer.warmup_steps=0",
    "optimizer.learning_rate=0.05",
    "trainer.devices=1",
    "trainer.steps=12",
    "trainer.validate_every=6",
    "logger.wandb=disabled",
    "seed_channel=null",
    "refine=threshold",
    "normalize.subtract_local_mean=false",
    "scale.pixel_size_um=1.3",  # results come back to the images' own pixels
)


def write_data_set(folder: Path, seeds: range) -> None:
    """Images of 64 x 64 pixels with bright round cells around dark nuclei."""
    rows, columns = np.indices((SIZE, SIZE))
    for kind in ("images", "labels", "nuclei"):
        (folder / kind).mkdir(parents=True)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        cells, nuclei = np.zeros((2, SIZE, SIZE), np.int32)
        for label, (y, x) in enumerate(((16, 16), (16, 46), (46, 16), (46, 46)), start=1):
            distance = np.hypot(rows - y - rng.integers(-3, 4), columns - x - rng.integers(-3, 4))
            cells[distance < rng.integers(9, 13)] = label
            nuclei[distance < 5] = label
        image = np.where(nuclei > 0, 500, np.where(cells > 0, 1000, 100)) + rng.normal(0, 20, cells.shape)
        write_image(folder / "images" / f"{seed}.tif", image.astype(np.uint16), PIXEL_SIZE_UM)
        write_labels(folder / "labels" / f"{seed}.tif", cells, PIXEL_SIZE_UM)
        write_labels(folder / "nuclei" / f"{seed}.tif", nuclei, PIXEL_SIZE_UM)


def folds_of(data: Path) -> tuple[str, ...]:
    return "data=folder", f"data.root={data}", "data.annotation=compartments", "data.folds=3"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Two of three folds over two data sets, and the data beside them."""
    directory = tmp_path_factory.mktemp("folds")
    write_data_set(directory / "data" / "dna", range(3))
    write_data_set(directory / "data" / "rna", range(3, 6))
    arguments = (*NETWORK, *folds_of(directory / "data"), "data.fold=0,2", f"run={directory / 'sweep'}")
    result = run_command(train.main, "-m", *arguments)
    assert result.status == 0, result.err
    assert "test: 2 images (dna 1, rna 1)" in result.err
    assert "test: images 2  n_reference 8" in result.err
    return directory / "sweep"


def scores_of(run: Path) -> dict:
    return json.loads((run / "test.json").read_text())


def test_runs_are_tested_on_what_they_have_not_seen(sweep):
    first, last = sweep / "0", sweep / "1"
    for run in (first, last):
        data = record_of(run, 12)["data"]
        parts = [set(data[part]) for part in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 6
        assert set(scores_of(run)["images"]) == parts[2]
        assert scores_of(run)["step"] in {line["step"] for line in metrics_of(run) if "validation_jaccard" in line}
    # Fold 2 validates on what fold 0 tests.
    assert set(record_of(last, 12)["data"]["validation"]) == set(scores_of(first)["images"])


def test_scores_are_those_of_predict_and_evaluate(sweep, tmp_path):
    scores = scores_of(sweep / "0")
    for name in scores["images"]:
        data_set, _, stem = name.partition("/")
        for kind in ("images", "labels", "nuclei"):
            (tmp_path / kind).mkdir(exist_ok=True)
            shutil.copy(
                sweep.parent / "data" / data_set / kind / f"{stem}.tif", tmp_path / kind / f"{data_set}_{stem}.tif"
            )
    given = (f"checkpoint={sweep / '0'}", f"input={tmp_path / 'images'}", f"output={tmp_path / 'out'}")
    assert run_command(predict.main, *given, "save_probability=true").status == 0
    references = (f"reference={tmp_path / 'labels'}", f"reference_nuclei={tmp_path / 'nuclei'}")
    result = run_command(evaluate.main, f"predicted={tmp_path / 'out'}", *references, f"output={tmp_path / 'scores'}")
    assert result.status == 0, result.err
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    pooled = scores["pooled"]
    for name in (
        "n_reference",
        "n_predicted",
        "sm",
        "sm_outlines",
        "sm_detection",
        "jaccard_index",
        "dice_index",
        "f1",
    ):
        assert pooled[name] == pytest.approx(metrics["pooled"][name]), name
    assert pooled["image_level_sm"] == pytest.approx(metrics["image_level"]["sm"])
    assert pooled["sm"] > 0.2  # something was found
    for target in ("cells", "nuclei"):
        assert pooled[f"{target}_auc"] == pytest.approx(metrics["pixels"]["pooled"][target]["auc"], abs=1e-5)
        assert pooled[f"{target}_acc"] == pytest.approx(metrics["pixels"]["pooled"][target]["acc"], abs=1e-5)


def test_table_of_the_folds(sweep, tmp_path):
    result = run_command(summarize.main, sweep, f"output={tmp_path}")
    assert result.status == 0, result.err
    assert "2 runs in 1 settings" in result.out
    assert "2 of 3 folds" in result.out
    table = pd.read_csv(tmp_path / "tested.csv").set_index("data_set")
    assert list(table.index) == ["dna", "rna", "all data sets"]
    both = [scores_of(sweep / run) for run in "01"]
    for name, of in (("rna", lambda t: t["data_sets"]["rna"]), ("all data sets", lambda t: t["pooled"])):
        values = [of(t)["sm"] for t in both]
        assert table.loc[name, "sm_mean"] == pytest.approx(np.mean(values))
        assert table.loc[name, "sm_std"] == pytest.approx(np.std(values, ddof=1))
    assert table.loc["all data sets", ["n", "images", "cells"]].tolist() == [2, 4, 16]


def test_another_refinement_is_tested_without_training(sweep, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(sweep / "0", run)
    before = scores_of(run)
    result = run_command(validate.main, f"checkpoint={run}", "part=test", "refine=threshold", "refine.interior=0.999")
    assert result.status == 0, result.err
    after = scores_of(run)
    assert after["settings"]["refine"]["interior"] == 0.999
    assert after["pooled"]["sm"] != before["pooled"]["sm"]
    assert after["pooled"]["cells_auc"] == pytest.approx(before["pooled"]["cells_auc"], abs=1e-5)
    assert f"sm {after['pooled']['sm']:.4f}" in result.out


def test_images_dealt_anew_are_refused(sweep, tmp_path):
    """With another data set beside them, images that a network learned from would be among those to test."""
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(sweep.parent / "data", data)
    shutil.copytree(sweep / "0", run)
    stored = run / "config.json"
    stored.write_text(stored.read_text().replace(str(sweep.parent / "data"), str(data)))
    for step in checkpoint_steps(run):
        set_record(run / "checkpoints" / str(step), config=json.loads(stored.read_text()))
    write_data_set(data / "actin", range(1))
    again = run_command(train.main, *NETWORK, *folds_of(data), "data.fold=0", f"run={run}")
    assert "holds a run with other train images than there are now" in again.error
    tested = run_command(validate.main, f"checkpoint={run}", "part=test")
    assert "kept 2 images for a test, and data.root has other images now" in tested.error
