"""Read files of Keras 1 as named layers with their arrays; nothing in a file can run code.

A file of weights alone has a group per layer. A file of a whole model has those groups in `model_weights`, and
the layers' settings as JSON in `model_config` (`save_model` in Keras 1.0.7's models.py).
"""

import math
import os
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cellflax.errors import UserError
from cellflax.jsonfile import parse_json

_MAX_BYTES = 2**30  # the largest published network has 30 MB
_COMPRESSION = 20  # trained weights are compressed much less
_MAX_AXES = 4
_MAX_LAYERS = 1000
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_CHECKSUM_BYTES = 4
_MOST_SECONDS = 8  # the largest published network takes 0.5


@dataclass(frozen=True)
class Layer:
    """A layer of the file.

    Attributes:
        name: the layer's name, such as "convolution2d_1".
        kind: Keras's class in lower case, such as "convolution2d".
        settings: the layer's settings in a whole model; empty for weights alone.
        arrays: the layer's arrays by their names in Keras: W, b, gamma, ...
    """

    name: str
    kind: str
    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def array(self, key: str, *shape: int | None) -> np.ndarray:
        """One array as float64. It must have the expected shape, in which None stands for any size."""
        if key not in self.arrays:
            raise UserError(f"layer {self.name} has no {self.name}_{key}; copy the file again")
        value = self.arrays[key]
        if value.ndim != len(shape) or any(n not in (None, m) for m, n in zip(value.shape, shape, strict=True)):
            found, expected = (" x ".join("any" if n is None else str(n) for n in s) for s in (value.shape, shape))
            raise UserError(f"layer {self.name}: {self.name}_{key} is {found or 'a scalar'}, expected {expected}")
        if value.dtype.kind != "f" or value.size == 0 or not np.isfinite(value).all():
            raise UserError(f"layer {self.name}: {self.name}_{key} does not hold finite numbers; copy the file again")
        return value.astype(np.float64)

    def number(self, key: str, default: float) -> float:
        """One setting, which must be a number."""
        value = self.settings.get(key, default)
        if not isinstance(value, int | float):
            raise UserError(f"layer {self.name}: {key} should be a number, got {value!r}")
        return value


def read_layers(path: Path) -> tuple[list[Layer], str | None]:
    """The layers of a file, in order.

    Returns:
        the layers, and the release of Keras that wrote a whole model ("" if it does not say; None for weights alone).

    Raises:
        UserError: if the file is damaged or not from Keras 1; the caller adds its name.
    """
    if not path.is_file():
        raise UserError("there is no such file")
    _require_end(path)
    return read_layers_here(path)


def _require_end(path: Path) -> None:
    """Read a file in a process of its own first: in some damaged files the HDF5 library goes round in a circle.

    Nothing in this process can interrupt the library, which holds Python's lock. With -P, that process imports nothing
    from the current folder, which may be where the file was downloaded to.

    Raises:
        UserError: if reading has no end.
    """
    code = f"import sys, pathlib, {__name__} as file; file.read_layers_here(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        subprocess.run(
            [sys.executable, "-P", "-c", code, str(path.resolve())],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_MOST_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"cannot be read as HDF5 (reading it has no end after {_MOST_SECONDS} s); copy the file again"
        ) from error


def read_layers_here(path: Path) -> tuple[list[Layer], str | None]:
    """As `read_layers`, of a file that is known to be read to its end."""
    try:
        with h5py.File(path, "r") as file:
            size = path.stat().st_size
            whole = "model_weights" in file
            root = _member(file, "model_weights") if whole else file
            if not isinstance(root, h5py.Group) or "layer_names" not in root.attrs:
                raise UserError("this HDF5 file is not one of Keras 1: it has no layer_names")
            names = [_text(name) for name in np.ravel(_attribute(root, "layer_names", size))]
            if len(names) > _MAX_LAYERS:
                raise UserError(
                    f"it lists {len(names)} layers, and at most {_MAX_LAYERS} are read; copy the file again"
                )
            arrays = _all_arrays(root, names, size)
            release, model_config = (
                _text(_attribute(file, key, size)) if whole else None for key in ("keras_version", "model_config")
            )
    except UserError:
        raise
    except Exception as error:  # h5py raises anything for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"cannot be read as HDF5 ({reason}); copy the file again") from error
    # In files of weights alone, a layer's name gives its class.
    described = _described(model_config) if model_config else {name: (name.rpartition("_")[0], {}) for name in names}
    if list(described) != names:
        raise UserError("layer_names differs from model_config, or names a layer twice; copy the file again")
    layers = [Layer(name, *described[name], values) for name, values in zip(names, arrays, strict=True)]
    return layers, release


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _attribute(node: h5py.Group, key: str, file_bytes: int) -> Any:
    """Value of an attribute, "" if there is none; its declared size is checked before it is read."""
    if key not in node.attrs:
        return ""
    if node.attrs.get_id(key).get_storage_size() > file_bytes:
        raise UserError(f"{key} is declared larger than this file of {file_bytes} bytes; copy the file again")
    return node.attrs[key]


