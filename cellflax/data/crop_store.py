"""Training crops that are written to disk once and read back (Sadanandan 2017, P2: an HDF5 file of 6000).

A store holds the first crops of one seed's stream in chunked, compressed Zarr 3 arrays (`image`, `target`, `weight`,
and `maps` if the target has any; a crop per index of the first axis). `store.json` records what they were drawn from
and how many are written.
A chunk is complete or absent and carries a checksum, so writing can stop anywhere and resume later, and damage is
noticed.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore as ts

from cellflax.atomic import remove_leftovers
from cellflax.data.sampler import Batch, CropsConfig, Sampler
from cellflax.errors import UserError
from cellflax.jsonfile import differences, read_json, write_json
from cellflax.locks import Lock, LockedError
from cellflax.progress import say
from cellflax.wholefile import require_plain_files

_FORMAT = 1
_DESCRIPTION = "store.json"
_LOCK = ".store.lock"
_WAIT_S = 1.0
_TENSORSTORE_LOCK = ".__lock"  # ends the names of TensorStore's temporary files
_CHUNK_BYTES = 2**22
_CACHE_BYTES = 2**28
# Settings of the sampler that do not change the crops of a stream (the balance is in the data's weights).
_NO_PART = ("batch", "balance", "store")

Draw = Callable[[np.ndarray], Batch]


class CropStore:
    """The crops of one seed on disk; opening the store writes those that are missing.

    Args:
        path: directory of this seed's crops.
        sampler: the sampler that draws the crops.
        seed: seed of their stream.
        draw: indices (n,) -> crops of the stream; `sampler.crops` except in tests.

    Raises:
        UserError: if the directory holds something else, crops of another origin, or a damaged store.
    """

    def __init__(self, path: Path, sampler: Sampler, seed: int, draw: Draw | None = None):
        self.path = path
        self.crops = sampler.cycle or 0
        draw = draw or (lambda indices: sampler.crops(sampler.data, seed, indices))
        description = _describe(sampler, seed)
        written = self._written(description)
        layout = _layout(sampler)
        largest = max(np.dtype(dtype).itemsize * math.prod(shape) for shape, dtype in layout.values())
        self.chunk = min(max(_CHUNK_BYTES // largest, 1), self.crops)
        # One cache for all arrays, so that a chunk is decoded once for the batches that it serves.
        context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})

        def open_arrays(new: bool) -> dict[str, ts.TensorStore]:
            return {
                name: self._open(path / name, _array_spec([self.crops, *shape], self.chunk, dtype), context, new)
                for name, (shape, dtype) in layout.items()
            }

        if not written:
            self._make()
        if written < self.crops:
            with self._turn():
                written = self._written(description)  # another training may have written them meanwhile
                if not written:
                    self._note(description, 0)  # from now on, the directory is a store
                self._arrays = open_arrays(new=not written)
                self._write(written, draw, description)
        else:
            self._arrays = open_arrays(new=False)

    def read(self, indices: np.ndarray) -> "PendingCrops":
        """Start reading crops; TensorStore's own threads do it."""
        return PendingCrops(self.path, {name: array[indices].read() for name, array in self._arrays.items()})

    def _make(self) -> None:
        """Make the directory of a new store, and refuse one that holds something else."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / _DESCRIPTION).exists() and any(
                not path.name.startswith(".") for path in self.path.iterdir()
            ):
                raise UserError(f"{self.path} holds something other than a crop store; give another sampler.store")
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> UserError:
        reason = error.strerror or error
        return UserError(f"{self.path}: cannot be written ({reason}); give another sampler.store")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only process that writes, and remove what one that was killed left half written."""
        lock, said = None, False
        while lock is None:
            try:
                lock = Lock.take(self.path / _LOCK, "train")
            except LockedError as error:
                if not said:
                    said = True
                    say(f"{self.path}: {error} is writing these crops; waiting for it")
                time.sleep(_WAIT_S)
            except OSError as error:
                raise self._unwritable(error) from error
        with lock:
            remove_leftovers(self.path)
            for left in self.path.rglob(f"*{_TENSORSTORE_LOCK}"):
                left.unlink(missing_ok=True)
            yield

    def _written(self, description: dict[str, Any]) -> int:
        """How many crops are stored; 0 of a new store. Refuses that of another training."""
        file = self.path / _DESCRIPTION
        if not file.exists():
            return 0
        if any(place.is_symlink() for place in self.path.rglob("*")):  # what they point to would be written or removed
            raise UserError(f"{self.path} holds links, which no crop store does; give another sampler.store")
        try:
            require_plain_files(self.path, "remove the store")
            found = read_json(file, "remove the store")
        except UserError as error:
            raise _damaged(self.path, _DESCRIPTION) from error
        written = found.pop("written", None)
        if type(written) is not int or not 0 <= written <= self.crops:
            raise _damaged(self.path, _DESCRIPTION)
        for key, (old, new) in differences(_completed(found), description).items():
            what = "other images, annotations or normalisation" if key == "data" else f"{key}={old}, not {new}"
            raise UserError(
                f"{self.path} holds the crops of a training with {what}; remove it, or give another sampler.store"
            )
        return written

    def _open(self, path: Path, spec: dict[str, Any], context: ts.Context, new: bool) -> ts.TensorStore:
        spec["kvstore"] = {"driver": "file", "path": f"{path.resolve()}/"}
        try:
            return ts.open(spec, context=context, open=not new, create=new, delete_existing=new).result()
        except ValueError as error:
            raise self._unwritten(error) if new else _damaged(self.path, path.name) from error

    def _note(self, description: dict[str, Any], written: int) -> None:
        try:
            write_json(self.path / _DESCRIPTION, {**description, "written": written})
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> UserError:
        return UserError(f"{self.path}: crops cannot be written; is the disk full? ({_line(error)})")

    def _write(self, first: int, draw: Draw, description: dict[str, Any]) -> None:
        """Write the crops from `first` on.

        Raises:
            UserError: if the disk is full, say.
        """
        for start in range(first, self.crops, self.chunk):
            stop = min(start + self.chunk, self.crops)
            drawn = draw(np.arange(start, start + self.chunk))._asdict()  # always the same number: one compilation
            done = [
                array[start:stop].write(np.asarray(drawn[name])[: stop - start].astype(array.dtype.numpy_dtype))
                for name, array in self._arrays.items()
            ]
            try:
                for future in done:
                    future.result()
            except (ValueError, OSError) as error:
                raise self._unwritten(error) from error
            self._note(description, stop)


