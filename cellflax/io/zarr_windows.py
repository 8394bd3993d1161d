"""An image in OME-Zarr that is larger than memory: windows of it are read, from a disk or from object storage."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from cellflax.errors import UserError
from cellflax.io.damage import DAMAGED, decoding
from cellflax.io.notices import warn
from cellflax.io.stack import NamesFrom
from cellflax.io.zarr_metadata import ZarrImage, channel_names, check_version, read_images
from cellflax.io.zarr_place import Place, reason
from cellflax.io.zarr_store import ZarrArray, child, read_group

_MOST_METADATA = 64 << 20  # bytes
# Decoding takes the memory of whole chunks, of which a window needs several.
_MOST_CHUNK = 1 << 27  # bytes

Window = tuple[slice, slice]


@dataclass(frozen=True)
class WindowedImage:
    """One plane with channels, of which windows are read.

    Attributes:
        name: its path or URL.
        shape: height and width.
        channels: names of the channels.
        origin: where these names come from.
        dtype: type of the pixels.
        pixel_size_um: edge of a pixel, if known.
        metadata: what tells the image from another one at the same place, as JSON: shape, type, scales, the focal plane
            and, on a disk, the time (ns) of its metadata file.
        chunk: height and width of the chunks that it is stored in.
        read: function from a window and numbers of channels to (h, w, C) pixels.
    """

    name: str
    shape: tuple[int, int]
    channels: tuple[str, ...]
    origin: NamesFrom
    dtype: np.dtype
    pixel_size_um: float | None
    metadata: list[Any]
    chunk: tuple[int, int]
    read: Callable[[Window, Sequence[int]], np.ndarray]


def open_windows(place: Place, z: int | None = None) -> WindowedImage:
    """Open the one image of an OME-Zarr 0.4 or 0.5, at full resolution.

    Args:
        place: its folder; of a series or plate, the folder of one of its images.
        z: number of the focal plane of an image that has several.

    Raises:
        UserError: if there is no such image, it is a movie, or its chunks are too large to be read by themselves.
    """
    group = _group(place)
    if group is None or "multiscales" not in group:
        raise UserError(
            f"input={place.name}: no image in OME-Zarr 0.4 or 0.5; give the folder of one image, as in "
            "slide.zarr or plate.zarr/A/1/0"
        )
    check_version(place.name, group["version"])
    image = read_images(place.name, group)[0]
    array = _open_array(place, image)
    if len(array.shape) != len(image.axes):
        raise UserError(
            f"{place.name}: damaged or incomplete (pixels have {len(array.shape)} axes, and {len(image.axes)} by "
            "their metadata); copy or export it again"
        )
    axes = {axis.letter or axis.name: (i, array.shape[i]) for i, axis in enumerate(image.axes)}
    focal = _focal_plane(place, axes, z)
    for name, (_, length) in axes.items():
        if name not in ("C", "Y", "X", "Z") and length > 1:
            raise UserError(f"input={place.name}: has {length} planes along {name}; streamed=true takes single images")
    fixed = {i: focal if name == "Z" else 0 for name, (i, _) in axes.items() if name not in ("C", "Y", "X")}
    (y, height), (x, width) = axes["Y"], axes["X"]
    c, count = axes.get("C", (None, 1))
    size = math.prod(n for i, n in enumerate(array.chunk) if i not in fixed) * array.dtype.itemsize
    if size > _MOST_CHUNK:
        raise UserError(
            f"input={place.name}: chunks of {array.chunk} take {size >> 20} MB each; export it with chunks of at most "
            f"{_MOST_CHUNK >> 20} MB, such as 1,024 x 1,024"
        )
    if array.missing(fixed):
        warn(
            f"{place.name}: lacks some chunks of pixels, which by the format are its fill value; if their files were "
            "lost in copying, copy it again"
        )

    def read(window: Window, channels: Sequence[int]) -> np.ndarray:
        planes = []
        for channel in channels:
            at = dict(fixed) if c is None else {**fixed, c: channel}
            plane = array.window(at, {y: window[0], x: window[1]})
            planes.append(plane.T if y > x else plane)
        return np.stack(planes, axis=-1)

    names, origin = channel_names(group, count)
    return WindowedImage(
        place.name,
        (height, width),
        names,
        origin,
        array.dtype,
        image.pixel_size_um(place.name),
        [list(array.shape), str(array.dtype), image.array, [axis.scale for axis in image.axes], focal, _time(place)],
        (array.chunk[y], array.chunk[x]),
        read,
    )


class _Array:
    """An array of an OME-Zarr; see `ZarrArray`, which it is where the files are local."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype

    def window(self, at: dict[int, int], part: dict[int, slice]) -> np.ndarray:
        raise NotImplementedError

    def missing(self, at: dict[int, int]) -> bool:
        """Whether chunks are missing."""
        raise NotImplementedError


