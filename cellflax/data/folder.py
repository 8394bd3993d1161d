"""A user's own images with label images, in the two usual folder layouts."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cellflax.data.annotation import classes_from_labels, instances_from_mask
from cellflax.data.example import CLASS_NAMES, SIMULATED_NOTE, Dataset, Example
from cellflax.data.images import Image, ImageFiles, group_channels, list_files, read_channels, read_labels
from cellflax.data.split import SplitOptions, split_examples
from cellflax.errors import UserError

_LABEL_FOLDERS = ("labels", "masks")
_LABEL_SUFFIXES = ("_cp_masks", "_masks", "_mask", "_labels", "_label")


@dataclass
class FolderData(SplitOptions):
    """Images and their label images.

    Either `x.tif` beside `x_masks.tif` (or `_mask`, `_labels`, `_label`, Cellpose's `_cp_masks`), or folders
    `images` and `labels` (or `masks`) with the same file names. A label image has one number per cell and 0
    for background; a mask with one single value is split into its connected components.

    Attributes:
        root: the folder.
        channels: parts of file names, where every channel has a file of its own; empty if each image file
            holds all its channels.
        edge_px: width of the edge class in pixels.
    """

    root: str | None = None
    channels: list[str] = field(default_factory=list)
    edge_px: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.edge_px < 1:
            raise UserError(f"data.edge_px must be >= 1, got {self.edge_px}")


def load_folder(config: FolderData) -> Dataset:
    """Read the folder; every image needs its label image and the other way round."""
    if config.root is None:
        raise UserError("data.root is not set; set it to the folder with your images and label images")
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise UserError(f"data.root={config.root}: no such folder")
    images, label_files = _pair(root, config.channels)
    examples, channels = [], ()
    for files in images:
        image = read_channels(files)
        if examples and len(image.channels) != len(channels):
            raise UserError(
                f"{image.path}: {len(image.channels)} channels, but {examples[0].name} has {len(channels)}; "
                "all images need the same channels"
            )
        channels = channels or image.channels
        examples.append(_example(files.name, image, label_files[files.name], config.edge_px))
    train, validation = split_examples(examples, config)
    simulated = any((path.parent / SIMULATED_NOTE).exists() for files in images for path in files.paths)
    kind = "simulated" if simulated else "of your own"
    return Dataset(
        train=train,
        validation=validation,
        channels=channels,
        class_names=CLASS_NAMES,
        source=f"{root.resolve().name}, {len(examples)} image{'s' * (len(examples) > 1)} {kind}",
        simulated=simulated,
    )


def _pair(root: Path, channels: list[str]) -> tuple[list[ImageFiles], dict[str, Path]]:
    """Images, and the label file of each by the image's name."""
    if (root / "images").is_dir():
        folders = [root / name for name in _LABEL_FOLDERS if (root / name).is_dir()]
        if len(folders) != 1:
            raise UserError(f"{root}: beside images there must be one folder, labels or masks")
        image_files, label_files = list_files(root / "images"), list_files(folders[0])
    else:
        files = list_files(root)
        label_files = [file for file in files if file.stem != _image_name(file)]
        image_files = [file for file in files if file not in set(label_files)]
    labels: dict[str, Path] = {}
    for file in label_files:
        other = labels.setdefault(_image_name(file), file)
        if other is not file:
            raise UserError(f"{file}: {other.name} labels the same image; keep one of them")
    images = group_channels(image_files, channels)
    for files in images:
        if files.name not in labels:
            raise UserError(
                f"{files.paths[0]}: no label image; name it {files.name}_masks.tif, or put {files.name}.tif "
                "into labels/ beside images/"
            )
    orphans = sorted(labels.keys() - {files.name for files in images})
    if orphans:
        raise UserError(f"{labels[orphans[0]]}: no image {orphans[0]} to this label image; add or remove one")
    return images, labels


def _image_name(label_file: Path) -> str:
    for suffix in _LABEL_SUFFIXES:
        if label_file.stem.endswith(suffix):
            return label_file.stem.removesuffix(suffix)
    return label_file.stem


def _example(name: str, image: Image, label_file: Path, edge_px: int) -> Example:
    labels = read_labels(label_file)
    if labels.shape != image.pixels.shape[:2]:
        raise UserError(
            f"{label_file}: shape {labels.shape} differs from {image.pixels.shape[:2]} of its image {image.path.name}"
        )
    if not labels.any():
        raise UserError(f"{label_file}: labels are all zero, no cell; annotate it or remove the image")
    cells = instances_from_mask(labels)
    return Example(
        name=name,
        image=image.pixels.astype(np.float32),
        classes=classes_from_labels(cells, edge_px),
        cells=cells,
        pixel_size_um=image.pixel_size_um,
    )