class PendingCrops:
    """Crops that are being read."""

    def __init__(self, path: Path, futures: dict[str, ts.Future]):
        self._path, self._futures = path, futures

    def result(self) -> Batch:
        """Wait for the crops: NumPy arrays of the types that the sampler draws.

        Raises:
            UserError: if a chunk is missing or differs from its checksum.
        """
        try:
            arrays = {name: future.result() for name, future in self._futures.items()}
        except ValueError as error:
            raise _damaged(self._path, "a chunk") from error
        maps = arrays.get("maps")
        return Batch(
            image=arrays["image"],
            target=arrays["target"].astype(np.int32),
            weight=arrays["weight"],
            maps=None if maps is None else maps.astype(np.float32),
        )


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition(" [")[0]  # before TensorStore's description of the array


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path} is damaged: {what} cannot be read; remove the directory, and it is written again")


def _completed(found: dict[str, Any]) -> dict[str, Any]:
    """A description with the settings that an older version did not have: they were as their defaults are."""
    sampler = found.get("sampler")
    if not isinstance(sampler, dict) or not isinstance(sampler.get("augment"), dict):
        return found
    defaults = {k: v for k, v in dataclasses.asdict(CropsConfig()).items() if k not in _NO_PART}
    return {**found, "sampler": {**defaults, **sampler, "augment": {**defaults["augment"], **sampler["augment"]}}}


def _describe(sampler: Sampler, seed: int) -> dict[str, Any]:
    """Everything that determines the crops."""
    settings = {k: v for k, v in dataclasses.asdict(sampler.config).items() if k not in _NO_PART}
    digest = hashlib.sha256()
    for name, array in sampler.data._asdict().items():
        for leaf in jax.tree.leaves(array):
            values = np.ascontiguousarray(leaf)
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(values.data)
    return {
        "format": _FORMAT,
        "seed": seed,
        "sampler": settings,
        "context_px": sampler.border,
        "data": digest.hexdigest(),
    }


def _layout(sampler: Sampler) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and stored type of one crop's arrays, named as in `Batch`."""
    edge, channels = sampler.size + 2 * sampler.border, sampler.data.images.shape[-1]
    labelled = (sampler.size, sampler.size)
    layout: dict[str, tuple[tuple[int, ...], str]] = {
        "image": ((edge, edge, channels), "float32"),
        "target": (labelled, "int8"),
        "weight": (labelled, "float32"),
    }
    if sampler.data.maps is not None:  # the type in which the sampler keeps them, so that nothing is rounded
        layout["maps"] = ((*labelled, sampler.data.maps.shape[-1]), "float16")
    return layout


def _array_spec(shape: list[int], chunk: int, dtype: str) -> dict[str, Any]:
    return {
        "driver": "zarr3",
        # A missing chunk is damage, not zeros.
        "fill_missing_data_reads": False,
        "store_data_equal_to_fill_value": True,
        "recheck_cached_data": False,
        "metadata": {
            "shape": shape,
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk, *shape[1:]]}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle"}},
                {"name": "crc32c"},
            ],
        },
    }