class _LocalArray(_Array):
    def __init__(self, path: Path, folder: Path):
        self._path, self._array = path, ZarrArray(path, folder)
        self.shape, self.dtype, self.chunk = self._array.shape, self._array.dtype, self._array.read_chunk

    def window(self, at: dict[int, int], part: dict[int, slice]) -> np.ndarray:
        with decoding(self._path, DAMAGED):
            return self._array.window(at, part)

    def missing(self, at: dict[int, int]) -> bool:
        return self._array.check(at) > 0


class _RemoteArray(_Array):
    def __init__(self, place: Place):
        driver = "zarr3" if place.read("zarr.json") is not None else "zarr"
        context = tensorstore.Context({"data_copy_concurrency": {"limit": 2}})
        spec = {"driver": driver, "kvstore": place.spec(), "recheck_cached_data": "open"}
        try:
            self._store = tensorstore.open(spec, open=True, read=True, context=context).result()
        except (ValueError, OSError) as error:
            raise UserError(f"{place.name}: cannot be read ({reason(error)})") from error
        self._name = place.name
        self.shape, self.dtype = tuple(self._store.shape), self._store.dtype.numpy_dtype
        self.chunk = tuple(int(n or 1) for n in self._store.chunk_layout.read_chunk.shape or ())

    def window(self, at: dict[int, int], part: dict[int, slice]) -> np.ndarray:
        try:
            return np.asarray(
                self._store[tuple(at.get(i, part.get(i)) for i in range(len(self.shape)))].read().result()
            )
        except (ValueError, OSError) as error:
            raise UserError(f"{self._name}: cannot be read ({reason(error)})") from error

    def missing(self, at: dict[int, int]) -> bool:
        part = self._store[tuple(at.get(i, slice(None)) for i in range(len(self.shape)))]
        return not part.storage_statistics(query_fully_stored=True).result().fully_stored


def _time(place: Place) -> int | None:
    """Time of the metadata of an image on a disk."""
    if place.local is None:
        return None
    files = (place.local / name for name in ("zarr.json", ".zattrs"))
    return next((file.stat().st_mtime_ns for file in files if file.exists()), None)


def _open_array(place: Place, image: ZarrImage) -> _Array:
    if place.local is not None:
        return _LocalArray(place.local, child(place.local, image.array))
    child(Path("/"), image.array)  # refuses a name that leads elsewhere
    return _RemoteArray(place.child(image.array))


def _group(place: Place) -> dict[str, Any] | None:
    """The OME metadata of a group, with their "version"; see `zarr_store.read_group`."""
    if place.local is not None:
        return read_group(place.local)
    for key in ("zarr.json", ".zattrs"):
        content = place.read(key)
        if content is None:
            continue
        try:
            if len(content) > _MOST_METADATA:
                raise ValueError(f"more than {_MOST_METADATA} bytes")
            metadata = json.loads(content)
            if key == ".zattrs":
                return {**metadata, "version": "0.4"}
            ome = metadata.get("attributes", {}).get("ome")
            return {"version": "0.5", **ome} if isinstance(ome, dict) else {}
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{place.name}: damaged or incomplete ({error!s:.100}); copy or export it again") from error
    return None


def _focal_plane(place: Place, axes: dict[str, tuple[int, int]], z: int | None) -> int:
    planes = axes.get("Z", (0, 1))[1]
    if planes > 1 and z is None:
        raise UserError(f"input={place.name}: has {planes} focal planes; streamed=true takes one, add z=0 or another")
    if z is not None and z >= planes:
        raise UserError(f"z={z}: {place.name} has {planes} focal planes, numbered from 0")
    return z or 0
