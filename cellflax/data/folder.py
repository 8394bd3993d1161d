"""A user's own images with label images, in the two usual folder layouts, from one data set or several."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cellflax.checks import at_least, check
from cellflax.data.datasets import DataConfig
from cellflax.data.example import SIMULATED_NOTE, Dataset, Example
from cellflax.data.folds import PartOptions, divide
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.errors import UserError
from cellflax.io.files import images_in
from cellflax.io.images import Image, ImageFiles, group_channels, list_files, read_channels, read_labels
from cellflax.labels import cells_of

_LABEL_FOLDERS = ("labels", "masks")
_LABEL_SUFFIXES = ("_cp_masks", "_masks", "_mask", "_labels", "_label")
_IMAGES, _NUCLEI = "images", "nuclei"


@dataclass
class FolderData(PartOptions, DataConfig):
    """Images and their label images.

    The folder has either `x.tif` beside `x_masks.tif` (or `_mask`, `_labels`, `_label`, Cellpose's `_cp_masks`), or
    folders `images` and `labels` (or `masks`) with the same file names. A label image has one number per cell and
    0 for background; a mask with a single value is split into its connected components. Optional label images of
    the nuclei are `x_nuclei.tif` beside `x.tif`, or in a folder `nuclei`. A folder that has neither images nor a
    folder `images` holds several data sets, each in its own sub-folder.

    Attributes:
        root: folder of the images and labels.
        channels: a part of the file names of each channel, if every channel has its own file; empty if each image
            file holds all its channels.
        annotation: which classes are made from the cells; compartments need the nuclei.
        edge_px: width of the edge class in pixels, if there is one.
    """

    root: str | None = None
    channels: list[str] = field(default_factory=list)
    annotation: Annotation = Annotation.boundaries
    edge_px: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "data", at_least(1), "edge_px")

    def load(self) -> Dataset:
        """See `load_folder`."""
        return load_folder(self)


def load_folder(config: FolderData) -> Dataset:
    """Read the folder; every image needs its label image and vice versa."""
    if config.root is None:
        raise UserError("data.root is not set; set it to the folder with your images and label images")
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise UserError(f"data.root={config.root}: no such folder")
    data_sets = _data_sets(root)
    examples, channels, simulated = [], (), False
    for data_set, folder in data_sets.items():
        found = _find(folder, config.channels)
        simulated |= any((path.parent / SIMULATED_NOTE).exists() for files in found.images for path in files.paths)
        for files in found.images:
            image = read_channels(files)
            if examples and len(image.channels) != len(channels):
                raise UserError(
                    f"{image.path}: {len(image.channels)} channels, but {examples[0].name} has {len(channels)}; "
                    "all images need the same channels"
                )
            channels = channels or image.channels
            name = files.name if len(data_sets) == 1 else f"{data_set}/{files.name}"
            examples.append(replace(_example(files.name, image, found, config), name=name, data_set=data_set))
    parts = divide(examples, config)
    return Dataset(
        train=parts.train,
        validation=parts.validation,
        channels=channels,
        class_names=config.annotation.class_names,
        source=_source(root, list(data_sets), len(examples), simulated),
        simulated=simulated,
        test=parts.test,
    )


def _data_sets(root: Path) -> dict[str, Path]:
    """Folders of the data sets by name: the folder itself, or its sub-folders if it has no images."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if (root / _IMAGES).is_dir() or images_in(root) or not folders:
        return {root.resolve().name: root}
    return {folder.name: folder for folder in folders}


def _source(root: Path, data_sets: list[str], count: int, simulated: bool) -> str:
    names = f" ({', '.join(data_sets)})" if len(data_sets) > 1 else ""
    kind = "simulated" if simulated else "of your own"
    return f"{root.resolve().name}{names}, {count} image{'s' * (count > 1)} {kind}"


@dataclass(frozen=True)
class _Found:
    """The files of a data set: its images, and for each image's name the label images of the cells and the nuclei."""

    images: list[ImageFiles]
    labels: dict[str, Path]
    nuclei: dict[str, Path]


def _find(root: Path, channels: list[str]) -> _Found:
    if (root / _IMAGES).is_dir():
        folders = [root / name for name in _LABEL_FOLDERS if (root / name).is_dir()]
        if len(folders) != 1:
            raise UserError(f"{root}: beside images there must be one folder, labels or masks")
        image_files, labels = list_files(root / _IMAGES), _by_image(list_files(folders[0]))
        nuclei = _by_image(list_files(root / _NUCLEI)) if (root / _NUCLEI).is_dir() else {}
    else:
        files = list_files(root)
        labels = _by_image([file for file in files if file.stem != _image_name(file)])
        files = [file for file in files if file not in set(labels.values())]
        beside = {file: name for file in files if (name := _name_beside_nuclei(file, labels, channels))}
        nuclei = {name: file for file, name in beside.items()}
        image_files = [file for file in files if file not in beside]
    images = group_channels(image_files, channels)
    for files in images:
        if files.name not in labels:
            raise UserError(
                f"{files.paths[0]}: no label image; name it {files.name}_masks.tif, or put {files.name}.tif "
                "into labels/ beside images/"
            )
    orphans = sorted(labels.keys() - {files.name for files in images})
    if orphans:
        raise UserError(f"{labels[orphans[0]]}: its image {orphans[0]} is missing; add it or remove the label image")
    return _Found(images, labels, nuclei)


def _by_image(label_files: list[Path]) -> dict[str, Path]:
    labels: dict[str, Path] = {}
    for file in label_files:
        other = labels.setdefault(_image_name(file), file)
        if other is not file:
            raise UserError(f"{file}: {other.name} labels the same image; keep one of them")
    return labels


def _image_name(label_file: Path) -> str:
    for suffix in _LABEL_SUFFIXES:
        if label_file.stem.endswith(suffix):
            return label_file.stem.removesuffix(suffix)
    return label_file.stem


def _name_beside_nuclei(file: Path, labels: dict[str, Path], channels: list[str]) -> str | None:
    """Name of the image whose nuclei a file labels; None for an image (a channel, or a file with a label image)."""
    suffix = f"_{_NUCLEI}"
    is_channel = any(channel.lower() in suffix for channel in channels)
    if is_channel or not file.stem.endswith(suffix) or file.stem in labels:
        return None
    return file.stem.removesuffix(suffix)


def _example(name: str, image: Image, found: _Found, config: FolderData) -> Example:
    nuclei = None
    if name in found.nuclei:
        nuclei = _read_instances(found.nuclei[name], image, "nucleus")
    elif config.annotation.needs_nuclei:
        raise UserError(
            f"{image.path}: no label image of the nuclei, which data.annotation={config.annotation.name} needs; name "
            f"it {name}_nuclei.tif, or put {name}.tif into nuclei/ beside images/"
        )
    cells = _read_instances(found.labels[name], image, "cell")
    return Example(
        name=name,
        image=image.pixels.astype(np.float32),
        classes=pixel_classes(config.annotation, cells, nuclei, config.edge_px),
        cells=cells,
        nuclei=nuclei,
        pixel_size_um=image.pixel_size_um,
    )


def _read_instances(label_file: Path, image: Image, what: str) -> np.ndarray:
    labels = read_labels(label_file)
    if labels.shape != image.pixels.shape[:2]:
        raise UserError(
            f"{label_file}: shape {labels.shape} differs from {image.pixels.shape[:2]} of its image {image.path.name}"
        )
    if not labels.any():
        raise UserError(f"{label_file}: labels are all zero, no {what}; annotate it or remove the image")
    return cells_of(labels)
