"""Images that are unlike those of the training are named in one line for each way, at the end of a prediction."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

import cellflax
from cellflax.data.example import Dataset, Example
from cellflax.data.normalize import Intensity, NormalizeConfig
from cellflax.data.resample import ScaleConfig
from cellflax.data.split import whole
from cellflax.errors import UserError
from cellflax.io.images import Image
from cellflax.prediction.unlike import UnlikeTraining
from cellflax.training.seen import SEEN, read_seen, seen_in_training
from tests.predictions import CHANNELS, predicting
from tests.test_old_runs import OLD


def discs(seed: int, size: int = 192, radius: float = 7.0) -> tuple[np.ndarray, np.ndarray]:
    """Blurred discs with noise on a dark background, and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    labels = np.zeros((size, size), np.int32)
    for i, (top, left) in enumerate(np.ndindex(size // 24, size // 24), start=1):
        centre = 24 * np.array([top, left]) + rng.integers(10, 15, 2)
        labels[np.hypot(y - centre[0], x - centre[1]) < radius] = i
    image = 100 + ndimage.gaussian_filter(np.where(labels > 0, 1000.0, 0), 1) + rng.normal(0, 10, labels.shape)
    return image.astype(np.float32), labels


def trained_on(count: int, config: NormalizeConfig, sizes: tuple[float | None, ...] = (None,)) -> Any:
    """What `UnlikeTraining` takes of a network that was trained on such images."""
    examples = []
    for seed in range(count):
        image, labels = discs(seed)
        size = sizes[seed % len(sizes)]
        examples.append(Example(f"{seed}", image[..., None], labels, labels, pixel_size_um=size))
    dataset = Dataset(tuple(examples), (whole(examples[0]),), ("dna",), ("interior", "background"), "discs")
    common = sizes[0] if len(set(sizes)) == 1 else None
    return SimpleNamespace(
        record={"data": {"pixel_size_um": common}, SEEN: seen_in_training(dataset, config)},
        config=SimpleNamespace(normalize=config, scale=ScaleConfig()),
        path="run/checkpoints/1",
    )


def said(model: Any, images: dict[str, np.ndarray], capsys, size: float | None = None) -> list[str]:
    capsys.readouterr()
    unlike = UnlikeTraining(model)
    for name, image in images.items():
        unlike.image(name, Image(image[..., None], ("dna",), size, __file__))
    unlike.say()
    return capsys.readouterr().err.splitlines()


def noise(width: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, width, (192, 192))


PERCENTILE = NormalizeConfig(intensity=Intensity.percentile)


def others(change) -> dict[str, np.ndarray]:
    return {f"new_{seed}": change(discs(100 + seed)[0]) for seed in range(5)}


@pytest.mark.parametrize("count", [1, 2, 10])
def test_images_like_those_of_the_training_are_not_warned_of(count, capsys):
    assert said(trained_on(count, PERCENTILE), others(lambda image: image), capsys) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.max() - image, "the median of dna at 9"),
        (
            lambda image: ndimage.gaussian_filter(image, 2) + np.random.default_rng(0).normal(0, 5, image.shape),
            "out of",
        ),
        (lambda image: image + np.random.default_rng(0).normal(0, 100, image.shape), "expect missed cells"),
    ],
)
def test_each_way_has_one_line_with_the_number_of_images(change, words, capsys):
    (line,) = said(trained_on(4, PERCENTILE), others(change), capsys)
    assert line.startswith("warning: 5 of 5 images (new_0, new_1, new_2 and 2 more): new_0 has ")
    assert words in line
    assert ", training had " in line


@pytest.mark.parametrize(
    ("intensity", "change", "warned"),
    [
        (Intensity.percentile, lambda image: 0.1 * image, False),
        (Intensity.percentile, lambda image: image + 5000, False),
        (Intensity.none, lambda image: 0.1 * image, True),
        (Intensity.none, lambda image: image + 5000, True),
        (Intensity.median, lambda image: 0.1 * image, False),
        (Intensity.median, lambda image: image + 5000, True),
    ],
)
def test_gain_and_offset_matter_only_where_they_reach_the_network(intensity, change, warned, capsys):
    lines = said(trained_on(4, NormalizeConfig(intensity=intensity)), {"a": change(discs(100)[0])}, capsys)
    assert bool(lines) is warned, lines


def test_pixel_sizes(capsys):
    image = {"a": discs(100)[0]}
    model = trained_on(4, PERCENTILE, (0.5, 0.65))
    assert said(model, image, capsys, 0.6) == []
    assert said(model, image, capsys, None) == []
    (line,) = said(model, image, capsys, 0.325)
    assert line == (
        "warning: a has 0.325 um per pixel, training had 0.5 to 0.65; resample it with network_pixel_size_um=0.5"
    )


