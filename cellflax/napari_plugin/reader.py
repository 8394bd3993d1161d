"""Run and result directories as layers.

Which command wrote a directory is known by its record; a directory of other files is left to napari's other readers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.data.folder import FolderData
from cellflax.data.folder_files import find_data_sets
from cellflax.data.simulated import SimulatedData
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.corrections import read_correction
from cellflax.io.files import ImageFiles, find_images, list_files
from cellflax.io.frames import is_movie, open_frames
from cellflax.io.images import pixel_size_of, read_channels, read_image, read_labels
from cellflax.io.movies import read_image_movie, read_label_movie
from cellflax.io.notices import warn
from cellflax.io.predictions import cells_of_image, read_cells
from cellflax.io.reading import ReadingOptions, TimeFrom
from cellflax.io.records import not_results
from cellflax.io.tables import read_table
from cellflax.jsonfile import read_json
from cellflax.napari_plugin.layers import (
    FOLDER,
    NAME,
    LayerData,
    cell_points,
    image_layers,
    label_layer,
    place_points,
    track_layer,
)
from cellflax.planning.channel_files import channels_in_names
from cellflax.schemas import from_json
from cellflax.training.config import TrainConfig

MOST_IMAGES = 24  # of a directory that are opened; each has several layers
_REMEDY = "write it again"


def reader_of(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """The reader of a directory that cellflax wrote, as napari asks for it; None for all others."""
    folder = _folder(path)
    return None if folder is None or _kind(folder) is None else lambda given: result_layers(_folder(given) or folder)


def _folder(path: str | Sequence[str]) -> Path | None:
    """The one directory that is meant: by itself, or by its table."""
    given = Path(path) if isinstance(path, str) else Path(path[0]) if len(path) == 1 else None
    if given is not None and given.name in (results.CORRECTION_TABLE, results.TRACKS):
        return given.parent
    return given if given is not None and given.is_dir() else None


def _kind(folder: Path) -> Callable[[Path], list[LayerData]] | None:
    """What reads a directory, by the record in it."""
    records = {
        results.RECORDS["correct"]: _correction,
        results.RECORDS["track"]: _tracking,
        results.CELLS: _prediction,
        results.CONFIG: _run,
        results.RECORDS["simulate"]: _training_folder,
        results.REVIEW_TABLE: _training_folder,
    }
    return next((read for name, read in records.items() if (folder / name).is_file()), None)


def result_layers(folder: Path) -> list[LayerData]:
    """The layers of a directory that a command wrote.

    - predict: images, if they are where they were, label images with their measurements, uncertain cells as points;
    - track: images, label movie and tracks;
    - correct: images, labels to edit, uncertain cells as points;
    - train: held-out images with their annotation, and doubtful places as points;
    - simulate, annotate: images and labels.

    Only the first image is shown at once.

    Raises:
        UserError: if it is no such directory, or files cannot be read.
    """
    read = _kind(folder)
    if read is None:
        raise UserError(f"{folder}: not a directory that cellflax wrote")
    layers = read(folder)
    if not layers:
        raise UserError(f"{folder}: has nothing that can be shown")
    return layers


def _first(items: Sequence[Any], folder: Path) -> Sequence[Any]:
    if len(items) > MOST_IMAGES:
        warn(f"{folder}: the first {MOST_IMAGES} of {len(items)} images are opened")
    return items[:MOST_IMAGES]


def _correction(folder: Path) -> list[LayerData]:
    found = read_correction(folder)
    return [] if found is None else [
        layer
        for i, name in enumerate(_first(list(found.contents), folder))
        for layer in correction_layers(folder, name, visible=i == 0)
    ]  # fmt: skip


def correction_layers(folder: Path, name: str, visible: bool = True) -> list[LayerData]:
    """An image to correct, its labels and its most uncertain cells.

    Args:
        folder: what `cellflax correct` wrote.
        name: name of the image.
        visible: whether the layers are shown.

    Raises:
        UserError: if there is no such image, or it cannot be read.
    """
    found = read_correction(folder)
    if found is None:
        raise UserError(f"{folder}: not a folder that cellflax correct wrote")
    image = read_image(found.image_file(name))
    labels = read_labels(found.label_file(name), image.pixels.shape[:2])
    size = image.pixel_size_um
    cells = pd.DataFrame()
    if (table := folder / results.UNCERTAIN_CELLS).is_file():
        numbers = {f"centroid-._px|{results.UNCERTAINTY}": float}
        cells = read_table(table, {results.IMAGE: str, results.LABEL: int}, _REMEDY, numbers)
        cells = cells_of_image(cells, name)
    metadata = {FOLDER: str(folder), NAME: name}
    return [
        *image_layers(name, image.pixels, image.channels, size, visible),
        label_layer(f"{name} labels", labels, size, visible=visible, metadata=metadata),
        *cell_points(f"{name} uncertain", cells, size, visible=visible),
    ]


def _prediction(folder: Path) -> list[LayerData]:
    table = read_cells(folder / results.CELLS)
    suffix = f"_{results.LABELS}.tif"
    sources, layers = _sources(folder), []
    for i, file in enumerate(_first(sorted(folder.glob(f"*{suffix}")), folder)):
        name, size, shown = file.name.removesuffix(suffix), pixel_size_of(file), i == 0
        if name in sources:
            layers += _source_layers(sources[name], name, size, shown)
        cells = cells_of_image(table, name)
        movie = is_movie(file)
        labels = np.asarray(read_label_movie(str(file)).labels) if movie else read_labels(file)
        layers.append(label_layer(f"{name} cells", labels, size, cells, shown))
        layers += cell_points(f"{name} uncertain", cells, size, results.FRAME if movie else None, shown)
    return layers


def _sources(folder: Path) -> dict[str, ImageFiles]:
    """The images that were segmented by name, as far as they are where they were."""
    settings = _settings(folder / results.PROVENANCE)
    given, axis = settings.get("input"), settings.get("time_axis", "T")
    channels, z, scene = (settings.get(key) for key in ("channels", "z", "scene"))
    if not isinstance(given, str) or axis not in TimeFrom.__members__:
        return {}
    try:
        reading = ReadingOptions(scene=scene, z=z, time_axis=TimeFrom[axis]).reading()
        files = list_files(given)
        images = find_images(not_results(files) or files, channels or [], reading)
    except UserError as error:
        warn(f"{folder}: without the images ({error})")
        return {}
    return {image.name: image for image in images}


def _source_layers(files: ImageFiles, name: str, size: float | None, visible: bool) -> list[LayerData]:
    with open_frames(files) as frames:
        images = [frames.read(t) for t in range(frames.count)]
        pixels = images[0].pixels if frames.time is None else np.stack([image.pixels for image in images])
    return image_layers(name, pixels, images[0].channels, size or images[0].pixel_size_um, visible)


def _settings(record: Path) -> dict[str, Any]:
    """The options of the run whose record this is; empty if they cannot be read."""
    try:
        settings = read_json(record, _REMEDY).get("settings")
    except UserError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _tracking(folder: Path) -> list[LayerData]:
    columns = {
        results.TRACK: int,
        results.PARENT: int,
        results.FRAME: int,
        "centroid-0_px": float,
        "centroid-1_px": float,
    }
    tracks = read_table(folder / results.TRACKS, columns, "track again")
    settings = _settings(folder / results.RECORDS["track"])
    size = read_json(folder / results.SUMMARY, "track again").get("pixel_size_um")
    size = float(size) if isinstance(size, int | float) and size > 0 else None
    layers: list[LayerData] = []
    for key, kind in (("images", "images"), ("input", "cells")):
        if not isinstance(given := settings.get(key), str):
            continue
        try:
            labels = read_label_movie(str(settings.get("input")))
            if kind == "cells":
                layers.append(label_layer("cells", np.asarray(labels.labels), size))
            else:
                movie = read_image_movie(given, labels=labels)
                layers += image_layers("movie", np.asarray(movie.pixels), movie.channels, size)
        except UserError as error:
            warn(f"{folder}: without the {kind} ({error})")
    return [*layers, track_layer("tracks", tracks, size)]


def _run(folder: Path) -> list[LayerData]:
    """Held-out images of a training with their annotation, and the places where the network does not agree."""
    config = from_json(TrainConfig, read_json(folder / results.CONFIG, "train again"))
    if not isinstance(config.data, FolderData | SimulatedData):
        raise UserError(f"{folder}: its images are a public data set, which is not opened here; open its folder")
    layers: list[LayerData] = []
    dataset = config.data.load()
    suspects = pd.DataFrame()
    if (table := folder / results.SUSPECTS_TABLE).is_file():
        suspects = read_table(table, {results.IMAGE: str, "kind": str, "y_px": float, "x_px": float}, "validate again")
    examples = {region.example.name: region.example for region in dataset.validation}
    for i, (name, example) in enumerate(_first(list(examples.items()), folder)):
        size, shown = example.pixel_size_um, i == 0
        layers += image_layers(name, example.image, dataset.channels, size, shown)
        layers.append(label_layer(f"{name} annotated", example.cells, size, visible=shown))
        if results.IMAGE in suspects:
            layers += place_points(f"{name} doubtful", suspects.loc[suspects[results.IMAGE] == name], size, shown)
    return layers


def _training_folder(folder: Path) -> list[LayerData]:
    """Images with their label images, of a folder that `data=folder` reads."""
    channels = channels_in_names(FolderData(root=str(folder)))
    layers: list[LayerData] = []
    images = [
        (image, found)
        for found in find_data_sets(folder, channels, ReadingOptions().reading()).values()
        for image in found.images
    ]
    for i, (files, found) in enumerate(_first(images, folder)):
        image = read_channels(files)
        size, shown = image.pixel_size_um, i == 0
        layers += image_layers(files.name, image.pixels, image.channels, size, shown)
        labels = read_labels(found.labels[files.name], image.pixels.shape[:2])
        layers.append(label_layer(f"{files.name} labels", labels, size, visible=shown))
    return layers
