"""The public DeepCell training sets (github CovertLab/DeepCell) in their own layout."""

import os
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.checks import at_least, check
from cellflax.data.datasets import DataConfig
from cellflax.data.example import CLASS_NAMES, Dataset, Example
from cellflax.data.pixel_classes import Annotation, cells_from_classes, classes_from_features
from cellflax.data.registry import fetch_deepcell, fetched_deepcell
from cellflax.data.simulated import SimulatedData, load_simulated
from cellflax.data.split import SplitOptions, split_examples
from cellflax.device import cache_directory
from cellflax.errors import UserError
from cellflax.io.images import group_channels, list_files, read_channels, read_labels


class OnMissing(Enum):
    """What to do when the files are not found."""

    simulate = "simulate"
    download = "download"
    error = "error"


@dataclass
class DeepCellFiles(SplitOptions):
    """Where the files are, and the settings that they share.

    Attributes:
        root: the repository's checkout, or a folder that contains it as `deepcell`; default CELLFLAX_DATA,
            else the cache.
        channels: a part of the file names of each channel, in order.
        min_cell_px: connected interiors of fewer pixels are specks of the drawing, not reference cells.
        on_missing: `simulate` builds the stand-in instead and says so, `download` fetches the files into the
            cache, `error` stops.
        mirror: URL or folder with the repository's files, for `download`; default CELLFLAX_MIRROR, else
            github.
    """

    root: str | None = None
    channels: list[str] = field(default_factory=lambda: ["phase", "nuclear"])
    min_cell_px: int = 20
    on_missing: OnMissing = OnMissing.simulate
    mirror: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels:
            raise UserError("data.channels must name at least one channel, got []")
        check(self, "data", at_least(0), "min_cell_px")


@dataclass
class DeepCellData(DeepCellFiles, DataConfig):
    """One training set: sub-folders set1, set2, ... (or the folder itself) with channels and `feature_k` files.

    Attributes:
        folder: the training set, below the root.
        edge_feature: k of the file `feature_k` with edge strokes.
        interior_feature: k of the file with filled interiors. In the co-culture sets it differs between
            folders.
        stand_in: the simulated fields for on_missing=simulate.
    """

    folder: str = "training_data/HeLa_joint"
    edge_feature: int = 0
    interior_feature: int = 1
    stand_in: SimulatedData = field(default_factory=SimulatedData)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_features(self, "data")
        if self.stand_in.annotation is not Annotation.boundaries:
            raise UserError(
                "data.stand_in.annotation must be boundaries, the classes of the data that it stands in for, got "
                f"{self.stand_in.annotation.name}"
            )

    def load(self) -> Dataset:
        """See `load_deepcell`."""
        return load_deepcell(self)


def check_features(config: Any, key: str) -> None:
    """Refuse an `edge_feature` and `interior_feature` that are negative or the same; they are configured at `key`."""
    check(config, key, at_least(0), "edge_feature", "interior_feature")
    if config.edge_feature == config.interior_feature:
        raise UserError(f"{key}.edge_feature and {key}.interior_feature must differ, both are {config.edge_feature}")


def load_deepcell(config: DeepCellData) -> Dataset:
    """Read the training set; `config.on_missing` decides what happens if it is missing."""
    folder, searched = _find(config)
    if folder is None:
        if config.on_missing is OnMissing.simulate:
            return _load_stand_in(config, searched)
        if config.on_missing is OnMissing.error:
            raise UserError(
                f"{config.folder}: not found below {searched}; set data.root or CELLFLAX_DATA to the folder "
                "that contains it, or data.on_missing=download"
            )
        folder = fetch_deepcell(config.folder, config.mirror) / config.folder
    examples = [_read_set(path, config) for path in _sets(folder)]
    train, validation = split_examples(examples, config)
    return Dataset(
        train=train,
        validation=validation,
        channels=tuple(config.channels),
        class_names=CLASS_NAMES,
        source=f"DeepCell {folder.name}, {len(examples)} image{'s' * (len(examples) > 1)}",
    )


def _find(config: DeepCellData) -> tuple[Path | None, str]:
    """The set's folder, or None, and where it was looked for."""
    if config.root is not None:
        root = Path(config.root).expanduser()
        if not root.is_dir():
            raise UserError(f"data.root={config.root}: no such folder")
        return _below(root, config.folder), str(root)
    named = os.environ.get("CELLFLAX_DATA")
    found = _below(Path(named).expanduser(), config.folder) if named else None
    # A fetch that was interrupted must neither pass for the whole set nor keep the rest from being fetched.
    found = found or fetched_deepcell(config.folder)
    return found, f"{named} and {cache_directory()}" if named else str(cache_directory())


def _below(root: Path, folder: str) -> Path | None:
    candidates = (root / "deepcell" / folder, root / folder)
    return next((path for path in candidates if path.is_dir()), None)


def _sets(folder: Path) -> list[Path]:
    """Sub-folders set1, set2, ..., set10 in this order, or the folder itself if there are none."""
    matches = [(re.fullmatch(r"set(\d+)", path.name), path) for path in folder.iterdir() if path.is_dir()]
    numbered = sorted((int(match[1]), path) for match, path in matches if match)
    return [path for _, path in numbered] or [folder]


def _read_set(folder: Path, config: DeepCellData) -> Example:
    files = group_channels(list_files(folder), config.channels)
    if len(files) > 1:
        raise UserError(f"{folder}: holds {len(files)} images, a set holds one; give longer data.channels")
    image = read_channels(files[0])
    shape = image.pixels.shape[:2]
    classes = classes_from_features(
        edge=_read_feature(folder, config.edge_feature, shape),
        interior=_read_feature(folder, config.interior_feature, shape),
    )
    return Example(
        name=folder.name,
        image=image.pixels.astype(np.float32),
        classes=classes,
        cells=cells_from_classes(classes, config.min_cell_px),
        pixel_size_um=image.pixel_size_um,
    )


def _read_feature(folder: Path, index: int, shape: tuple[int, ...]) -> np.ndarray:
    paths = [path for path in list_files(folder) if path.stem == f"feature_{index}"]
    if len(paths) != 1:
        raise UserError(f"{folder}: {len(paths)} files feature_{index}.tif or .png, exactly one is needed")
    feature = read_labels(paths[0])
    if feature.shape != shape:
        raise UserError(f"{paths[0]}: shape {feature.shape} differs from {shape} of the channels")
    if not feature.any():
        raise UserError(
            f"{paths[0]}: holds no annotation; choose edge_feature and interior_feature from the other feature files"
        )
    return feature


def _load_stand_in(config: DeepCellData, searched: str) -> Dataset:
    dataset = load_simulated(config.stand_in)
    if not set(config.channels) <= set(dataset.channels):
        raise UserError(
            f"{config.folder}: not found below {searched}, and there is no simulated stand-in with channels "
            f"{', '.join(config.channels)}; set data.root, or data.on_missing=download"
        )
    order = [dataset.channels.index(channel) for channel in config.channels]
    return replace(
        dataset,
        train=tuple(replace(example, image=example.image[..., order]) for example in dataset.train),
        validation=tuple(
            replace(region, example=replace(region.example, image=region.example.image[..., order]))
            for region in dataset.validation
        ),
        channels=tuple(config.channels),
        source=f"{dataset.source}; stand-in: {config.folder} not found below {searched}",
    )
