"""Read files of Keras 1 as named layers with their arrays; nothing in a file can run code.

A file of weights alone has a group per layer. A file of a whole model has those groups in `model_weights`, and
the layers' settings as JSON in `model_config` (`save_model` in Keras 1.0.7's models.py).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cellflax.errors import UserError

_MAX_BYTES = 2**30  # the largest published network has 30 MB
_COMPRESSION = 20  # trained weights are compressed much less
_MAX_AXES = 4


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
    try:
        with h5py.File(path, "r") as file:
            whole = "model_weights" in file
            root = file["model_weights"] if whole else file
            if not isinstance(root, h5py.Group) or "layer_names" not in root.attrs:
                raise UserError("this HDF5 file is not one of Keras 1: it has no layer_names")
            listed: Any = root.attrs["layer_names"]
            names = [_text(name) for name in np.ravel(listed)]
            _check_sizes(root, names, path.stat().st_size)
            arrays = [_arrays(root, name) for name in names]
            release, model_config = (
                _text(file.attrs.get(key, "")) if whole else None for key in ("keras_version", "model_config")
            )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:  # h5py's, for damaged files
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


def _arrays(root: h5py.Group, layer: str) -> dict[str, np.ndarray]:
    group = root.get(layer)
    if not isinstance(group, h5py.Group):
        raise UserError(f"layer {layer} is listed but missing; copy the file again")
    datasets = {key: value for key, value in group.items() if isinstance(value, h5py.Dataset)}
    return {key.removeprefix(f"{layer}_"): np.asarray(value[()]) for key, value in datasets.items()}


def _check_sizes(root: h5py.Group, layers: list[str], file_bytes: int) -> None:
    """Refuse, before anything is allocated, arrays that the file cannot hold or that no such network needs.

    Every size in the file is a claim: a few kilobytes can declare terabytes.

    Raises:
        UserError: naming the layer and the array.
    """
    declared = 0
    for layer in layers:
        group = root.get(layer, getlink=True)
        if isinstance(group, h5py.ExternalLink):
            raise UserError(f"layer {layer} is a link to another file; copy the file that it names")
        group = root.get(layer)
        if not isinstance(group, h5py.Group):
            continue  # reported where it is read
        for key in group:
            if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
                raise UserError(f"layer {layer}: {key} is a link to another file; copy the file that it names")
            dataset = group[key]
            if not isinstance(dataset, h5py.Dataset):
                continue
            if dataset.is_virtual or dataset.external:
                raise UserError(f"layer {layer}: {key} is kept in another file; copy the file that it names")
            if dataset.shape is None or len(dataset.shape) > _MAX_AXES:
                raise UserError(f"layer {layer}: {key} is no array of weights; copy the file again")
            chunk = math.prod(dataset.chunks) if dataset.chunks else 0  # is read as a whole
            declared += dataset.dtype.itemsize * max(math.prod(dataset.shape), chunk)
            if declared > min(_MAX_BYTES, _COMPRESSION * file_bytes):
                size = " x ".join(map(str, dataset.shape))
                raise UserError(
                    f"layer {layer}: {key} is declared as {size}, more than this file of {file_bytes} bytes can "
                    "hold or such a network needs; copy the file again"
                )


def _described(model_config: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and settings of each layer by its name."""
    try:
        layers = json.loads(model_config)["config"]
        if isinstance(layers, dict):  # not a sequence, but a graph
            layers = layers["layers"]
        return {layer["config"]["name"]: (layer["class_name"].lower(), layer["config"]) for layer in layers}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("model_config does not describe layers as Keras 1 does; copy the file again") from error