@pytest.mark.parametrize(
    ("radius", "size", "remedy"),
    [
        (7, None, None),
        (14, None, "pixel_size_um=1 network_pixel_size_um=2."),
        (14, 0.5, "network_pixel_size_um=1."),
        (3.5, 0.5, "network_pixel_size_um=0.2"),
    ],
)
def test_sizes_of_the_cells_that_are_found(radius, size, remedy, capsys):
    unlike = UnlikeTraining(trained_on(4, PERCENTILE, (size,)))
    unlike.image("a", Image(discs(100)[0][..., None], ("dna",), size, __file__))
    unlike.cells("a", pd.DataFrame({"area_px": [np.pi * radius**2] * 6}))
    unlike.say()
    err = capsys.readouterr().err
    assert (remedy in err) if remedy else not err
    if remedy:
        assert f"a has cells of {2 * radius:.3g} px across (median), training had images of 1" in err


def test_few_cells_say_nothing_of_their_size(capsys):
    unlike = UnlikeTraining(trained_on(4, PERCENTILE))
    unlike.image("a", Image(discs(100)[0][..., None], ("dna",), None, __file__))
    unlike.cells("a", pd.DataFrame({"area_px": [5000.0] * 4}))
    unlike.say()
    assert not capsys.readouterr().err


def test_a_damaged_record_is_one_line():
    model = trained_on(1, PERCENTILE)
    model.record[SEEN]["channels"][0]["span"] = [1.0]
    with pytest.raises(UserError, match="run/checkpoints/1 is damaged: its ranges of the training images"):
        UnlikeTraining(model)
    model.record[SEEN] = {"images": "many"}
    with pytest.raises(UserError, match="damaged: images must be a whole number"):
        UnlikeTraining(model)


def test_the_record_of_a_training(trained):
    model = cellflax.load(trained.path)
    seen = read_seen(model._networks.model.record)
    assert seen is not None
    assert [channel.name for channel in seen.channels] == ["phase", "nuclear"]
    assert seen.images == 2
    assert seen.pixel_size_um == [1.3, 1.3]
    assert 5 < seen.cell_diameter_px[1] < 40
    for channel in seen.channels:
        assert channel.low[0] <= channel.low[1] < channel.high[0]


def test_prediction_at_double_scale(trained, fields, tmp_path):
    """Twice as many pixels per cell, with no pixel size in the files."""
    run = predicting(trained.path, tmp_path / "out")
    for name in ("field_0007", "field_0008"):
        for channel in ("phase", "nuclear"):
            if not (fields / "images" / f"{name}_{channel}.tif").exists():
                continue
            plane = tifffile.imread(fields / "images" / f"{name}_{channel}.tif")
            for zoom in (1, 2):
                folder = tmp_path / f"x{zoom}"
                folder.mkdir(exist_ok=True)
                tifffile.imwrite(folder / f"{name}_{channel}.tif", ndimage.zoom(plane, zoom, order=1))
    same = run(tmp_path / "x1", CHANNELS)
    assert same.status == 0, same.err
    assert "training had" not in same.err
    double = run(tmp_path / "x2", CHANNELS)
    assert double.status == 0, double.err
    lines = [line for line in double.err.splitlines() if "training had" in line]
    assert lines, double.err
    assert all("larger on the image than in training" in line or "px across (median)" in line for line in lines)


def test_arrays_are_warned_of_once(trained, fields, capsys):
    planes = [tifffile.imread(fields / "images" / f"field_0007_{name}.tif") for name in ("phase", "nuclear")]
    image = np.stack(planes, axis=-1).astype(np.float32)
    model = cellflax.load(trained.path)
    model(image)
    assert "training had" not in capsys.readouterr().err
    blurred = ndimage.gaussian_filter(image, (3, 3, 0))
    for expected in (1, 0):
        model(blurred)
        assert capsys.readouterr().err.count("warning: the image has a sharpness of") == expected * 2  # channels


def test_an_old_checkpoint_says_nothing(fields, tmp_path):
    result = predicting(OLD / "finished", tmp_path / "out")(fields / "images", CHANNELS)
    assert result.status == 0, result.err
    assert "training had" not in result.err


def test_other_channels_than_recorded_are_not_compared(capsys):
    model = trained_on(1, PERCENTILE)
    image = replace(Image(discs(0)[0][..., None], ("dna",), None, __file__), pixels=np.zeros((64, 64, 2), np.float32))
    unlike = UnlikeTraining(model)
    unlike.image("a", image)
    unlike.say()
    assert not capsys.readouterr().err
