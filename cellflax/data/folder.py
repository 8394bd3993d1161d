"""A user's own images with label images, in the two usual folder layouts, from one data set or several."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from cellflax.checks import at_least, check
from cellflax.data.datasets import DataConfig
from cellflax.data.example import SIMULATED_NOTE, Dataset, Example
from cellflax.data.folder_files import DataSetFiles, find_data_sets
from cellflax.data.folds import PartOptions, divide
from cellflax.data.normalize import Intensity
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.errors import UserError
from cellflax.ignored import SparseLabels
from cellflax.io import results
from cellflax.io.images import Image, read_channels, read_labels
from cellflax.io.label_notes import note_labels
from cellflax.io.notices import warn
from cellflax.io.reading import ReadingOptions
from cellflax.io.size_remarks import size_remark
from cellflax.labels import cells_of


@dataclass
class FolderData(ReadingOptions, PartOptions, DataConfig):
    """Images and their label images.

    The folder has either `x.tif` beside `x_masks.tif` (or `_mask`, `_labels`, `_label`, `_gt`, Cellpose's `_cp_masks`),
    or folders `images` and `labels` (or `masks`, `GT`, `annotations`) with the same file names; upper and lower case
    are the same. Files are paired by name, see `io.pairs`. A label image has one number per cell and
    0 for background; a mask with a single value is split into its connected components. Optional label images of
    the nuclei are `x_nuclei.tif` beside `x.tif`, or in a folder `nuclei`. A folder that has neither images nor a
    folder `images` holds several data sets, each in its own sub-folder.

    In place of a label image there may be outlines: ROIs of ImageJ (`x.zip`, `x_rois.zip`, `x.roi`) or GeoJSON of
    QuPath (`x.geojson`). A label image of zeros, or a GeoJSON without features, means that the image has no cell.
    Masks `x_ignore.tif` beside `x.tif`, or in a folder `ignore`, are not zero where nothing is annotated.

    Attributes:
        root: folder of the images and labels.
        more: further folders of the same kind, such as one that `cellflax correct` wrote. All of their images are
            trained on: what is held out or tested is of `root`, and is the same without them.
        channels: a part of the file names of each channel, if every channel has its own file; empty if each image
            file holds all its channels.
        annotation: which classes are made from the cells; compartments need the nuclei.
        edge_px: width of the edge class in pixels, if there is one.
        ignore_label: value in the label images that means "not annotated"; null for none. With 0, only the cells that
            have a number are known, with their outlines; some background must then have `background_label`.
        background_label: value in the label images that means background, as 0 does; null for none.
    """

    prefix: ClassVar[str] = "data."
    usual_intensity: ClassVar[Intensity] = Intensity.percentile  # whose median may be 0, and whose offset is unknown
    usual_tune: ClassVar[bool] = True

    root: str | None = None
    more: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    annotation: Annotation = Annotation.boundaries
    edge_px: int = 2
    ignore_label: int | None = None
    background_label: int | None = None

    def __post_init__(self) -> None:
        ReadingOptions.__post_init__(self)
        PartOptions.__post_init__(self)
        check(self, "data", at_least(1), "edge_px")
        self.sparse.check("data.")

    @property
    def sparse(self) -> SparseLabels:
        """Which values of the label images are not labels of cells."""
        return SparseLabels(self.ignore_label, self.background_label)

    def load(self) -> Dataset:
        """See `load_folder`."""
        return load_folder(self)


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder, before they are divided into parts.

    Attributes:
        examples: the images with their annotation.
        channels: names of their channels.
        source: one line on where they come from.
        simulated: number of them that are simulated.
        more: names of the data sets in `FolderData.more`.
    """

    examples: tuple[Example, ...]
    channels: tuple[str, ...]
    source: str
    simulated: int
    more: frozenset[str] = frozenset()

    @property
    def own(self) -> tuple[Example, ...]:
        """The images of `FolderData.root`, of which some are held out."""
        return tuple(example for example in self.examples if example.data_set not in self.more)

    @property
    def further(self) -> tuple[Example, ...]:
        """The images of `FolderData.more`, which are for training."""
        return tuple(example for example in self.examples if example.data_set in self.more)


def load_folder(config: FolderData) -> Dataset:
    """Read the folder and divide its images.

    Raises:
        UserError: as `read_folder` and `divide`, or if sparse annotation has no background.
    """
    read = read_folder(config)
    parts = divide(read.own, config)
    _refuse_held_out(read.further, [*(region.example for region in parts.validation), *parts.test])
    train = (*parts.train, *read.further)
    _require_background(Path(str(config.root)), train, config)
    return Dataset(
        train=train,
        validation=parts.validation,
        channels=read.channels,
        class_names=config.annotation.class_names,
        source=read.source,
        simulated=read.simulated > 0,
        test=parts.test,
        simulated_images=read.simulated if 0 < read.simulated < len(read.examples) else None,
    )


def read_folder(config: FolderData) -> FolderImages:
    """Read the folder; every image needs its label image and vice versa.

    Raises:
        UserError: if files are missing or cannot be used, or there is no cell.
    """
    if config.root is None:
        raise UserError("data.root is not set; set it to the folder with your images and label images")
    root = _folder("data.root", config.root)
    data_sets = find_data_sets(root, config.channels, config.reading())
    several, more = len(data_sets) > 1, _find_more(config, data_sets)
    data_sets |= more
    examples, channels, simulated = [], (), 0
    for data_set, found in data_sets.items():
        for files in found.images:
            image = read_channels(files)
            is_simulated = any((path.parent / SIMULATED_NOTE).exists() for path in files.paths)
            simulated += is_simulated
            if examples and len(image.channels) != len(channels):
                raise UserError(
                    f"{image.path}: {len(image.channels)} channels, but {examples[0].name} has {len(channels)}; "
                    "all images need the same channels"
                )
            channels = channels or image.channels
            name = f"{data_set}/{files.name}" if several or data_set in more else files.name
            example = _example(files.name, image, found, config)
            examples.append(replace(example, name=name, data_set=data_set, simulated=is_simulated))
    if not any(example.annotated_cells.any() for example in examples):
        raise UserError(
            f"{root}: no label image has a cell ({len(examples)} read, the labels are all zero or not annotated); "
            "annotate some cells"
        )
    source = _source(root, list(data_sets), len(examples), simulated)
    return FolderImages(tuple(examples), channels, source, simulated, frozenset(more))


def _folder(key: str, given: str) -> Path:
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={given}: no such folder")
    return folder


def _find_more(config: FolderData, own: Mapping[str, DataSetFiles]) -> dict[str, DataSetFiles]:
    """The data sets of `more`, by their names."""
    found: dict[str, DataSetFiles] = {}
    for given in config.more:
        for name, files in find_data_sets(_folder("data.more", given), config.channels, config.reading()).items():
            if name in found or name in own:
                raise UserError(
                    f"data.more={given}: there is another data set called {name}; rename one of the folders"
                )
            found[name] = files
    return found


def _refuse_held_out(further: Sequence[Example], held_out: Sequence[Example]) -> None:
    """Refuse to train on images of `more` that are held out of `root`, by their pixels: they would score themselves."""
    known = {_pixels(example): example.name for example in held_out}
    for example in further:
        if (same := known.get(_pixels(example))) is not None:
            raise UserError(
                f"data.more: {example.name} is the same image as {same}, which is held out or tested; leave it out of "
                f"the folder (of cellflax correct: done=no in {results.CORRECTION_TABLE})"
            )


def _pixels(example: Example) -> tuple[tuple[int, ...], int]:
    return example.image.shape, zlib.crc32(np.ascontiguousarray(example.image).tobytes())


def _require_background(root: Path, train: Sequence[Example], config: FolderData) -> None:
    """Refuse sparse annotation without background: a network would find cells everywhere."""
    background = len(config.annotation.class_names) - 1
    if all(example.ignored is None for example in train):
        return
    if not any(((example.classes == background) & _is_annotated(example)).any() for example in train):
        how = (
            "paint some background in the label images with a value of its own and add data.background_label=VALUE, or "
            "give masks x_ignore.tif in place of data.ignore_label=0"
            if config.ignore_label == 0
            else "leave some background out of what is not annotated"
        )
        raise UserError(f"{root}: no training image has background that is annotated as such; {how}")


def _is_annotated(example: Example) -> np.ndarray:
    """(H, W) bool; a background class beside cells that nothing surrounds is not annotated."""
    return np.ones(example.cells.shape, bool) if example.ignored is None else example.ignored == 0


def _source(root: Path, data_sets: list[str], count: int, simulated: int) -> str:
    names = f" ({', '.join(data_sets)})" if len(data_sets) > 1 else ""
    if 0 < simulated < count:
        own = count - simulated
        images = f"{own} image{'s' * (own > 1)} of your own and {simulated} simulated"
    else:
        images = f"{count} image{'s' * (count > 1)} {'simulated' if simulated else 'of your own'}"
    return f"{root.resolve().name}{names}, {images}"


def _example(name: str, image: Image, found: DataSetFiles, config: FolderData) -> Example:
    shape = image.pixels.shape[:2]
    painted = _read(found.masks[name], image) if name in found.masks else None
    labels, ignored = config.sparse.take_out(_read(found.labels[name], image), painted)
    note_labels(found.labels[name], labels)
    cells = cells_of(labels)
    nuclei = None
    if name in found.nuclei:
        nuclei = cells_of(_read(found.nuclei[name], image))
        if cells.any() and not nuclei.any():
            raise UserError(f"{found.nuclei[name]}: labels are all zero, no nucleus; annotate it or remove the image")
    elif config.annotation.needs_nuclei and not cells.any():
        nuclei = np.zeros(shape, np.int32)
    elif config.annotation.needs_nuclei:
        raise UserError(
            f"{image.path}: no label image of the nuclei, which data.annotation={config.annotation.name} needs; name "
            f"it {name}_nuclei.tif, or put {name}.tif into nuclei/ beside images/"
        )
    return Example(
        name=name,
        image=image.pixels.astype(np.float32),
        classes=pixel_classes(config.annotation, cells, nuclei, config.edge_px, ignored),
        cells=cells,
        nuclei=nuclei,
        pixel_size_um=image.pixel_size_um,
        ignored=ignored,
    )


def _read(label_file: Path, image: Image) -> np.ndarray:
    """(H, W) labels of an image."""
    labels = read_labels(label_file, image.pixels.shape[:2])
    if labels.shape != image.pixels.shape[:2]:
        raise UserError(
            f"{label_file}: shape {labels.shape} differs from {image.pixels.shape[:2]} of its image {image.path.name}"
        )
    if remark := size_remark(label_file, image.path):
        warn(remark)
    return labels
