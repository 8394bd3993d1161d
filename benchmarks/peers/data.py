"""The images as every peer gets them: plain TIFFs, the same pixels, the same held-out images."""

import hashlib
from pathlib import Path

import numpy as np

from benchmarks.peers.options import Options
from cellflax.atomic import new_directory
from cellflax.data.folder import FolderData
from cellflax.data.folder_files import find_data_sets
from cellflax.errors import UserError
from cellflax.io.images import read_channels, read_labels, write_image, write_labels
from cellflax.jsonfile import read_json, write_json
from cellflax.labels import cells_of
from cellflax.progress import say

_SPLIT = "split.json"


def copy_data(options: Options) -> Path:
    """Copy the images and labels, choose the held-out images as cellflax does, and mark the classes of pixels.

    The folder has `train/{images,labels}`, `test/{images,labels}`, `classes` (0 not annotated, 1 edge, 2 interior,
    3 background; of the training images) and `split.json` (names of the images to train on, to validate and to test).
    One that is there is kept.

    Raises:
        UserError: if the data cannot be used: not one channel, annotated in parts, or an image in both parts.
    """
    folder = options.output / "data"
    if (folder / _SPLIT).is_file():
        return folder
    with new_directory(folder) as target:
        hashes = _copy(options.train, target / "train")
        tested = _copy(options.test, target / "test")
        for digest, name in tested.items():
            if digest in hashes:
                raise UserError(
                    f"{options.test}: the image {name} is the same as {hashes[digest]} in {options.train}; "
                    "a test image must not be trained on, remove one of them"
                )
        dataset = FolderData(root=str(target / "train"), split_seed=options.seed).load()
        held_out = [region.example for region in dataset.validation]
        (target / "classes").mkdir()
        for example in (*dataset.train, *held_out):
            write_labels(target / "classes" / f"{example.name}.tif", example.classes.astype(np.int32) + 1)
        split = {
            "train": [example.name for example in dataset.train],
            "validation": [example.name for example in held_out],
            "test": list(tested.values()),
        }
        write_json(target / _SPLIT, split)
    say(f"data: {' '.join(f'{part} {len(names)}' for part, names in split.items())}")
    return folder


def split_of(data: Path) -> dict[str, list[str]]:
    """Names of the images in each part."""
    return read_json(data / _SPLIT, "remove the folder and run the command again")


def _copy(source: Path, target: Path) -> dict[str, str]:
    """Copy a data set; the names of its images by a digest of their pixels."""
    data_sets = find_data_sets(source, [], FolderData().reading())
    if len(data_sets) != 1:
        raise UserError(f"{source}: holds {len(data_sets)} data sets ({', '.join(data_sets)}); give the folder of one")
    (found,) = data_sets.values()
    if found.masks:
        raise UserError(
            f"{source}: is annotated in parts, which the peers cannot use; remove the masks of ignored pixels"
        )
    names: dict[str, str] = {}
    for files in found.images:
        image = read_channels(files)
        if image.pixels.shape[-1] != 1:
            raise UserError(
                f"{image.path}: has {image.pixels.shape[-1]} channels, and the peers are compared on one; "
                "save one channel"
            )
        labels = read_labels(found.labels[files.name], image.pixels.shape[:2])
        plane = np.ascontiguousarray(image.pixels[..., 0])
        write_image(target / "images" / f"{files.name}.tif", plane, image.pixel_size_um)
        write_labels(target / "labels" / f"{files.name}.tif", cells_of(labels), image.pixel_size_um)
        names[hashlib.sha256(f"{plane.shape}".encode() + plane.tobytes()).hexdigest()] = files.name
    if len(names) < len(found.images):
        raise UserError(f"{source}: {len(found.images) - len(names)} images are there twice; keep one of each")
    return names
