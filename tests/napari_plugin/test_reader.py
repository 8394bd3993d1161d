"""Directories as napari's layers: tuples that need no napari."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

import cellflax.napari_plugin
from cellflax import simulate, track
from cellflax.errors import UserError
from cellflax.napari_plugin import samples
from cellflax.napari_plugin.layers import LayerData, track_layer
from cellflax.napari_plugin.reader import reader_of, result_layers
from cellflax.napari_plugin.retraining import follow, new_run, retrain_command
from cellflax.napari_plugin.segmenting import segment_planes
from tests.commands import run_command

MANIFEST = Path(cellflax.napari_plugin.__file__).with_name("napari.yaml")


def named(layers: list[LayerData]) -> dict[str, LayerData]:
    found = {layer[1]["name"]: layer for layer in layers}
    assert len(found) == len(layers)
    return found


def test_a_prediction(predicted, fields):
    read = reader_of(str(predicted))
    assert read is not None
    layers = named(read(str(predicted)))
    assert list(layers) == [
        f"field_000{n} {what}" for n in (7, 8) for what in ("phase", "nuclear", "cells", "uncertain")
    ]
    for data, options, kind in layers.values():
        assert options["scale"] == pytest.approx((1.3, 1.3))
        assert options["units"] == ("um", "um")
        assert options["visible"] == options["name"].startswith("field_0007"), kind
        assert data.ndim == 2
    phase, _, _ = layers["field_0008 phase"]
    np.testing.assert_array_equal(phase, tifffile.imread(fields / "images/field_0008_phase.tif"))
    labels, options, _ = layers["field_0008 cells"]
    np.testing.assert_array_equal(labels, tifffile.imread(predicted / "field_0008_labels.tif"))
    features = options["features"]
    assert sorted(features["index"]) == sorted(np.unique(labels)[1:])
    points, options, _ = layers["field_0008 uncertain"]
    for (row, column), label in zip(points, options["features"]["label"], strict=True):
        assert np.allclose([row, column], np.argwhere(labels == label).mean(0), atol=1e-3)


def test_a_prediction_whose_images_are_gone_has_its_cells(predicted, tmp_path, capsys):
    folder = Path(shutil.copytree(predicted, tmp_path / "moved"))
    record = folder / "provenance.json"
    record.write_text(record.read_text().replace('"input": "', '"input": "/nowhere'))
    layers = named(result_layers(folder))
    assert list(layers) == [f"field_000{n} {what}" for n in (7, 8) for what in ("cells", "uncertain")]
    assert "without the images" in capsys.readouterr().err


def test_a_correction(corrected):
    for path in (str(corrected), [str(corrected)], str(corrected / "to_correct.csv")):
        read = reader_of(path)
        assert read is not None
        layers = named(read(path))
        assert {kind for _, _, kind in layers.values()} == {"image", "labels", "points"}
        assert len(layers["field_0007 uncertain"][0]) == 3
        assert layers["field_0007 labels"][1]["metadata"]["cellflax_folder"] == str(corrected)


def test_a_run_shows_what_was_held_out(trained):
    layers = named(result_layers(trained.path))
    assert list(layers) == ["held_out_0000 phase", "held_out_0000 nuclear", "held_out_0000 annotated"]
    assert layers["held_out_0000 annotated"][0].any()


def test_doubtful_places_of_a_run(trained, tmp_path):
    run = Path(shutil.copytree(trained.path, tmp_path / "run"))
    rows = {"image": ["held_out_0000", "other"], "kind": ["outline", "outline"], "y_px": [3.0, 4], "x_px": [5.0, 6]}
    pd.DataFrame(rows).to_csv(run / "suspects.csv", index=False)
    data, options, kind = named(result_layers(run))["held_out_0000 doubtful"]
    assert (data.tolist(), kind, list(options["features"]["kind"])) == ([[3.0, 5.0]], "points", ["outline"])


def test_simulated_fields(fields):
    layers = named(result_layers(fields))
    assert set(layers) >= {"field_0007 phase", "field_0007 nuclear", "field_0007 labels"}
    np.testing.assert_array_equal(layers["field_0007 labels"][0], tifffile.imread(fields / "labels/field_0007.tif"))


def test_tracks_with_their_divisions(tmp_path):
    size = ("colony.height=160", "colony.width=160", "colony.frames=5", "colony.frame_interval_s=360")
    run_command(simulate.main, f"output={tmp_path}/colony", "specimen=colony", "fields=1", *size)
    movie = tmp_path / "colony/movie_0001"
    tracked = tmp_path / "tracks"
    arguments = (f"input={movie}/labels", f"images={movie}/images", f"output={tracked}", "overlay=false")
    result = run_command(track.main, *arguments)
    assert result.status == 0, result.err
    layers = named(result_layers(tracked))
    data, options, kind = layers["tracks"]
    table = pd.read_csv(tracked / "tracks.csv")
    assert kind == "tracks"
    assert data.shape == (len(table), 4)
    daughters = table.query("parent > 0").drop_duplicates("track")
    assert options["graph"] == {row.track: [row.parent] for row in daughters.itertuples()}
    assert layers["cells"][0].shape == (5, 160, 160)
    images = [layer for layer in layers.values() if layer[2] == "image"]
    assert images[0][0].shape == (5, 160, 160)


def test_a_parent_that_was_not_seen_is_no_parent():
    rows = {"track": [2, 2], "parent": [1, 1], "frame": [1, 0], "centroid-0_px": [1.0, 2], "centroid-1_px": [3.0, 4]}
    data, options, _ = track_layer("tracks", pd.DataFrame(rows), None)
    assert options["graph"] == {}
    assert data.tolist() == [[2, 0, 2, 4], [2, 1, 1, 3]]  # by track, then by frame


def test_other_directories_are_left_to_others(tmp_path):
    assert reader_of(str(tmp_path)) is None
    assert reader_of([str(tmp_path), str(tmp_path)]) is None
    assert reader_of(str(tmp_path / "a.tif")) is None
    with pytest.raises(UserError, match="not a directory that cellflax wrote"):
        result_layers(tmp_path)


def test_samples_have_truth():
    for sample in (samples.nuclei, samples.hela):
        kinds = [kind for _, _, kind in sample()]
        assert kinds[-1] == "labels"
        assert set(kinds[:-1]) == {"image"}
    layers = named(samples.colony(frames=3))
    labels, tracks = layers["simulated colony truth"][0], layers["simulated colony tracks"][0]
    for number, frame, row, column in tracks:
        np.testing.assert_allclose(np.argwhere(labels[int(frame)] == number).mean(0), [row, column])
    assert len(tracks) == sum(len(np.unique(frame)) - 1 for frame in labels)


def test_arrays_are_segmented_as_files_are(predicted, trained, fields):
    planes = [tifffile.imread(fields / f"images/field_0007_{channel}.tif") for channel in ("nuclear", "phase")]
    labels, options, _ = segment_planes(str(trained.path), planes, ("nuclear", "phase"), 1.3, 4)[0]
    np.testing.assert_array_equal(labels, tifffile.imread(predicted / "field_0007_labels.tif"))
    assert len(options["features"]) == len(np.unique(labels)) - 1
    movie = [np.stack([plane, plane]) for plane in planes[::-1]]
    found = segment_planes(str(trained.path), movie, ("a", "b"), 1.3, 4)  # other names: in their order
    np.testing.assert_array_equal(found[0][0], np.stack([labels, labels]))
    assert set(found[1][0][:, 0]) == {0, 1}  # uncertain cells in both frames


@pytest.mark.parametrize("planes", [[], [np.zeros((4, 4)), np.zeros((4, 5))], [np.zeros(4)]])
def test_layers_that_do_not_fit_are_refused(planes):
    with pytest.raises(UserError, match="layer"):
        segment_planes("nowhere", planes, ["a"] * len(planes))


def test_the_command_that_retrains(corrected, tmp_path):
    command = retrain_command(corrected, str(tmp_path), "runs/a", 2.5, tmp_path / "run")
    assert command[1:] == [
        "-P", "-m", "cellflax",
        "train", "data=folder", f"data.more=[{corrected}]", f"data.root={tmp_path}", "start_from=runs/a",
        "name=corrected", "trainer.max_minutes=2.5", f"run={tmp_path}/run",
    ]  # fmt: skip
    assert f"data.root={corrected}" in retrain_command(corrected, "", "", 1, new_run(corrected))
    with pytest.raises(UserError, match="not a folder that cellflax correct wrote"):
        retrain_command(tmp_path, "", "", 1, tmp_path)


def test_a_training_is_followed_to_its_end():
    lines = follow(["sh", "-c", "echo one; echo two >&2; echo 'run: a b'"])
    assert [next(lines), next(lines), next(lines)] == ["one", "two", "run: a b"]
    with pytest.raises(StopIteration) as end:
        next(lines)
    assert end.value.value == "a b"
    with pytest.raises(UserError, match="error: no such folder"):
        list(follow(["sh", "-c", "echo 'error: no such folder' >&2; exit 1"]))


def test_the_manifest_names_what_there_is():
    manifest = yaml.safe_load(MANIFEST.read_text())
    commands = {command["id"]: command["python_name"] for command in manifest["contributions"]["commands"]}
    for target in commands.values():
        module, name = target.split(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
    used = {c["command"] for kind in ("readers", "widgets", "sample_data") for c in manifest["contributions"][kind]}
    assert used == commands.keys()
