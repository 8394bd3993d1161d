"""Data sets: layouts on disk, and the one-line message of each mistake."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellflax.data.datasets import load_dataset
from cellflax.data.deepcell import DeepCellData
from cellflax.data.example import EDGE, INTERIOR
from cellflax.data.folder import FolderData
from cellflax.data.pixel_classes import Annotation
from cellflax.data.simulated import SimulatedData, Target
from cellflax.data.split import Split
from cellflax.errors import UserError
from tests.data.squares import SMALL_STAND_IN, noise, square_labels, write_tiff


def test_simulated_fields_differ_and_repeat():
    first, again = load_dataset(SMALL_STAND_IN), load_dataset(SMALL_STAND_IN)
    more = load_dataset(replace(SMALL_STAND_IN, fields=2))
    np.testing.assert_array_equal(first.train[0].image, again.train[0].image)
    np.testing.assert_array_equal(first.train[0].image, more.train[0].image)
    held_out = first.validation[0].example
    assert not np.array_equal(first.train[0].image, held_out.image)
    assert not np.array_equal(more.train[0].image, more.train[1].image)
    assert held_out.nuclei is not None
    assert ((held_out.nuclei == 0) | (held_out.nuclei == held_out.cells)).all()
    assert first.validation[0].slices == (slice(0, 96), slice(0, 96))


@pytest.mark.parametrize("labels_folder", [None, "labels", "masks"])
@pytest.mark.parametrize("separate_channels", [False, True])
def test_folder_layouts(tmp_path, labels_folder, separate_channels):
    images = tmp_path / "images" if labels_folder else tmp_path
    for name in ("a", "b"):
        if separate_channels:
            write_tiff(images / f"{name}_phase.tif", noise(seed=1))
            write_tiff(images / f"{name}_nuclear.tif", noise(seed=2))
        else:
            write_tiff(images / f"{name}.tif", np.stack([noise(seed=1), noise(seed=2)]))
        label_file = tmp_path / labels_folder / f"{name}.tif" if labels_folder else images / f"{name}_masks.tif"
        write_tiff(label_file, square_labels() * 7)
    channels = ["phase", "nuclear"] if separate_channels else []
    dataset = load_dataset(FolderData(root=str(tmp_path), channels=channels))
    assert sorted([dataset.train[0].name, dataset.validation[0].example.name]) == ["a", "b"]
    assert dataset.channels == (tuple(channels) or ("channel_0", "channel_1"))
    assert not dataset.simulated
    example = dataset.train[0]
    np.testing.assert_array_equal(example.cells, square_labels() * 7)
    np.testing.assert_array_equal(example.image, np.stack([noise(seed=1), noise(seed=2)], -1))
    # Gaps of 4 px: the edge takes 2 px from either side, interiors are the cells.
    np.testing.assert_array_equal(example.classes == INTERIOR, square_labels() > 0)
    assert (example.classes[20:24, 8:20] == EDGE).all()


def test_binary_masks_are_split_into_cells(tmp_path):
    for name in ("a", "b"):
        write_tiff(tmp_path / f"{name}.tif", noise())
        write_tiff(tmp_path / f"{name}_mask.tif", (square_labels() > 0).astype(np.uint8) * 255)
    dataset = load_dataset(FolderData(root=str(tmp_path)))
    np.testing.assert_array_equal(dataset.train[0].cells, square_labels())


def _nuclei() -> np.ndarray:
    """A nucleus of 4 x 4 px in the corner of each cell."""
    labels = square_labels()
    return np.where((np.indices(labels.shape) % 16 - 8 < 4).all(axis=0), labels, 0)


@pytest.mark.parametrize("in_folders", [True, False])
@pytest.mark.parametrize("channels", [[], ["phase", "nuclear"]])
def test_nuclei_beside_images(tmp_path, in_folders, channels):
    for name in ("a", "b"):
        for channel in channels or [""]:
            file = f"{name}_{channel}.tif" if channel else f"{name}.tif"
            write_tiff(tmp_path / "images" / file if in_folders else tmp_path / file, noise())
        write_tiff(
            tmp_path / "labels" / f"{name}.tif" if in_folders else tmp_path / f"{name}_masks.tif", square_labels()
        )
        write_tiff(tmp_path / "nuclei" / f"{name}.tif" if in_folders else tmp_path / f"{name}_nuclei.tif", _nuclei())
    config = FolderData(root=str(tmp_path), channels=channels, annotation=Annotation.compartments)
    dataset = load_dataset(config)
    assert dataset.class_names == ("nucleus", "cytoplasm", "background")
    assert len(dataset.train) == len(dataset.validation) == 1
    example = dataset.train[0]
    np.testing.assert_array_equal(example.cells, square_labels())
    np.testing.assert_array_equal(example.nuclei, _nuclei())
    np.testing.assert_array_equal(example.classes == 0, _nuclei() > 0)
    np.testing.assert_array_equal(example.classes == 2, square_labels() == 0)
    (tmp_path / ("nuclei/b.tif" if in_folders else "b_nuclei.tif")).unlink()
    with pytest.raises(UserError, match=r"b.*: no label image of the nuclei, .*; name it b_nuclei.tif, or put b.tif"):
        load_dataset(config)
    others = load_dataset(replace(config, annotation=Annotation.foreground))  # which has no need of them
    assert {e.name: e.nuclei is None for e in (*others.train, others.validation[0].example)} == {"a": False, "b": True}


@pytest.mark.parametrize("channels", [[], ["phase", "nuclei"]])
def test_files_called_nuclei_may_be_images(tmp_path, channels):
    """Channels of that name, or images with label images of their own."""
    for name in ("a", "b"):
        write_tiff(tmp_path / f"{name}_nuclei.tif", noise())
        write_tiff(tmp_path / (f"{name}_masks.tif" if channels else f"{name}_nuclei_masks.tif"), square_labels())
        if channels:
            write_tiff(tmp_path / f"{name}_phase.tif", noise(seed=1))
    dataset = load_dataset(FolderData(root=str(tmp_path), channels=channels))
    assert dataset.train[0].nuclei is None
    assert dataset.train[0].image.shape[-1] == max(len(channels), 1)


@pytest.mark.parametrize("annotation", Annotation)
def test_simulated_fields_under_any_scheme(annotation):
    dataset = load_dataset(replace(SMALL_STAND_IN, annotation=annotation))
    example = dataset.train[0]
    assert dataset.class_names == annotation.class_names
    assert np.unique(example.classes).tolist() == list(range(len(dataset.class_names)))
    # A cell's pixels are background in two classes alone, and only beside another cell.
    lost = (example.cells > 0) & (example.classes == len(dataset.class_names) - 1)
    assert lost.any() == (annotation is Annotation.foreground)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(example.cells, 1), (3, 3))[lost].reshape(-1, 9)
    assert all(len(np.unique(labels[labels > 0])) > 1 for labels in around)


def _no_mask(root: Path) -> None:
    (root / "b_masks.tif").unlink()


def _bad_pixels(value: float):
    def write(root: Path) -> None:
        write_tiff(root / "b.tif", np.full((64, 60), value, np.float32))

    return write


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (_no_mask, {}, "b.tif: no label image; name it b_masks.tif"),
        (lambda root: (root / "b.tif").unlink(), {}, "b_masks.tif: its image b is missing"),
        (lambda root: write_tiff(root / "b_masks.tif", square_labels()[:9]), {}, "b_masks.tif: shape .9, 60. differs"),
        (lambda root: write_tiff(root / "b_masks.tif", square_labels() * 0), {}, "at least 2 images with cells"),
        (
            lambda root: [write_tiff(root / f"{name}_masks.tif", square_labels() * 0) for name in "ab"],
            {},
            "no label image has a cell .2 read",
        ),
        (lambda root: (root / "b_masks.tif").write_bytes(b""), {}, "b_masks.tif: the file is empty"),
        (lambda root: write_tiff(root / "b_mask.tif", square_labels()), {}, "labels the same image"),
        (lambda root: write_tiff(root / "b.tif", noise(2)), {}, "b.tif: 2 channels, but a has 1"),
        (_bad_pixels(np.nan), {}, "b.tif: channel channel_0 contains NaN"),
        (_bad_pixels(5.0), {}, "b.tif: channel channel_0 is constant"),
        (None, {"channels": ["phase"]}, "a.tif: no channel phase; it has channel_0"),
        (None, {"validation_fraction": 0.9}, "leaves no cell to train on"),
        (None, {"split": Split.region, "validation_fraction": 0.02}, "holds out no cell"),
        (None, {"split": Split.region, "validation_fraction": 0.99}, "leaves no cell to train on"),
        (lambda root: (_no_mask(root), (root / "b.tif").unlink()), {}, "there is 1; use data.split=region"),
        (lambda root: (root / "images").mkdir(), {}, "one folder, labels or masks"),
        (
            lambda root: write_tiff(root / "b_nuclei.tif", square_labels() * 0),
            {},
            "b_nuclei.tif: labels are all zero, no nucleus",
        ),
        (
            lambda root: write_tiff(root / "b_nuclei.tif", square_labels()[:9]),
            {},
            "b_nuclei.tif: shape .9, 60. differs",
        ),
        (None, {"root": None}, "data.root is not set"),
        (None, {"root": "/no/where"}, "data.root=/no/where: no such folder"),
    ],
)
def test_bad_folders(tmp_path, spoil, options, message):
    for name in ("a", "b"):
        write_tiff(tmp_path / f"{name}.tif", noise())
        write_tiff(tmp_path / f"{name}_masks.tif", square_labels())
    if spoil is not None:
        spoil(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        load_dataset(FolderData(**{"root": str(tmp_path), **options}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("schema", "options", "message"),
    [
        (
            DeepCellData,
            {"validation_fraction": 0.0},
            r"data.validation_fraction must be in \(0, 1\), got 0.0",
        ),
        (FolderData, {"validation_fraction": 2.0}, r"data.validation_fraction must be in \(0, 1\), got 2.0"),
        (FolderData, {"split_seed": -1}, "data.split_seed must be 0 or more"),
        (FolderData, {"edge_px": 0}, "data.edge_px must be 1 or more, got 0"),
        (DeepCellData, {"channels": []}, "data.channels must name"),
        (DeepCellData, {"edge_feature": 1}, "must differ, both are 1"),
        (DeepCellData, {"min_cell_px": -3}, "data.min_cell_px must be 0 or more"),
        (SimulatedData, {"fields": 0}, "data.fields must be 1 or more, got 0"),
        (
            SimulatedData,
            {"annotation": Annotation.compartments, "target": Target.nuclei},
            "data.annotation=compartments separates nuclei from the cells .* data.target must be cells, got nuclei",
        ),
        (
            DeepCellData,
            {"stand_in": SimulatedData(annotation=Annotation.foreground)},
            "data.stand_in.annotation must be boundaries, .* got foreground",
        ),
        (SimulatedData, {"validation_fields": 0}, "data.validation_fields must be 1 or more"),
    ],
)
def test_ranges(schema, options, message):
    with pytest.raises(UserError, match=message):
        schema(**options)
