"""OME-Zarr 0.4 and 0.5: folders of images, plates, labels and series, as bioformats2raw and ome-zarr write them.

https://ngff.openmicroscopy.org/0.5
"""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.io.movie_time import regular_times_s
from cellflax.io.reader import Reader
from cellflax.io.scene import Scene
from cellflax.io.zarr_metadata import ZarrImage, channel_names, check_version, read_images, validated
from cellflax.io.zarr_store import MOST_EMPTY, ZarrArray, child, read_group

_SERIES = "bioformats2raw.layout"
_MOST_FRAMES = 1 << 20
_KINDS = ("multiscales", "plate", "well", "labels", _SERIES)


def is_ome_zarr(folder: Path) -> bool:
    """Whether a folder is called `.zarr`, or has the metadata of an OME-Zarr."""
    if folder.name.lower().endswith(".zarr"):
        return True
    try:
        group = read_group(folder)
    except (UserError, OSError):  # damaged, or not to be looked into
        return False
    return group is not None and any(kind in group for kind in _KINDS)


@contextmanager
def open_ome_zarr(path: Path) -> Iterator[Sequence[Scene]]:
    """Open the images of an OME-Zarr: one, those of a series, the fields of a plate or well, or a group of labels.

    Of an image's copies of less resolution none is read. The labels within an image are images of their own:
    `x.zarr/labels/NAME`.

    Raises:
        UserError: if it holds no image that is supported.
    """
    scenes = [
        _scene(path, name or image.name, folder, group, image)
        for name, folder, group in _groups(path, path)
        for image in read_images(path, group)
    ]
    if not scenes:
        raise UserError(f"{path}: its metadata name no image; copy or export it again")
    yield scenes


OME_ZARR = Reader("OME-Zarr", (), open_ome_zarr, is_folder=is_ome_zarr, several=True)


def _groups(path: Path, folder: Path, name: str = "") -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """The groups that hold images, at and below a folder, with the names of their scenes."""
    group = read_group(folder)
    if group is None or not any(kind in group for kind in _KINDS):
        where = "" if folder == path else f"{folder.relative_to(path)}: "
        raise UserError(
            f"{path}: {where}{'no Zarr group' if group is None else 'no OME metadata'}; give the folder of an image in "
            "OME-Zarr 0.4 or 0.5, or copy it again"
        )
    check_version(path, group["version"])
    version = group["version"]
    if "plate" in group:
        for well in validated(path, "PlateDef", group["plate"], version).wells:
            yield from _fields(path, child(folder, well.path), well.path.replace("/", "") + "_")
    elif "well" in group:
        yield from _fields(path, folder, "")
    elif "multiscales" in group:
        yield name, folder, group
    elif _SERIES in group:
        for series in _series(folder):
            yield from _groups(path, child(folder, series), str(series))
    else:
        for label in group["labels"]:
            yield from _groups(path, child(folder, label), label)


def _fields(path: Path, folder: Path, prefix: str) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    group = read_group(folder)
    if group is None or "well" not in group:
        raise UserError(f"{path}: damaged or incomplete (no well {folder.name}); copy or export it again")
    for field in validated(path, "WellDef", group["well"], group["version"]).images:
        yield from _groups(path, child(folder, field.path), f"{prefix}{field.path}")


def _series(folder: Path) -> list[str]:
    """Names of the images that bioformats2raw wrote: listed, or else numbered."""
    listed = (read_group(folder / "OME") or {}).get("series")
    if listed is not None:
        return list(listed)
    return list(itertools.takewhile(lambda name: (folder / name).is_dir(), map(str, itertools.count())))


def _scene(path: Path, name: str, folder: Path, group: Mapping[str, Any], image: ZarrImage) -> Scene:
    array = ZarrArray(path, child(folder, image.array))
    if len(array.shape) != len(image.axes):
        raise UserError(
            f"{path}: damaged or incomplete (pixels have {len(array.shape)} axes, and {len(image.axes)} by their "
            "metadata); copy or export it again"
        )
    places = {axis.letter: i for i, axis in enumerate(image.axes)}
    for i, axis in enumerate(image.axes):
        if not axis.letter and array.shape[i] != 1:
            raise UserError(
                f"{path}: {array.shape[i]} planes along {axis.name} are not supported; save channels as the axis c, "
                "focal planes as z and time as t"
            )
    sizes = {letter: array.shape[places[letter]] if letter in places else 1 for letter in "TCZYX"}
    if sizes["T"] > _MOST_FRAMES:
        raise UserError(f"{path}: damaged or incomplete (declares {sizes['T']} frames); copy or export it again")
    if math.prod(array.shape) // max(sizes["T"], 1) * array.dtype.itemsize > MOST_EMPTY:
        array.check({places["T"]: 0} if "T" in places else {})
    transposed = places["Y"] > places["X"]

    def read(t: int, c: int, z: int) -> np.ndarray:
        at = {"T": t, "C": c, "Z": z}
        fixed = {i: at.get(axis.letter, 0) for i, axis in enumerate(image.axes) if axis.letter not in ("Y", "X")}
        plane = array.plane(fixed)
        return plane.T if transposed else plane

    names, origin = channel_names(group, sizes["C"])
    size = image.pixel_size_um(path)
    return Scene(
        path,
        sizes,
        array.dtype,
        read,
        names,
        origin,
        name,
        size,
        "OME-Zarr",
        image.z_um(path, sizes["Z"]),
        functools.partial(_times_s, sizes["T"], image),
    )


def _times_s(n_frames: int, image: ZarrImage) -> np.ndarray | None:
    return regular_times_s(n_frames, image.interval_s()) if n_frames > 1 else None
