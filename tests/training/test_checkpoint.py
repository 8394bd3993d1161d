"""Checkpoints: self-contained, and refused in one line when they are not what they should be."""

import shutil
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from cellflax.errors import UserError
from cellflax.models import Geometry
from cellflax.prediction.trained import TrainedModel, load_model
from tests.commands import arrays_of, checkpoint_steps, record_of, set_record


@pytest.fixture(scope="module")
def model(trained) -> TrainedModel:
    return load_model(trained.path, "last")


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """A copy of the shared run's checkpoints, and nothing else."""
    run = tmp_path / "elsewhere"
    shutil.copytree(trained.path / "checkpoints", run / "checkpoints")
    return run


def probability_of(model: TrainedModel) -> np.ndarray:
    edge = model.geometry.receptive_field + 3 * model.geometry.multiple - 1
    image = np.random.default_rng(0).normal(size=(1, edge, edge, len(model.channels)))
    return np.asarray(model.probabilities(image.astype(np.float32)))


# --- what a checkpoint holds ---


def test_a_copy_without_the_configuration_predicts_the_same(model, copied):
    expected = probability_of(model)
    assert expected.std() > 0.01
    for path in (copied, copied / "checkpoints", copied / "checkpoints" / "60"):
        again = load_model(path, "last")
        np.testing.assert_array_equal(probability_of(again), expected)
        assert again.config == model.config
    assert again.path == (copied / "checkpoints" / "60").resolve()


def test_model_attributes(model):
    assert model.step == 60
    assert model.geometry == Geometry(receptive_field=21, border=10, train_border=10, multiple=2)
    assert model.channels == ("phase", "nuclear")
    assert model.class_names == ("edge", "interior", "background")
    assert model.simulated


def test_best_last_and_numbered_steps(copied):
    steps = checkpoint_steps(copied)
    only = copied / "checkpoints" / str(steps[-1])
    other = copied / "checkpoints" / "7"
    shutil.copytree(only, other)
    set_record(other, score=2.0)
    assert load_model(copied).step == 7
    assert load_model(copied, "last").step == steps[-1]
    assert load_model(copied, "7").step == 7
    assert load_model(only).step == steps[-1]
    set_record(other, score=None)  # saved on a signal, never validated
    assert load_model(copied).step in steps


def test_names_are_readable_and_shardings_do_not_matter(trained):
    arrays = arrays_of(trained.path, 60)
    assert arrays["params.stages.0.0.transform.kernel"].shape == (1, 4, 4, 2, 16)
    assert arrays["step"] == 60
    assert any(name.startswith("opt_state.") for name in arrays)
    assert set(record_of(trained.path, 60)["crc32"]) == set(arrays)


# --- damage, exhaustively, on a small state ---


def another_network(run: Path) -> Path:
    config = record_of(run, 60)["config"]
    config["model"]["stages"][0]["filters"] = [8, 16]
    set_record(run / "checkpoints" / "60", config=config)
    return run


def more_layers(run: Path) -> Path:
    config = record_of(run, 60)["config"]
    config["model"]["dense"] = [32, 32]
    set_record(run / "checkpoints" / "60", config=config)
    return run


def unknown_network(run: Path) -> Path:
    config = record_of(run, 60)["config"]
    set_record(run / "checkpoints" / "60", config={**config, "model": {"kind": "resnet"}})
    return run


def newer_format(run: Path) -> Path:
    set_record(run / "checkpoints" / "60", format=3)
    return run


def no_configuration(run: Path) -> Path:
    set_record(run / "checkpoints" / "60", config=...)
    return run


def record_is_no_json(run: Path) -> Path:
    (run / "checkpoints" / "60" / "_CHECKPOINT_METADATA").write_text("{")
    return run


def record_is_a_list(run: Path) -> Path:
    (run / "checkpoints" / "60" / "_CHECKPOINT_METADATA").write_text("[1]")
    return run


def arrays_truncated(run: Path) -> Path:
    files = (path for path in (run / "checkpoints" / "60").rglob("*") if path.is_file())
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    return run


def not_there(run: Path) -> Path:
    return run / "nothing"


def a_file(run: Path) -> Path:
    (run / "model.h5").write_bytes(b"\x89HDF")
    return run / "model.h5"


def of_another_program(run: Path) -> Path:
    ocp.save(run / "other" / "3", {"w": jnp.ones(2)}, custom_metadata={"mine": 1})
    return run / "other"


def an_empty_directory(run: Path) -> Path:
    (run / "empty").mkdir()
    return run / "empty"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            another_network,
            "60 is of another network: params.stages.0.0.normalization.bias should be (1, 8), found (1, 16)",
        ),
        (more_layers, "60 is of another network: params.hidden.1."),
        (unknown_network, "model.kind must be one of patch_net, unet, skip_fcn; got 'resnet'"),
        (newer_format, "60 has format 3, this cellflax reads format 2; update cellflax or train again"),
        (no_configuration, "60 is an Orbax checkpoint, but not one of cellflax"),
        (record_is_no_json, "60 is damaged: its record cannot be read; copy it again"),
        (record_is_a_list, "60 is damaged: its record cannot be read; copy it again"),
        (arrays_truncated, "60 is damaged: its arrays cannot be read; copy it again"),
        (not_there, "nothing does not exist; give a run directory, which training prints at its end"),
        (a_file, "model.h5 holds no cellflax checkpoint; give a run directory"),
        (of_another_program, "3 is an Orbax checkpoint, but not one of cellflax"),
        (an_empty_directory, "empty holds no cellflax checkpoint; give a run directory"),
    ],
)
def test_refused_in_one_line(copied, spoil: Callable[[Path], Path], message):
    path = spoil(copied)
    with pytest.raises(UserError) as caught:
        load_model(path, "last")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", ["59", "newest", "-1"])
def test_wrong_step(copied, step):
    with pytest.raises(UserError, match=f"step={step} is not in .*; use best, last or one of .*60"):
        load_model(copied, step)
