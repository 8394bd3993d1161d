"""Zarr folders of versions 2 and 3: attributes of groups, and arrays of which single planes are read by TensorStore.

Nothing in a folder leads elsewhere: names of groups and arrays stay below it, and TensorStore gets the place of an
array from here, never from the file.
"""

import itertools
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.notices import warn
from cellflax.wholefile import read_content

# The most bytes that one stored byte can stand for: zstd packs 128 KiB of one value into 4 bytes.
_RATIO = 1 << 16
_MOST_METADATA = 64 << 20  # bytes of a JSON file
_MOST_CHUNKS = 1 << 20  # of one frame
_MOST_CHUNK = 1 << 29  # bytes; decoding takes the memory of whole chunks, two at a time
# What is kept of decoded chunks that hold more than the plane that is read, and so may be wanted next.
_MOST_KEPT = 128 << 20
# Bytes of a frame that need not be stored: missing chunks are one value.
MOST_EMPTY = 1 << 30


def read_group(folder: Path) -> dict[str, Any] | None:
    """The OME metadata of a Zarr group, with their "version"; None for a folder that is no group.

    Raises:
        UserError: if they cannot be read.
    """
    if (folder / "zarr.json").is_file():
        metadata = _read_json(folder / "zarr.json")
        if metadata.get("node_type") != "group":
            return None
        attributes = metadata.get("attributes")
        ome = attributes.get("ome") if isinstance(attributes, dict) else None
        return {"version": "0.5", **ome} if isinstance(ome, dict) else {}
    if (folder / ".zarray").is_file():
        return None
    if (folder / ".zattrs").is_file():
        return {**_read_json(folder / ".zattrs"), "version": "0.4"}
    return {} if (folder / ".zgroup").is_file() else None


def child(folder: Path, name: object) -> Path:
    """A group or array below a folder, by the name that the folder's metadata give it.

    Raises:
        UserError: if the name leads elsewhere.
    """
    if isinstance(name, str) and "\\" not in name and "\0" not in name:
        parts = name.split("/")
        if not any(part in ("", ".", "..") for part in parts):
            return folder.joinpath(*parts)
    raise UserError(f"{folder}: its metadata name {name!r:.60}, which is no place within it; export it again")


