"""The door for Python: the same cells, tracks and scores as the commands write, from arrays; mistakes in one line."""

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tifffile

import cellflax
from cellflax import evaluate, predict, track
from cellflax.errors import UserError
from cellflax.refine.watershed import WatershedConfig
from tests.commands import REPOSITORY, run_command

NAME = "field_0007"


@pytest.fixture(scope="module")
def planes(fields):
    """Phase and nuclear image of a field."""
    return {name: tifffile.imread(fields / "images" / f"{NAME}_{name}.tif") for name in ("phase", "nuclear")}


@pytest.fixture(scope="module")
def image(planes):
    return np.stack([planes["phase"], planes["nuclear"]], axis=-1)


@pytest.fixture(scope="module")
def model(trained):
    return cellflax.load(trained.path)


@pytest.fixture
def predicted(trained, fields, tmp_path):
    """What `cellflax.predict` writes for the field: labels, the text of its rows of cells.csv, other files."""

    def run(*options: object):
        source = f"input={fields / 'images'}/{NAME}_*.tif"
        given = (f"checkpoint={trained.path}", source, f"output={tmp_path / 'out'}", "channels=[phase,nuclear]")
        result = run_command(predict.main, *given, *options)
        assert result.status == 0, result.err
        table = pd.read_csv(tmp_path / "out" / "cells.csv", dtype=str, keep_default_na=False)
        files = {path.stem.removeprefix(f"{NAME}_"): path for path in (tmp_path / "out").glob(f"{NAME}_*.tif")}
        return tifffile.imread(files["labels"]), table.drop(columns="image"), files

    return run


