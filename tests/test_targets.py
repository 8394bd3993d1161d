"""Targets beyond classes, from the command line: train, resume, predict, evaluate, validate, and from Python."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

import cellflax
from cellflax import evaluate, predict, train, validate
from cellflax.training.runlog import RunLog
from tests.commands import TINY, arrays_of, assert_same_arrays, metrics_of, record_of, run_command
from tests.conftest import TrainedRun, trained_once
from tests.predictions import CHANNELS, labels_of, one_file, predicting

DISTANCES = ("target=distances", "refine=distances", "seed_channel=null")
MAPS = ["centre_distance", "boundary_distance"]


@pytest.fixture(scope="module")
def ensemble(shared: Path) -> TrainedRun:
    """Two networks that learn distances."""
    run = trained_once(shared / "distances", *TINY, *DISTANCES, "trainer.ensemble=2", "trainer.steps=40")
    assert run.result.status == 0, run.result.err
    return run


def test_a_training_learns_distances_and_says_how_well(ensemble):
    lines = metrics_of(ensemble.path)
    losses = [line["train_loss"] for line in lines if "train_loss" in line]
    assert losses[-1] < losses[0]
    validated = [line for line in lines if "validation_loss" in line]
    for name in MAPS:
        errors = [line[f"validation_error_{name}"] for line in validated]
        assert 0 < errors[-1] < errors[0] < 1
    assert "validation_accuracy_interior" in validated[-1]
    assert "validation_accuracy_edge" not in validated[-1]
    record = record_of(ensemble.path, 40)
    assert record["data"]["class_names"] == ["interior", "background"]
    assert record["config"]["target"] == {"kind": "distances", "weight": 1.0, "outside": 0.1}
    assert "does not use" not in ensemble.result.err


def test_a_prediction_writes_the_distances_beside_the_classes(ensemble, fields, tmp_path):
    out = tmp_path / "out"
    run = predicting(ensemble.path, out)
    result = run(fields / "images", CHANNELS, "save_probability=true")
    assert result.status == 0, result.err
    with tifffile.TiffFile(out / "field_0007_probability.tif") as file:
        assert file.ome_metadata is not None
        for name in ("interior", "background", *MAPS):
            assert f'Name="{name}"' in file.ome_metadata
        planes = file.asarray()
    assert planes.shape == (4, 128, 128)
    np.testing.assert_allclose(planes[:2].sum(axis=0), 1, atol=1e-5)
    assert (planes >= 0).all()
    assert (planes <= 1).all()
    cells = pd.read_csv(out / "cells.csv")
    assert len(cells) > 3
    assert [name for name in cells if name.startswith("probability")] == [
        "probability_mean_interior",
        "probability_mean_background",
    ]
    assert cells["uncertainty"].between(0, 1).all()
    disagreement = tifffile.imread(out / "field_0007_uncertainty.tif").squeeze()
    assert disagreement.max() <= np.sqrt(0.5) + 1e-6

    scored = run_command(
        evaluate.main, f"predicted={out}", f"reference={fields / 'labels'}", f"output={tmp_path / 'e'}"
    )
    assert scored.status == 0, scored.err
    pixels = json.loads((tmp_path / "e" / "metrics.json").read_text())["pixels"]
    auc = pixels["images"]["field_0007"]["cells"]["auc"]
    truth = tifffile.imread(fields / "labels" / "field_0007.tif") > 0
    ranks = pd.Series(planes[0].ravel()).rank().to_numpy()[truth.ravel()]
    by_hand = (ranks.sum() - truth.sum() * (truth.sum() + 1) / 2) / (truth.sum() * (~truth).sum())
    assert auc == pytest.approx(by_hand, abs=0.01)  # of the interior alone, not of the distances added to it


def test_tiles_blocks_and_transforms(ensemble, fields, tmp_path):
    planes = tifffile.imread(one_file(fields, tmp_path / "a.tif"))
    wide = np.concatenate([np.concatenate([planes, planes[..., ::-1]], axis=2)] * 2, axis=2)
    tifffile.imwrite(tmp_path / "wide.tif", wide, metadata={"axes": "CYX"}, photometric="minisblack")
    run, found = predicting(ensemble.path, tmp_path / "out"), {}
    for name, options in {
        "whole": (),
        "tiles": ("tile=64",),
        "blocks": ("block=256", "largest_cell_px=60"),
        "transforms": ("test_time_augmentation=4",),
        "gaussian": ("tiling=gaussian", "tile=64"),
    }.items():
        result = run(tmp_path / "wide.tif", "save_probability=true", *options)
        assert result.status == 0, result.err
        found[name] = [labels_of(tmp_path / "out" / f"wide_{kind}.tif") for kind in ("labels", "probability")]
    for name in ("tiles", "blocks"):
        np.testing.assert_allclose(found[name][1], found["whole"][1], atol=1e-5)
    np.testing.assert_array_equal(found["tiles"][0], found["whole"][0])
    assert found["blocks"][0].max() == found["whole"][0].max() > 10
    for name in ("transforms", "gaussian"):
        assert np.abs(found[name][1] - found["whole"][1]).mean() < 0.2
        assert found[name][0].max() > 10


def test_nuclei_seed_the_cells(ensemble, fields, tmp_path):
    out = tmp_path / "out"
    nuclei = tifffile.imread(fields / "nuclei" / "field_0007.tif")
    result = predicting(ensemble.path, out)(fields / "images", CHANNELS, f"nuclei={fields / 'nuclei'}")
    assert result.status == 0, result.err
    labels = labels_of(out / "field_0007_labels.tif")
    owners = [set(np.unique(labels[nuclei == k])) - {0} for k in range(1, nuclei.max() + 1)]
    assert max(map(len, owners)) == 1
    assert labels.max() == len(set.union(*owners)) > 3


def test_validate_scores_as_the_training_did_and_takes_refinements_of_classes(ensemble):
    result = run_command(validate.main, f"checkpoint={ensemble.path}", "step=40")
    assert result.status == 0, result.err
    words = result.out.rpartition(": ")[2].split()
    scores = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    during = [line for line in metrics_of(ensemble.path) if "validation_loss" in line][-1]
    assert scores == pytest.approx({name: during[f"validation_{name}"] for name in scores}, abs=1e-4)
    assert {f"error_{name}" for name in MAPS} <= scores.keys()
    other = run_command(validate.main, f"checkpoint={ensemble.path}", "refine=watershed")
    assert other.status == 0, other.err


def test_from_python(ensemble, fields, tmp_path):
    model = cellflax.load(ensemble.path)
    assert model.class_names == ("interior", "background")
    assert model.distance_names == tuple(MAPS)
    planes = np.moveaxis(tifffile.imread(one_file(fields, tmp_path / "a.tif")), 0, -1)
    found = model(planes, probabilities=True)
    assert found.probabilities is not None
    assert found.distances is not None
    assert found.probabilities.shape == found.distances.shape == (128, 128, 2)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-5)
    assert model(planes).distances is None


def test_networks_without_distances_refuse_the_refinement_before_they_run(tiny, fields, tmp_path):
    result = predicting(tiny.path, tmp_path / "out")(fields / "images", CHANNELS, "refine=distances")
    assert result.status == 1
    assert "refine=distances starts from distances, but the network has edge, interior, background" in result.error
    trained = run_command(train.main, *TINY, f"run={tmp_path / 'run'}", "refine=distances")
    assert "train with target=distances or target=classes_distances" in trained.error
    assert cellflax.load(tiny.path).distance_names == ()


@pytest.mark.slow  # tests/training resumes trainings of classes
def test_a_killed_training_ends_where_it_would_have(tmp_path, monkeypatch):
    arguments = [*TINY, *DISTANCES, "sampler.augment.scale=1.2"]
    assert run_command(train.main, *arguments, f"run={tmp_path / 'whole'}").status == 0

    class Killed(BaseException):
        pass

    def log_or_die(self, step, scalars, log=RunLog.log):
        log(self, step, scalars)
        if step == 10:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "log", log_or_die)
        with pytest.raises(Killed):
            run_command(train.main, *arguments, f"run={tmp_path / 'run'}")
    result = run_command(train.main, *arguments, f"run={tmp_path / 'run'}")
    assert result.status == 0, result.err
    assert "resuming at step 8 of 12" in result.err
    assert_same_arrays(arrays_of(tmp_path / "run", 12), arrays_of(tmp_path / "whole", 12))
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")
    other = run_command(train.main, *arguments, f"run={tmp_path / 'run'}", "target.weight=2")
    assert "holds a run with target.weight=1.0, not 2.0" in other.error


@pytest.mark.parametrize(
    ("model", "target", "refine"),
    [
        ("unet", "classes_distances", "watershed"),
        pytest.param("skip_fcn", "distances", "distances", marks=pytest.mark.slow),
        pytest.param("skip_fcn", "classes_distances", "distances", marks=pytest.mark.slow),
    ],
)
def test_other_networks(model, target, refine, fields, tmp_path):
    network = {
        "unet": (
            "model.down=[[4],[8]]",
            "model.bottom=[8]",
            "model.up=[{upsample:8,filters:[8]},{upsample:4,filters:[4]}]",
        ),
        "skip_fcn": ("model.filters=[4,8]", "model.residual_blocks=[0,1]"),
    }[model]
    field = ("data.field.height=128", "data.field.width=128", "data.field.pixel_size_um=1.3")
    quick = ("data=simulated", "data.fields=1", "data.validation_fields=1", *field, "logger.wandb=disabled")
    small = ("sampler.size=64", "sampler.batch=4", "optimizer.warmup_steps=0", "trainer.devices=1")
    steps = ("trainer.steps=20", "trainer.validate_every=10", "trainer.log_every=5", "optimizer.learning_rate=0.01")
    chosen = (f"model={model}", f"target={target}", f"refine={refine}", "seed_channel=null")
    result = run_command(train.main, *quick, *small, *steps, *network, *chosen, f"run={tmp_path / 'run'}")
    assert result.status == 0, result.err
    assert ("refine=watershed does not use the distances" in result.err) == (refine == "watershed")
    losses = [line["train_loss"] for line in metrics_of(tmp_path / "run") if "train_loss" in line]
    assert losses[-1] < losses[0]
    given = (f"checkpoint={tmp_path / 'run'}", f"input={fields / 'images'}", f"output={tmp_path / 'out'}", CHANNELS)
    predicted = run_command(predict.main, *given, "save_probability=true", "refine=distances")
    assert predicted.status == 0, predicted.err
    classes = 2 if target == "distances" else 3
    assert tifffile.imread(tmp_path / "out" / "field_0007_probability.tif").shape == (classes + 2, 128, 128)
