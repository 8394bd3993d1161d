"""DeepCell's training sets: their layouts, the stand-in for missing files, and the one-line message of each mistake."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cellflax.data.datasets import load_dataset
from cellflax.data.deepcell import DeepCellData, OnMissing
from cellflax.data.example import INTERIOR
from cellflax.errors import UserError
from tests.data.squares import BY_REGION, SMALL_STAND_IN, noise, square_labels, write_tiff


def _write_set(folder: Path, *, edge: int = 0, interior: int = 1) -> None:
    """One training set in the DeepCell layout, around the interiors of `_labels`."""
    mask = square_labels() > 0
    write_tiff(folder / "phase.tif", noise(seed=1))
    write_tiff(folder / "nuclear.tif", noise(seed=2))
    write_tiff(folder / f"feature_{edge}.tif", (ndimage.binary_dilation(mask) & ~mask).astype(np.uint8) * 255)
    write_tiff(folder / f"feature_{interior}.tif", mask.astype(np.uint8) * 255)


@pytest.mark.parametrize("layout", ["deepcell", "repository", "single"])
def test_deepcell_layouts(tmp_path, monkeypatch, layout):
    """Below root/deepcell or root itself; sets in numerical order, or the folder as the only set."""
    base = tmp_path / "deepcell" if layout == "deepcell" else tmp_path
    names = ["mine"] if layout == "single" else [f"set{i}" for i in (1, 2, 10)]
    for name in names:
        _write_set(base / "training_data" / ("mine" if layout == "single" else f"mine/{name}"))
    (base / "training_data/mine/notes").mkdir()
    monkeypatch.setenv("CELLFLAX_DATA", str(tmp_path))
    dataset = load_dataset(DeepCellData(folder="training_data/mine", **BY_REGION))
    assert [example.name for example in dataset.train] == names
    assert dataset.channels == ("phase", "nuclear")
    assert not dataset.simulated
    example = dataset.validation[0].example
    np.testing.assert_array_equal(example.cells, square_labels())
    np.testing.assert_array_equal(example.image[..., 0], noise(seed=1))
    np.testing.assert_array_equal(example.image[..., 1], noise(seed=2))
    assert example.image.dtype == np.float32
    np.testing.assert_array_equal(example.classes == INTERIOR, square_labels() > 0)


def test_semantic_feature_numbers(tmp_path):
    """In the co-culture sets the interiors are in feature_1 or feature_2, the other file is empty."""
    _write_set(tmp_path / "training_data/mine", edge=0, interior=2)
    write_tiff(tmp_path / "training_data/mine/feature_1.tif", np.zeros((64, 60), np.uint8))
    config = DeepCellData(root=str(tmp_path), folder="training_data/mine", **BY_REGION)
    with pytest.raises(UserError, match=r"feature_1.tif: holds no annotation; choose edge_feature"):
        load_dataset(config)
    dataset = load_dataset(replace(config, interior_feature=2))
    np.testing.assert_array_equal(dataset.validation[0].example.cells, square_labels())


@pytest.mark.parametrize("channels", [["phase", "nuclear"], ["nuclear", "phase"]])
def test_missing_files_give_the_stand_in_and_say_so(tmp_path, monkeypatch, channels):
    monkeypatch.setenv("CELLFLAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CELLFLAX_DATA", raising=False)
    dataset = load_dataset(DeepCellData(channels=channels, stand_in=SMALL_STAND_IN))
    assert dataset.simulated
    assert dataset.channels == tuple(channels)
    assert f"training_data/HeLa_joint not found below {tmp_path / 'cache'}" in dataset.source
    reference = load_dataset(SMALL_STAND_IN)
    order = [reference.channels.index(channel) for channel in channels]
    np.testing.assert_array_equal(dataset.train[0].image, reference.train[0].image[..., order])
    np.testing.assert_array_equal(
        dataset.validation[0].example.image, reference.validation[0].example.image[..., order]
    )


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda folder: (folder / "nuclear.tif").unlink(), {}, "no file for channel nuclear"),
        (lambda folder: (folder / "feature_0.tif").unlink(), {}, "0 files feature_0"),
        (lambda folder: write_tiff(folder / "feature_1.tif", square_labels()[1:]), {}, "feature_1.tif: shape"),
        (None, {"folder": "training_data/other", "on_missing": OnMissing.error}, "data.on_missing=download"),
        (None, {"folder": "training_data/other", "channels": ["actin"]}, "no simulated stand-in"),
        (None, {"root": "/no/where"}, "data.root=/no/where: no such folder"),
        (None, {"folder": "training_data/x", "on_missing": OnMissing.download}, "no known public files"),
    ],
)
def test_bad_deepcell_folders(tmp_path, spoil, options, message):
    folder = tmp_path / "training_data/mine"
    _write_set(folder)
    if spoil is not None:
        spoil(folder)
    options = {"root": str(tmp_path), "folder": "training_data/mine", "stand_in": SMALL_STAND_IN, **options}
    with pytest.raises(UserError, match=message) as error:
        load_dataset(DeepCellData(**options))
    assert "\n" not in str(error.value)


@pytest.mark.real_data
def test_download_reads_what_it_fetched(data_root, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLFLAX_CACHE", str(tmp_path))
    monkeypatch.delenv("CELLFLAX_DATA", raising=False)
    config = DeepCellData(
        folder="training_data/ecoli",
        channels=["phase"],
        on_missing=OnMissing.download,
        mirror=str(data_root / "deepcell"),
    )
    dataset = load_dataset(config)
    assert dataset.source == "DeepCell ecoli, 2 images"
    again = load_dataset(replace(config, on_missing=OnMissing.error, mirror="/no/where"))
    np.testing.assert_array_equal(again.train[0].image, dataset.train[0].image)


@pytest.mark.real_data
def test_hela_joint(data_root):
    dataset = load_dataset(DeepCellData(root=str(data_root)))
    assert not dataset.simulated
    assert len(dataset.train) == 4
    assert len(dataset.validation) == 1
    for example in (*dataset.train, dataset.validation[0].example):
        assert example.image.shape == (1080, 1280, 2)
        edge, interior, background = (np.mean(example.classes == k) for k in range(3))
        assert 0.03 < edge < 0.08
        assert 0.25 < interior < 0.36
        assert edge + interior + background == pytest.approx(1)
        assert 100 < example.cells.max() < 250
        assert np.bincount(example.cells.ravel())[1:].min() >= 20
        phase, nuclear = np.median(example.image, axis=(0, 1))
        assert phase > 5 * nuclear > 0
