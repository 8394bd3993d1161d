"""Checkpoints from elsewhere: what they say of themselves leads nowhere else and calls nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorstore

from cellflax.data.normalize import NormalizeConfig
from cellflax.errors import UserError
from cellflax.models.patch_net import PatchNetConfig, Stage
from cellflax.prediction.trained import load_model
from tests.commands import arrays_of, record_of, set_record
from tests.random_checkpoints import random_checkpoint

CLASS = "tests.security.test_checkpoints.Trap"


class Trap:
    """Fails the test that calls it."""

    def __init__(self, *_: object, **__: object):
        pytest.fail("a class that a checkpoint names was called")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A checkpoint of a network of 50 parameters."""
    network = PatchNetConfig(stages=[Stage([3], [2])], dense=[2])
    return random_checkpoint(tmp_path_factory.mktemp("whole") / "run", network, normalize=NormalizeConfig())


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def save_plainly(folder: Path, arrays: dict[str, Any]) -> None:
    """Arrays as Zarr folders, which Orbax reads where the metadata say that there is no database."""
    for name, values in arrays.items():
        store = {"driver": "file", "path": f"{folder / name}/"}
        metadata = {"shape": values.shape, "data_type": str(values.dtype)}
        spec = {"driver": "zarr3", "kvstore": store, "metadata": metadata}
        tensorstore.open(spec, create=True).result().write(values).result()


def add_array(state: Path, name: str, **entries: object) -> None:
    """Declare one more array in a checkpoint's metadata."""

    def change(metadata: dict[str, Any]) -> None:
        tree = metadata["tree_metadata"]
        first = json.loads(json.dumps(next(iter(tree.values()))))
        tree[str((name,))] = {**first, "key_metadata": [{"key": name, "key_type": 2}]}
        metadata.update(entries)

    edit(state / "_METADATA", change)


def test_arrays_without_a_database_are_read(run):
    """What follows would prove nothing if such a checkpoint could not be read at all."""
    state = run / "checkpoints/0/state"
    save_plainly(state, arrays_of(run, 0))
    edit(state / "_METADATA", lambda metadata: metadata.update(use_ocdbt=False))
    shutil.rmtree(state / "d")
    load_model(run)


@pytest.mark.parametrize("name", ["../../../../outside/kernel", "/OUTSIDE/kernel", "a/b", ".."])
def test_an_array_is_no_path(run, tmp_path, name):
    state, arrays = run / "checkpoints/0/state", arrays_of(run, 0)
    save_plainly(state, arrays)
    save_plainly(tmp_path / "outside", {"kernel": next(iter(arrays.values()))})
    add_array(state, name.replace("/OUTSIDE", str(tmp_path / "outside")), use_ocdbt=False)
    with pytest.raises(UserError, match="is damaged: its arrays cannot be read; copy it again"):
        load_model(run)


def test_places_named_beside_the_arrays_are_not_read(run):
    """No server listens there: reading it would fail."""
    store = {"driver": "http", "base_url": "http://127.0.0.1:1/"}
    edit(run / "checkpoints/0/state/_METADATA", lambda metadata: metadata.update(kvstore=store, ts_spec=store))
    load_model(run)


def test_classes_named_in_a_checkpoint_are_not_called(run):
    checkpoint = run / "checkpoints/0"
    edit(checkpoint / "_CHECKPOINT_METADATA", lambda found: found.update(item_handlers={"state": CLASS, "evil": CLASS}))
    load_model(run)
    set_record(checkpoint, config={**record_of(run, 0)["config"], "_target_": CLASS})
    with pytest.raises(UserError, match="unknown key _target_"):
        load_model(run)


def test_types_named_in_a_checkpoint_are_not_called(run):
    def change(metadata: dict[str, Any]) -> None:
        for entry in metadata["tree_metadata"].values():
            entry["value_metadata"]["value_type"] = CLASS

    edit(run / "checkpoints/0/state/_METADATA", change)
    with pytest.raises(UserError, match="is damaged: its arrays cannot be read"):
        load_model(run)


def test_texts_of_a_record_are_not_resolved(run, monkeypatch):
    """A stored configuration is JSON: `${...}` in it is text, and does not read the environment."""
    monkeypatch.setenv("SECRET", "hunter2")
    set_record(run / "checkpoints/0", config={**record_of(run, 0)["config"], "name": "${oc.env:SECRET}"})
    assert load_model(run).config.name == "${oc.env:SECRET}"