def _member(group: h5py.Group, name: str) -> Any:
    """What a group holds under a name, None if nothing; a link is refused: the file does not choose what we read."""
    if "/" in name or name in ("", "."):
        raise UserError(f"{name!r} is no name of a layer or of an array; copy the file again")
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise UserError(f"{name} is a link to another file; copy the file that it names")
    if isinstance(link, h5py.SoftLink):
        raise UserError(f"{name} is a link to another place; copy the file again")
    return group.get(name)


def _all_arrays(root: h5py.Group, layers: list[str], file_bytes: int) -> list[dict[str, np.ndarray]]:
    """The arrays of every layer by their names.

    Every size in the file is a claim: a few kilobytes can declare terabytes. All are checked before any array is read.

    Raises:
        UserError: naming the layer and the array, for what the file cannot hold, no such network needs, or is kept
            elsewhere.
    """
    datasets: list[dict[str, h5py.Dataset]] = []
    declared = 0
    for layer in layers:
        group = _member(root, layer)
        if not isinstance(group, h5py.Group):
            raise UserError(f"layer {layer} is listed but missing; copy the file again")
        members = {key: _member(group, key) for key in map(str, group)}
        datasets.append({key: value for key, value in members.items() if isinstance(value, h5py.Dataset)})
        for key, dataset in datasets[-1].items():
            _check_kind(layer, key, dataset)
            chunk = math.prod(dataset.chunks) if dataset.chunks else 0  # is read as a whole
            declared += dataset.dtype.itemsize * max(math.prod(dataset.shape), chunk)
            if declared > min(_MAX_BYTES, _COMPRESSION * file_bytes):
                size = " x ".join(map(str, dataset.shape))
                raise UserError(
                    f"layer {layer}: {key} is declared as {size}, more than this file of {file_bytes} bytes can "
                    "hold or such a network needs; copy the file again"
                )
            _check_chunks(layer, key, dataset)
    return [
        {key.removeprefix(f"{layer}_"): np.asarray(value[()]) for key, value in found.items()}
        for layer, found in zip(layers, datasets, strict=True)
    ]


def _check_kind(layer: str, key: str, dataset: h5py.Dataset) -> None:
    """Refuse an array that is kept in another file, or is no array of numbers."""
    if dataset.is_virtual or dataset.external:
        raise UserError(f"layer {layer}: {key} is kept in another file; copy the file that it names")
    if dataset.shape is None or len(dataset.shape) > _MAX_AXES or dataset.dtype.kind not in "fiu":
        raise UserError(f"layer {layer}: {key} is no array of weights; copy the file again")


def _check_chunks(layer: str, key: str, dataset: h5py.Dataset) -> None:
    """Refuse compression that would load a plug-in, and chunks that unpack to more than they declare.

    HDF5 unpacks a chunk to its end, however long that is.
    """
    if dataset.chunks is None:
        return
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    if not set(filters) <= _FILTERS:
        raise UserError(f"layer {layer}: {key} is compressed by other means than gzip; save it with gzip or without")
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return
    deflate = 1 << filters.index(h5py.h5z.FILTER_DEFLATE)
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize + _CHECKSUM_BYTES
    for i in range(dataset.id.get_num_chunks()):
        mask, packed = dataset.id.read_direct_chunk(dataset.id.get_chunk_info(i).chunk_offset)
        if not mask & deflate and len(zlib.decompressobj().decompress(packed, size + 1)) > size:
            raise UserError(f"layer {layer}: {key} unpacks to more than it declares; copy the file again")


def _described(model_config: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and settings of each layer by its name."""
    try:
        layers = parse_json(model_config)["config"]
        if isinstance(layers, dict):  # not a sequence, but a graph
            layers = layers["layers"]
        return {layer["config"]["name"]: (layer["class_name"].lower(), layer["config"]) for layer in layers}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("model_config does not describe layers as Keras 1 does; copy the file again") from error
