"""Files of trained networks: one archive (NPZ) with the JSON record of a checkpoint, and kernels in half precision.

Nothing in such a file can run code: the record is JSON, and the arrays are NumPy's plain ones of floats. Sizes are
checked before memory is claimed, and every array has a checksum.
"""

import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.atomic import replacing
from cellflax.errors import UserError
from cellflax.jsonfile import parse_json
from cellflax.wholefile import read_content

VERSION = 1

_RECORD = "record.json"
_ARRAY = ".npy"
_REMEDY = "copy it again"
_MOST_BYTES = 1 << 25
_MOST_UNPACKED = 1 << 27
_MOST_FILES = 4096
_LARGEST_HALF = float(np.finfo(np.float16).max)
_SMALLEST_HALF = float(np.finfo(np.float16).tiny)
_TYPES = (np.dtype("<f2"), np.dtype("<f4"))


def write_network_file(path: Path, record: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a network in one step; the same content gives the same bytes.

    Kernels are kept in half precision. Biases, scales and running statistics are few, and a variance can be beyond half
    precision, so that they are kept in single precision.

    Args:
        path: the file.
        record: JSON, as of a checkpoint; its `crc32` are replaced by those of this file.
        arrays: float arrays by name.
    """
    stored = {name: _stored(np.asarray(values)) for name, values in arrays.items()}
    sums = {name: zlib.crc32(values) for name, values in stored.items()}
    content = json.dumps({**record, "version": VERSION, "crc32": sums}, allow_nan=False)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, _RECORD, content.encode())
        for name, values in stored.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, values, allow_pickle=False)
            _add(archive, name + _ARRAY, file.getvalue())


def _stored(values: np.ndarray) -> np.ndarray:
    """Contiguous, in half precision if it is a kernel whose values that can hold."""
    size = np.abs(values, dtype=np.float32)
    if values.ndim > 2 and size.max(initial=0) < _LARGEST_HALF and size.max(initial=1) > _SMALLEST_HALF:
        return np.ascontiguousarray(values, _TYPES[0])
    return np.ascontiguousarray(values, _TYPES[1])


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # the date of a ZipInfo is 1980


def read_network_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the record and the arrays (float32, by name) of a network.

    Raises:
        UserError: naming the file, if it is damaged, or of another version.
    """
    content = read_content(path, _REMEDY, _MOST_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = archive.infolist()
            if len(files) > _MOST_FILES or sum(file.file_size for file in files) > _MOST_UNPACKED:
                raise ValueError("it declares more than a network has")
            parts = {file.filename: archive.read(file) for file in files}
        record = parse_json(parts.pop(_RECORD).decode())
        if not isinstance(record, dict) or not isinstance(record.get("crc32"), dict):
            raise ValueError("its record is none of a network")
        arrays = {name.removesuffix(_ARRAY): _array(name, part) for name, part in parts.items()}
    except Exception as error:  # archives and headers of arrays raise many types
        raise UserError(f"{path}: is no network of cellflax, or damaged ({_reason(error)}); {_REMEDY}") from error
    if record.get("version") != VERSION:
        raise UserError(
            f"{path}: has version {record.get('version')}, and this cellflax reads version {VERSION}; update cellflax"
        )
    for name in record["crc32"] | arrays:
        if name not in arrays or zlib.crc32(arrays[name]) != record["crc32"].get(name):
            raise UserError(f"{path}: is damaged: {name} differs from its checksum; {_REMEDY}")
    return record, {name: values.astype(np.float32) for name, values in arrays.items()}


def _array(name: str, content: bytes) -> np.ndarray:
    """The array of an NPY file, whose header must agree with its length."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is of another version")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype not in _TYPES or by_columns or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{name} is no array of a network")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
