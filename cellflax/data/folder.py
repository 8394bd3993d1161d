"""A user's own images with label images, in the two usual folder layouts, from one data set or several."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from cellflax.checks import at_least, check
from cellflax.data.datasets import DataConfig
from cellflax.data.example import SIMULATED_NOTE, Dataset, Example
from cellflax.data.folds import PartOptions, divide
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.files import images_in
from cellflax.io.images import Image, ImageFiles, find_images, list_files, read_channels, read_labels
from cellflax.io.name_matching import Matching, match_names
from cellflax.io.names import comparable, shorter_stems, stem_of
from cellflax.io.reading import Reading, ReadingOptions
from cellflax.io.records import not_results
from cellflax.io.result_set import without_results
from cellflax.labels import cells_of

# Names of folders in lower case, as people call them.
_IMAGE_FOLDERS = ("images", "image", "imgs", "img")
_LABEL_FOLDERS = ("labels", "label", "masks", "mask", "gt", "ground_truth", "groundtruth", "annotations")
_NUCLEUS_FOLDERS = ("nuclei", "nucleus")
_LABEL_SUFFIX = re.compile(r"(?<=.)[-_. ](cp_masks?|masks?|labels?|gt)$", re.IGNORECASE)
_NUCLEUS_SUFFIX = re.compile(r"(?<=.)[-_. ](nuclei|nucleus)$", re.IGNORECASE)


@dataclass
class FolderData(ReadingOptions, PartOptions, DataConfig):
    """Images and their label images.

    The folder has either `x.tif` beside `x_masks.tif` (or `_mask`, `_labels`, `_label`, `_gt`, Cellpose's `_cp_masks`),
    or folders `images` and `labels` (or `masks`, `GT`, `annotations`) with the same file names; upper and lower case
    are the same. Files are paired by name, see `io.pairs`. A label image has one number per cell and
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

    prefix: ClassVar[str] = "data."

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


@dataclass(frozen=True)
class DataSetFiles:
    """The files of a data set: its images, and for each image's name the label images of the cells and the nuclei."""

    images: list[ImageFiles]
    labels: dict[str, Path]
    nuclei: dict[str, Path]


def load_folder(config: FolderData) -> Dataset:
    """Read the folder; every image needs its label image and vice versa."""
    if config.root is None:
        raise UserError("data.root is not set; set it to the folder with your images and label images")
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise UserError(f"data.root={config.root}: no such folder")
    data_sets = find_data_sets(root, config.channels, config.reading())
    examples, channels, simulated = [], (), False
    for data_set, found in data_sets.items():
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


def find_data_sets(root: Path, channels: list[str], reading: Reading) -> dict[str, DataSetFiles]:
    """The files of the data sets in a folder, by the names of the data sets.

    Args:
        root: the folder.
        channels: as in `FolderData`.
        reading: how to read the images.

    Raises:
        UserError: if a folder is no data set, or an image lacks its label image.
    """
    return {name: _find(folder, channels, reading) for name, folder in _data_sets(root).items()}


def _data_sets(root: Path) -> dict[str, Path]:
    """Folders of the data sets by name: the folder itself, or its sub-folders if it has no images."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if _folders(root, _IMAGE_FOLDERS) or images_in(root) or not folders:
        return {root.resolve().name: root}
    return {folder.name: folder for folder in folders}


def _folders(root: Path, names: Sequence[str]) -> list[Path]:
    """Folders of these names, in any case of letters."""
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name.casefold() in names)


def _source(root: Path, data_sets: list[str], count: int, simulated: bool) -> str:
    names = f" ({', '.join(data_sets)})" if len(data_sets) > 1 else ""
    kind = "simulated" if simulated else "of your own"
    return f"{root.resolve().name}{names}, {count} image{'s' * (count > 1)} {kind}"


def _find(root: Path, channels: list[str], reading: Reading) -> DataSetFiles:
    image_folders = _folders(root, _IMAGE_FOLDERS)
    if len(image_folders) > 1:
        raise UserError(
            f"{root}: {' and '.join(path.name for path in image_folders)} both hold images; keep one folder"
        )
    if image_folders:
        folders = _folders(root, _LABEL_FOLDERS)
        if len(folders) != 1:
            raise UserError(f"{root}: beside {image_folders[0].name} there must be one folder, labels or masks")
        image_files = without_results(f"data.root={root}", list_files(image_folders[0]))
        label_files = list_files(folders[0])
        label_files = not_results(label_files) or label_files
        nucleus_files = [file for folder in _folders(root, _NUCLEUS_FOLDERS) for file in list_files(folder)]
    else:
        files = without_results(f"data.root={root}", list_files(root))
        label_files = [file for file in files if _LABEL_SUFFIX.search(stem_of(file))]
        labelled = {comparable(_LABEL_SUFFIX.sub("", stem_of(file))) for file in label_files}
        files = [file for file in files if file not in set(label_files)]
        nucleus_files = [file for file in files if _is_nuclei(file, labelled, channels)]
        image_files = [file for file in files if file not in set(nucleus_files)]
    images = find_images(image_files, channels, reading)
    return DataSetFiles(images, _labels_of(images, label_files), _nuclei_of(images, nucleus_files))


def _labels_of(images: list[ImageFiles], label_files: list[Path]) -> dict[str, Path]:
    """The label image of each image by its name.

    Raises:
        UserError: if an image has none or several, or a label image has no image.
    """
    matching = _match(images, label_files)
    unused = _unused(matching, images, label_files, "labels the same image")
    for files in images:
        if files.name not in matching.files:
            others = f" ({unused[0].name} has no image either)" if unused else ""
            predicted = files.paths[0].with_name(results.result_file(files.name, results.LABELS))
            if predicted.is_file() and not not_results([predicted]):
                raise UserError(
                    f"{files.paths[0]}: no label image; {predicted.name} is what cellflax predicted. Copy it to "
                    f"{files.name}_masks.tif, corrected, to train on it"
                )
            raise UserError(
                f"{files.paths[0]}: no label image; name it {files.name}_masks.tif, or put {files.name}.tif "
                f"into labels/ beside images/{others}"
            )
    for file in unused:
        name = _LABEL_SUFFIX.sub("", stem_of(file))
        same = [other for other in matching.files.values() if comparable(name) in map(comparable, _names_of(other))]
        if same:
            raise UserError(f"{file}: {same[0].name} labels the same image; keep one of them")
        raise UserError(f"{file}: its image {name} is missing; add it or remove the label image")
    return matching.files


def _unused(matching: Matching, images: list[ImageFiles], files: list[Path], what: str) -> list[Path]:
    """The files that belong to no image; two files of one image are refused."""
    for image in images:
        if image.name in matching.rivals:
            first, second, *_ = matching.rivals[image.name]
            raise UserError(f"{second}: {first.name} {what}; keep one of them")
    return sorted(set(files) - set(matching.files.values()))


def _nuclei_of(images: list[ImageFiles], nucleus_files: list[Path]) -> dict[str, Path]:
    """The label image of the nuclei of each image that has one."""
    matching = _match(images, nucleus_files)
    unused = _unused(matching, images, nucleus_files, "labels the nuclei of the same image")
    if unused:
        raise UserError(f"{unused[0]}: its image is missing; add it or remove the label image of its nuclei")
    return matching.files


def _match(images: list[ImageFiles], files: list[Path]) -> Matching:
    return match_names({image.name: [image.name] for image in images}, files)


def _names_of(file: Path) -> list[str]:
    return shorter_stems(stem_of(file))


def _is_nuclei(file: Path, labelled: set[str], channels: list[str]) -> bool:
    """Whether a file holds the nuclei of an image, and is none (a channel, or a file with a label image)."""
    suffix = _NUCLEUS_SUFFIX.search(stem_of(file))
    if suffix is None or comparable(stem_of(file)) in labelled:
        return False
    return not any(channel.lower() in suffix[0].lower() for channel in channels)


def _example(name: str, image: Image, found: DataSetFiles, config: FolderData) -> Example:
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
