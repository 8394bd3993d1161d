"""Networks as files: packed from a run, named by a word, and refused in one line where they are damaged."""

import argparse
import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cellflax
from cellflax import networks, predict, train
from cellflax.errors import UserError
from cellflax.inference.settings import Inference
from cellflax.io.files import ImageFiles
from cellflax.io.images import read_channels
from cellflax.networks.file import read_network_file, write_network_file
from cellflax.prediction import networks as prediction_networks
from cellflax.prediction import trained_on
from cellflax.prediction.networks import PredictionSettings, load_networks
from cellflax.prediction.nuclei import nuclei_finder
from cellflax.prediction.segment import find_nuclei
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.refine.watershed import WatershedConfig
from cellflax.training.weights import read_weights
from tests.commands import TINY, run_command
from tests.predictions import CHANNELS, labels_of, one_file

pack = pytest.importorskip("experiments.networks.pack")  # a source distribution has no experiments


@pytest.fixture
def shipped(trained, monkeypatch, tmp_path) -> Path:
    """The folder of a cellflax that comes with one network, called nuclei."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(networks, "FOLDER", folder)
    weights = read_weights(trained.path)
    record = pack.record_of(weights, "two simulated fields", "CC0")
    write_network_file(folder / "nuclei.npz", record, pack.arrays_of(weights))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_same_network_as_that_of_the_run(shipped, trained):
    run, packed = load_model(trained.path), load_model("nuclei")
    assert packed.path == shipped / "nuclei.npz"
    assert (packed.step, packed.members, packed.geometry) == (run.step, run.members, run.geometry)
    assert (packed.channels, packed.class_names) == (run.channels, run.class_names)
    assert packed.config.refine == run.config.refine
    assert packed.config.normalize == run.config.normalize
    assert packed.simulated
    tiles = np.random.default_rng(0).normal(size=(1, 64, 64, 2)).astype(np.float32)
    ours, theirs = (np.asarray(model.probabilities(tiles)) for model in (packed, run))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3)
    assert not np.array_equal(ours, theirs)  # half precision
    kernels = [value for name, value in read_network_file(packed.path)[1].items() if name.endswith(".kernel")]
    assert all(np.array_equal(kernel, kernel.astype(np.float16)) for kernel in kernels if kernel.ndim > 2)


def test_predicts_by_name(shipped, trained, fields, tmp_path):
    results = {}
    for name, checkpoint in {"run": trained.path, "name": "nuclei"}.items():
        arguments = (f"checkpoint={checkpoint}", f"input={fields}/images", CHANNELS, f"output={tmp_path / name}")
        result = run_command(predict.main, *arguments)
        assert result.status == 0, result.err
        results[name] = labels_of(tmp_path / name / "field_0007_labels.tif") > 0
    assert np.mean(results["run"] != results["name"]) < 0.01
    assert "SIMULATED DATA: this network was trained on simulated images" in result.err
    assert f"checkpoint: {shipped}/nuclei.npz, one network; two simulated fields\n" in result.err
    origin = json.loads((tmp_path / "name" / "provenance.json").read_text())
    assert origin["simulated"] is True
    assert origin["checkpoint"]["data"]["source"] == "two simulated fields"


def test_in_python(shipped):
    assert cellflax.load("nuclei").channels == ("phase", "nuclear")


def test_a_path_that_exists_comes_first(shipped, trained, tmp_path, capsys):
    shutil.copytree(trained.path, tmp_path / "nuclei")
    assert load_model("nuclei").path.parent.name == "checkpoints"
    said = capsys.readouterr().err
    assert said == "nuclei: the one in this directory is taken, not the network of this name that comes with cellflax\n"


def test_a_file_elsewhere(shipped, tmp_path):
    shutil.copy(shipped / "nuclei.npz", tmp_path / "mine.npz")
    assert load_model(tmp_path / "mine.npz").channels == ("phase", "nuclear")


def test_a_step_is_refused(shipped):
    with pytest.raises(UserError, match=r"step=last: nuclei\.npz holds the weights of one step; leave step out"):
        load_model("nuclei", "last")


def test_an_unknown_name_lists_what_there_is(shipped):
    with pytest.raises(UserError, match=r"or one of the networks that come with cellflax: nuclei$"):
        load_model("nucleus")


def test_trainings_start_from_it(shipped, tmp_path):
    arguments = (*TINY, "trainer.steps=2", "start_from=nuclei", "freeze_levels=1")
    network = [word for word in arguments if not word.startswith("model.")]
    result = run_command(train.main, *network, f"run={tmp_path / 'run'}")
    assert result.status == 0, result.err
    assert "start_from: taken: all\n" in result.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["start_from"] == "nuclei"


def test_validation_needs_its_data(shipped):
    with pytest.raises(UserError, match="does not say what it was trained on"):
        trained_on.trained_on(load_model("nuclei"))


# Damaged files.


def test_damage_is_one_line(shipped, tmp_path):
    """Cut anywhere, or a byte changed anywhere: refused, or the same weights."""
    content = (shipped / "nuclei.npz").read_bytes()
    _, whole = read_network_file(shipped / "nuclei.npz")
    path = tmp_path / "damaged.npz"
    lines = []
    for place in np.linspace(0, len(content) - 1, 60, dtype=int):
        for spoilt in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
            path.write_bytes(spoilt)
            try:
                _, arrays = read_network_file(path)
            except UserError as error:
                lines.append(str(error))
            else:
                assert arrays.keys() == whole.keys()
                assert all(np.array_equal(arrays[name], whole[name]) for name in whole)
    assert len(lines) > 100
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)


def archive(path: Path, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name.replace("__", "."), content)
    return path


def test_what_is_no_network(tmp_path):
    objects = io.BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    record = json.dumps({"version": 1, "crc32": {"a": 0}}).encode()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
    for parts, message in (
        ({"record__json": record, "a__npy": objects.getvalue()}, "a.npy is no array of a network"),
        ({"record__json": record, "a__npy": header.getvalue()}, "a.npy is no array of a network"),
        ({"record__json": record}, "a differs from its checksum"),
        ({"record__json": b"[]"}, "its record is none of a network"),
        ({"a__npy": b""}, "is no network of cellflax, or damaged"),
        (
            {
                "record__json": record.replace(b"1", b"2"),
            },
            "has version 2, and this cellflax reads version 1",
        ),
        ({"record__json": record, "a__npy": bytes(1 << 28)}, "it declares more than a network has"),
    ):
        with pytest.raises(UserError, match=message):
            read_network_file(archive(tmp_path / "x.npz", **parts))


def test_a_record_of_another_network(shipped, tmp_path):
    record, arrays = read_network_file(shipped / "nuclei.npz")
    arrays.pop(next(name for name in arrays if name.endswith("output.bias")))
    write_network_file(tmp_path / "a.npz", record, arrays)
    with pytest.raises(UserError, match=r"params\.output\.bias should be \(1, 3\), found nothing"):
        load_model(tmp_path / "a.npz")
    write_network_file(tmp_path / "b.npz", {**record, "data": {}}, arrays)
    with pytest.raises(UserError, match="its record does not describe its data"):
        load_model(tmp_path / "b.npz")


def test_values_beyond_half_precision(tmp_path):
    values = {"a.kernel": np.full((1, 2, 2), 1e6, np.float32), "a.bias": np.full((1, 2), 1e-9, np.float32)}
    write_network_file(tmp_path / "a.npz", {}, values)
    _, arrays = read_network_file(tmp_path / "a.npz")
    for name, value in values.items():
        np.testing.assert_array_equal(arrays[name], value)


# Packing.


@pytest.fixture
def options(trained, fields, tmp_path) -> argparse.Namespace:
    """What `pack` is given: one file for each field."""
    folder = tmp_path / "held_out"
    for name in ("field_0007", "field_0008"):
        one_file(fields, folder / f"{name}.tif", name)
        shutil.copy(fields / "labels" / f"{name}.tif", folder / f"{name}_masks.tif")
    return argparse.Namespace(
        run=str(trained.path), name="cells", held_out=[folder], source="two simulated fields", licence="CC0",
        limits="Everything.", output=tmp_path / "out", step="best",
    )  # fmt: skip


def test_packs_with_a_card(options):
    card = pack.pack(options)
    assert {path.name for path in options.output.iterdir()} == {"cells.npz", "cells.md"}
    assert (options.output / "cells.md").read_text() == card
    assert "| held_out | 2 | " in card
    assert "| simulated images among them | all |" in card
    record, _ = read_network_file(options.output / "cells.npz")
    assert record["licence"] == "CC0"
    assert str(options.output.parent) not in json.dumps(record)
    assert str(options.run) not in json.dumps(record)
    first = (options.output / "cells.npz").read_bytes()
    pack.pack(options)
    assert (options.output / "cells.npz").read_bytes() == first


def test_refuses_what_would_segment_otherwise(options, monkeypatch):
    monkeypatch.setattr(pack, "arrays_of", lambda trained: {
        name: values * (0.5 if name.endswith("output.bias") else 0) + 0.1 for name, values in ARRAYS(trained).items()
    })  # fmt: skip
    with pytest.raises(UserError, match="finds other cells than"):
        pack.pack(options)
    assert not list(options.output.iterdir())


def test_refuses_what_is_too_large(options, monkeypatch):
    monkeypatch.setattr(pack, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="at most 1000 are packed"):
        pack.pack(options)
    assert not list(options.output.iterdir())


ARRAYS = pack.arrays_of


def with_network(trained, name: str | None) -> TrainedModel:
    """The trained network as if its training had found nuclei by a network that comes with cellflax."""
    model = load_model(trained.path)
    return replace(model, config=replace(model.config, nuclei_network=name, refine=WatershedConfig()))


def test_training_and_prediction_find_nuclei_by_the_network_that_is_named(trained, fields):
    model = with_network(trained, "nuclei")
    paths = tuple(fields / "images" / f"field_0007_{channel}.tif" for channel in model.channels)
    image = read_channels(ImageFiles("field", paths, model.channels))
    plane = image.pixels[..., model.channels.index("nuclear")]
    inference = Inference()
    predicted = find_nuclei(model, image, model.config.refine, inference)
    np.testing.assert_array_equal(nuclei_finder(model.config)(plane, image.pixel_size_um), predicted)
    by_processing = find_nuclei(with_network(trained, None), image, model.config.refine, inference)
    assert predicted.max() > 3
    assert not np.array_equal(predicted, by_processing)


def test_the_network_of_nuclei_is_recorded_where_it_is_used_alone(trained, monkeypatch):
    model = with_network(trained, "nuclei")
    monkeypatch.setattr(prediction_networks, "load_model", lambda *_: model)
    networks_of = load_networks(trained.path, PredictionSettings())
    assert networks_of.used_nuclei_model is not None
    assert networks_of.with_given_nuclei("nuclei=masks").used_nuclei_model is None


def test_a_network_of_nuclei_that_does_not_come_along(trained):
    with pytest.raises(UserError, match=r"nuclei_network=mine: no network of this name.*nuclei_checkpoint=RUN"):
        nuclei_finder(with_network(trained, "mine").config)