class ZarrArray:
    """An array of a Zarr folder, which is opened when its first plane is read.

    Attributes:
        shape: its shape.
        dtype: type of its values.

    Args:
        path: the image, for errors.
        folder: the array.

    Raises:
        UserError: if it is missing, or of a kind that is not supported.
    """

    def __init__(self, path: Path, folder: Path):
        self._path, self._folder = path, folder
        if (folder / "zarr.json").is_file():
            self._driver, metadata = "zarr3", _read_json(folder / "zarr.json")
            kind, grid = metadata["data_type"], metadata["chunk_grid"]
            if grid["name"] != "regular":
                raise UserError(f"{path}: chunks of kind {grid['name']!r:.40} are not supported; export it again")
            chunk, keys = grid["configuration"]["chunk_shape"], metadata["chunk_key_encoding"]
            self._prefix = "c" if keys["name"] == "default" else ""
            self._separator = keys.get("configuration", {}).get("separator", "/" if self._prefix else ".")
        elif (folder / ".zarray").is_file():
            self._driver, metadata = "zarr", _read_json(folder / ".zarray")
            kind, chunk = metadata["dtype"], metadata["chunks"]
            self._prefix, self._separator = "", metadata.get("dimension_separator") or "."
        else:
            raise UserError(f"{path}: damaged or incomplete (no array {folder.name}); copy or export it again")
        self.shape = tuple(int(length) for length in metadata["shape"])
        self._chunk = tuple(int(length) for length in chunk)
        if len(self._chunk) != len(self.shape) or min(self._chunk, default=0) < 1 or self._separator not in ("/", "."):
            raise UserError(f"{path}: damaged or incomplete (chunks {chunk} of {self.shape}); copy or export it again")
        self._store: tensorstore.TensorStore | None = None
        try:
            self.dtype = np.dtype(kind)
        except TypeError as error:
            raise UserError(
                f"{path}: pixels of type {kind!r:.60} are not supported; save integers or floats"
            ) from error

    @property
    def read_chunk(self) -> tuple[int, ...]:
        """Shape of what is decoded at once: of a shard, which is one file, a part.

        Raises:
            UserError: if it is too large.
        """
        return tuple(int(n or 1) for n in self._open({}).chunk_layout.read_chunk.shape or ())

    def plane(self, at: Mapping[int, int]) -> np.ndarray:
        """The values at one place along some axes, and all along the others.

        Args:
            at: the number of the place, by the number of the axis.

        Raises:
            UserError: if it declares more than it holds, or takes far more memory than the plane.
        """
        index = tuple(at.get(axis, slice(None)) for axis in range(len(self.shape)))
        missing = self.check(at)
        store = self._open(at)
        if missing:
            fill = 0 if store.fill_value is None else store.fill_value
            warn(
                f"{self._path}: lacks some chunks of pixels, which by the format are {fill}; if their files were lost "
                "in copying, copy it again"
            )
        return np.asarray(_result(store[index].read()))

    def window(self, at: Mapping[int, int], part: Mapping[int, slice]) -> np.ndarray:
        """The values of a part of a plane. Unlike `plane`, it does not look at the chunks first: `check` does.

        Args:
            at: as for `plane`.
            part: along each other axis, the part.

        Raises:
            UserError: if its chunks are too large.
        """
        index = tuple(at[axis] if axis in at else part[axis] for axis in range(len(self.shape)))
        return np.asarray(_result(self._open(at)[index].read()))

    def _open(self, at: Mapping[int, int]) -> tensorstore.TensorStore:
        """The open array, with a cache of a plane's chunks where they hold other planes too.

        Raises:
            UserError: if its chunks are too large.
        """
        if self._store is None:
            store = self._opened(0)
            # Of a shard, which is one file, a part.
            chunk = tuple(int(n or 0) for n in store.chunk_layout.read_chunk.shape or ())
            size = math.prod(chunk) * self.dtype.itemsize
            if tuple(store.shape) != self.shape or len(chunk) != len(self.shape) or min(chunk) < 1:
                raise UserError(f"{self._path}: damaged or incomplete (shape {store.shape}); copy or export it again")
            if size > _MOST_CHUNK:
                raise UserError(
                    f"{self._path}: chunks of shape {chunk} are too large to read a plane by itself; export it with "
                    "smaller chunks, such as one plane each"
                )
            needed = size * math.prod(-(-n // chunk[axis]) for axis, n in enumerate(self.shape) if axis not in at)
            several = any(chunk[axis] > 1 for axis in at)
            self._store = self._opened(2 * needed) if several and 2 * needed <= _MOST_KEPT else store
        return self._store

    def _opened(self, kept: int) -> tensorstore.TensorStore:
        context = {"cache_pool": {"total_bytes_limit": kept}, "data_copy_concurrency": {"limit": 2}}
        store = {"driver": "file", "path": f"{self._folder.absolute()}/"}
        spec = {"driver": self._driver, "kvstore": store, "recheck_cached_data": "open"}
        return _result(tensorstore.open(spec, open=True, read=True, context=tensorstore.Context(context)))

    def check(self, at: Mapping[int, int]) -> int:
        """Check what is stored of a part of the array before memory is claimed for it.

        Args:
            at: as for `plane`; other axes may be left free too.

        Returns:
            The number of chunks that are missing.

        Raises:
            UserError: if it declares more than it can hold, or a chunk is no file.
        """
        ranges = []
        for axis, (length, chunk) in enumerate(zip(self.shape, self._chunk, strict=True)):
            ranges.append((at[axis] // chunk,) if axis in at else range(-(-length // chunk)))
        count = math.prod(map(len, ranges))
        if count > _MOST_CHUNKS:
            raise UserError(f"{self._path}: {count} chunks of a frame are too many; export it with larger chunks")
        stored = missing = 0
        start = str(self._folder) + os.sep + "".join(f"{part}{self._separator}" for part in self._prefix)
        for place in itertools.product(*ranges):
            name = start + self._separator.join(map(str, place))
            try:
                status = os.stat(name)
            except (FileNotFoundError, NotADirectoryError):
                missing += 1
                continue
            if not stat.S_ISREG(status.st_mode):  # opening it might wait for ever
                raise UserError(f"{self._path}: {name} is no regular file; copy or export it again")
            stored += status.st_size
        lengths = (length for axis, length in enumerate(self.shape) if axis not in at)
        declared = math.prod(lengths) * self.dtype.itemsize
        require_plausible_size(self._path, declared, max(stored * _RATIO, MOST_EMPTY))
        return missing


def _result[T](future: tensorstore.Future[T]) -> T:
    """What TensorStore reads; its errors without what they repeat of the request."""
    try:
        return future.result()
    except ValueError as error:
        raise ValueError(re.split(r" \[(?:tensorstore_spec|source locations)=", str(error))[0][:200]) from error


def _read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: if the file holds something else.
    """
    try:
        if file.stat().st_size > _MOST_METADATA:
            raise UserError(f"{file}: metadata of more than {_MOST_METADATA} bytes; export the image again")
        metadata = json.loads(read_content(file, "copy or export it again", _MOST_METADATA))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: damaged or incomplete ({error!s:.100}); copy or export it again") from error
    if not isinstance(metadata, dict):
        raise UserError(f"{file}: damaged or incomplete (no JSON object); copy or export it again")
    return metadata