def as_written(table: pd.DataFrame) -> pd.DataFrame:
    """A table as its CSV holds it, text by text."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype=str, keep_default_na=False)


def test_importing_waits_for_nothing_large():
    """Without JAX; the time is printed with `-s`."""
    code = (
        "import time; start = time.perf_counter(); import cellflax; print(time.perf_counter() - start); import sys; "
        "assert not {'jax', 'pandas', 'hydra', 'skimage'} & set(sys.modules)"
    )
    times = []
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        times.append(float(run.stdout))
    print(f"import cellflax: {min(times):.3f} s")


def test_all_names_are_there():
    assert all(getattr(cellflax, name) is not None for name in cellflax.__all__)
    assert set(cellflax.__all__) <= set(dir(cellflax))
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = cellflax.laod


def test_segmented_as_the_command_does(model, image, predicted):
    labels, table, _ = predicted()
    result = model(image, pixel_size_um=1.3)
    assert labels.max() > 5
    np.testing.assert_array_equal(result.labels, labels)
    pd.testing.assert_frame_equal(as_written(result.cells), table)
    assert (result.probabilities, result.uncertainty) == (None, None)
    assert model.channels == ("phase", "nuclear")
    assert model.simulated


def test_settings_nuclei_and_maps_as_the_command_has_them(trained, image, fields, predicted):
    options = ("test_time_augmentation=4", "refine=watershed", "refine.interior=0.3", "tiling=gaussian", "tile=64")
    labels, table, files = predicted(*options, f"nuclei={fields / 'nuclei'}/{NAME}.tif", "save_probability=true")
    settings = cellflax.PredictionSettings(
        test_time_augmentation=4, refine=WatershedConfig(interior=0.3), tiling=cellflax.Tiling.gaussian, tile=64
    )
    nuclei = tifffile.imread(fields / "nuclei" / f"{NAME}.tif")
    result = cellflax.load(str(trained.path), settings)(image, pixel_size_um=1.3, nuclei=nuclei, probabilities=True)
    np.testing.assert_array_equal(result.labels, labels)
    pd.testing.assert_frame_equal(as_written(result.cells), table)
    assert "uncertainty" in table
    np.testing.assert_array_equal(result.nuclei, tifffile.imread(files["seeds"]))
    np.testing.assert_array_equal(np.moveaxis(result.probabilities, -1, 0), tifffile.imread(files["probability"]))
    np.testing.assert_array_equal(result.uncertainty, tifffile.imread(files["uncertainty"]))


def test_planes_are_taken_by_name(model, image, planes):
    expected = model(image).labels
    other = np.random.default_rng(0).integers(0, 99, image.shape[:2])
    shuffled = np.stack([planes["nuclear"], other, planes["phase"]], axis=-1)
    np.testing.assert_array_equal(model(shuffled, channels=["nuclear", "dapi", "phase"]).labels, expected)
    assert (model(image[..., ::-1]).labels != expected).any()


def with_nan(image):
    image = image.astype(np.float32)
    image[3, 4, 1] = np.nan
    return image


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda a: a, {"channels": ["phase", "dapi"]}, "channels lacks nuclear: the network needs phase, nuclear"),
        (lambda a: a, {"channels": ["phase"]}, r"channels names 1 planes \(phase\) and the image has 2"),
        (lambda a: a, {"channels": ["phase", "phase"]}, "channels must be different names"),
        (lambda a: a[..., 0], {}, r"the image has 1 planes, .* the network needs 2 \(phase, nuclear\)"),
        (lambda a: a[..., 0], {"channels": "phase"}, "channels lacks nuclear"),
        (lambda a: np.moveaxis(a, -1, 0), {}, r"the image has 128 planes, as its shape \(2, 128, 128\) is \(H, W, C\)"),
        (lambda a: a[None], {}, r"the shape \(H, W\) or \(H, W, C\), got \(1, 128, 128, 2\)"),
        (lambda a: a[:0], {}, r"got \(0, 128, 2\)"),
        (lambda a: a.astype(complex), {}, "must hold integers or floats, got complex128"),
        (with_nan, {}, "the image: channel nuclear contains NaN or infinity"),
        (lambda a: a, {"nuclei": np.ones((5, 5), int)}, r"nuclei: \(5, 5\) nuclei for an image of \(128, 128\)"),
        (lambda a: a, {"nuclei": np.full((128, 128), 0.5)}, "nuclei: labels must be whole numbers"),
        (lambda a: a, {"pixel_size_um": 0.0}, "pixel_size_um must be above 0, got 0"),
    ],
)
def test_an_array_that_does_not_fit(model, image, change, options, message):
    with pytest.raises(UserError, match=message) as caught:
        model(change(image), **options)
    assert "\n" not in str(caught.value)


def test_settings_that_cannot_work(trained, image):
    with pytest.raises(UserError, match=r"tiling must be Tiling\.seamless or Tiling\.gaussian, got 'gaussian'"):
        cellflax.load(trained.path, cellflax.PredictionSettings(tiling="gaussian"))
    with pytest.raises(UserError, match=r"refine must be one of ThresholdConfig, .* got 'watershed'"):
        cellflax.load(trained.path, cellflax.PredictionSettings(refine="watershed"))
    with pytest.raises(UserError, match="checkpoint nowhere does not exist"):
        cellflax.load("nowhere")
    with pytest.raises(UserError, match="block must be 256 or more"):
        cellflax.PredictionSettings(block=12)


@pytest.fixture
def movie():
    """Two cells that move by a pixel a frame, one of which divides; numbered anew in every frame."""
    labels = np.zeros((5, 40, 60), np.int32)
    for t in range(5):
        labels[t, 5 + t : 15 + t, 5:15] = 1 + t
        if t < 3:
            labels[t, 20:32, 30:50] = 9 - t
        else:
            labels[t, 20:32, 28:39], labels[t, 20:32, 41:52] = 20, 21
    return labels


def test_tracked_as_the_command_does(movie, tmp_path):
    images = np.random.default_rng(1).integers(100, 200, movie.shape).astype(np.uint16)
    for name, stack in (("labels", movie), ("images", images)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, metadata={"axes": "TYX"}, photometric="minisblack")
    options = (f"input={tmp_path / 'labels.tif'}", f"images={tmp_path / 'images.tif'}", f"output={tmp_path / 'out'}")
    settings = ("frame_interval_s=60", "pixel_size_um=0.5", "link.max_distance=2", "overlay=false")
    result = run_command(track.main, *options, *settings)
    assert result.status == 0, result.err

    config = cellflax.TrackerConfig()
    config.link.max_distance = 2.0
    tracks = cellflax.track_labels(movie, config, images=images, pixel_size_um=0.5, frame_interval_s=60.0)
    for table, name in ((tracks.cells, "tracks"), (tracks.nodes, "nodes"), (tracks.edges, "edges")):
        written = pd.read_csv(tmp_path / "out" / f"{name}.csv", dtype=str, keep_default_na=False)
        pd.testing.assert_frame_equal(as_written(table), written)
    assert list(tracks.tracks["parent"]) == [0, 0, 2, 2]  # the second cell divides
    for t in range(5):
        assert np.unique(tracks.labels[t][movie[t] == 1 + t]).tolist() == [1]
    np.testing.assert_array_equal(tracks.labels > 0, movie > 0)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda a: a[0], {}, r"labels must have the shape \(T, H, W\) with two frames or more, got \(40, 60\)"),
        (lambda a: a[:1], {}, "two frames or more"),
        (lambda a: 0 * a, {}, "no cell in any of the 5 frames"),
        (lambda a: a, {"images": np.zeros((5, 3, 3))}, r"images must be \(5, 40, 60\)"),
        (lambda a: a, {"images": np.full((5, 40, 60), np.nan)}, "images must hold numbers without NaN"),
        (lambda a: a, {"images": np.ones((5, 40, 60)), "channels": ["a", "b"]}, "channels names 2 planes"),
        (lambda a: a, {"frame_interval_s": -1.0}, "frame_interval_s must be above 0"),
    ],
)
def test_a_movie_that_does_not_fit(movie, change, options, message):
    with pytest.raises(UserError, match=message):
        cellflax.track_labels(change(movie), **options)


@pytest.mark.parametrize("mask", [False, True])
def test_scored_as_the_command_does(fields, tmp_path, mask):
    reference = tifffile.imread(fields / "labels" / f"{NAME}.tif")
    nuclei = tifffile.imread(fields / "nuclei" / f"{NAME}.tif")
    predicted = np.roll(reference, 2, axis=0)
    predicted[predicted == 3] = 0
    if mask:
        predicted = 255 * (predicted > 0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "predicted.tif", predicted)
    files = (f"reference={fields / 'labels'}/{NAME}.tif", f"nuclei={fields / 'nuclei'}/{NAME}.tif")
    options = ("border=10", "erode_reference=true", f"output={tmp_path / 'out'}")
    result = run_command(evaluate.main, f"predicted={tmp_path / 'predicted.tif'}", *files, *options)
    assert result.status == 0, result.err
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())

    scores = cellflax.score(predicted, reference, nuclei=nuclei, border=10, erode_reference=True)
    (expected,) = written["images"].values()
    assert scores.metrics == expected
    assert 0 < scores.metrics["jaccard_index"] < 1
    table = pd.read_csv(tmp_path / "out" / "per_cell.csv", dtype=str, keep_default_na=False).drop(columns="image")
    pd.testing.assert_frame_equal(as_written(scores.cells), table)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((np.ones((4, 4), int), np.ones((4, 5), int)), {}, r"predicted \(4, 4\), reference \(4, 5\)"),
        ((np.ones((4, 4, 1), int),) * 2, {}, "must have the shape"),
        ((np.ones((4, 4), int), np.zeros((4, 4), int)), {}, "no cells inside the border of 0 px"),
        ((np.ones((4, 4), int),) * 2, {"nuclei": np.zeros((4, 4), int)}, "no reference cell holds a nucleus"),
        ((np.ones((4, 4), int),) * 2, {"border": -1}, "border must be 0 or more, got -1"),
        ((np.full((4, 4), np.nan), np.ones((4, 4), int)), {}, "predicted"),
    ],
)
def test_label_images_that_do_not_fit(arrays, options, message):
    with pytest.raises(UserError, match=message):
        cellflax.score(*arrays, **options)
