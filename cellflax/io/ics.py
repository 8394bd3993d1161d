"""ICS, the Image Cytometry Standard: a text header, and pixels in the same file or in an `.ids` beside it.

Dean et al. 1990, Cytometry 11:561 (version 1: `.ics` with `.ids`); version 2 may hold the pixels after the header.
"""

import math
import sys
import zlib
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.ics_header import IcsHeader, parse_header
from cellflax.io.reader import Reader, read_whole
from cellflax.io.stack import Stack, default_channel_names, square_pixel_um
from cellflax.wholefile import read_content

_MOST_BYTES = 1 << 31
_GZIP = 16 + zlib.MAX_WBITS
_KINDS = {"integer unsigned": "u", "integer signed": "i", "real unsigned": "f", "real signed": "f"}
_TYPES = {"u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"}
# Dimensions that we keep, by the names that writers give them.
_AXES = {"x": "X", "y": "Y", "z": "Z", "c": "C", "ch": "C", "channel": "C", "probe": "C"}


def is_ics(start: bytes) -> bool:
    """Whether a file that starts with these bytes is ICS: a line of two separators, then the version."""
    return b"ics_version" in start


def read_ics(path: Path) -> Stack:
    """Read an ICS image of up to four dimensions: columns, rows, focal planes and channels in any order.

    Raises:
        UserError: for a header that lacks or garbles something, pixels that are missing or incomplete, and what is
            not supported: complex numbers, movies, compression other than gzip.
    """
    content = _content_of(path)
    header = parse_header(path, content)
    size = _sizes(header)
    dtype = _dtype(header, size.pop("bits"))
    names = list(size)[::-1]  # the first dimension runs fastest
    source, data = _packed_pixels(header, content)
    array = _unpack(header, source, data, dtype, [size[name] for name in names])
    pixels = _to_czyx(path, array, names)
    step_um = header.step_um()
    size_um = square_pixel_um(path, step_um["x"], step_um["y"]) if {"x", "y"} <= step_um.keys() else None
    z_um = None
    if pixels.shape[1] > 1 and "z" in step_um:
        z_um = tuple(step_um["z"] * plane for plane in range(pixels.shape[1]))
    return Stack(pixels, default_channel_names(len(pixels)), size_um, z_um)


def _content_of(path: Path) -> bytes:
    return bytes(read_content(path, "save it as OME-TIFF", _MOST_BYTES))


def _sizes(header: IcsHeader) -> dict[str, int]:
    """Length of every dimension in the order of the file; `bits` is the first, the bits of a pixel."""
    order = [name.lower() for name in header.required("layout", "order")]
    sizes = header.required("layout", "sizes")
    if len(set(order)) < len(order) or not {"bits", "x", "y"} <= set(order):
        raise UserError(f"{header.path}: the ICS header's order {' '.join(order)} lacks bits, x or y; export it again")
    if len(sizes) != len(order) or not all(size.isdecimal() and 0 < int(size) < 2**31 for size in sizes):
        raise UserError(f"{header.path}: the ICS header's sizes {' '.join(sizes)} do not fit its order; export again")
    return {name: int(size) for name, size in zip(order, sizes, strict=True)}


def _dtype(header: IcsHeader, bits: int) -> np.dtype:
    kind = f"{header.first('representation', 'format', 'integer')} {header.first('representation', 'sign', 'unsigned')}"
    code = f"{_KINDS.get(kind, kind)}{bits // 8}"
    if bits % 8 or code not in _TYPES:
        raise UserError(f"{header.path}: pixels of {bits} bits ({kind}) are not supported; save 8 or 16 bit integers")
    # The byte order numbers the bytes, 1 for the least significant: "1 2" is little-endian, "2 1" big-endian.
    big = header.first("representation", "byte_order", "1") != "1"
    return np.dtype(code).newbyteorder(">" if big else "<")


def _packed_pixels(header: IcsHeader, content: bytes) -> tuple[Path, bytes]:
    """The file that holds the pixels, and their bytes."""
    if not header.is_version_1:
        if other := header.first("source", "file", ""):
            raise UserError(f"{header.path}: its pixels are in another file, {other}; export it as a single one")
        return header.path, content[header.end :]
    suffix = ".IDS" if header.path.suffix.isupper() else ".ids"
    for path in (header.path.with_suffix(suffix), header.path.with_suffix(f"{suffix}.gz")):
        if path.is_file():
            return path, _content_of(path)
    raise UserError(f"{header.path}: no {header.path.stem}{suffix} with its pixels beside it; copy that too")


def _unpack(header: IcsHeader, source: Path, data: bytes, dtype: np.dtype, shape: list[int]) -> np.ndarray:
    expected = math.prod(shape) * dtype.itemsize
    compression = header.first("representation", "compression", "uncompressed")
    if compression == "gzip":
        require_plausible_size(source, expected, 1032 * len(data))
        data = _unzip(source, data, expected)
    elif compression != "uncompressed":
        raise UserError(f"{header.path}: {compression} compression is not supported; save it with gzip or without")
    if len(data) < expected:
        raise UserError(
            f"{source}: damaged or incomplete ({len(data)} bytes of pixels instead of {expected}); "
            "copy or export it again"
        )
    return np.frombuffer(data, dtype, math.prod(shape)).reshape(shape)


def _unzip(path: Path, data: bytes, expected: int) -> bytes:
    """Unpack no more than is expected, so that a damaged or hostile file cannot fill the memory."""
    try:
        return zlib.decompressobj(_GZIP).decompress(data, min(expected, sys.maxsize))
    except zlib.error as error:
        raise UserError(f"{path}: damaged or incomplete ({error}); copy or export it again") from error


def _to_czyx(path: Path, array: np.ndarray, names: list[str]) -> np.ndarray:
    """Array in the order channels, planes, rows, columns, without other dimensions, which must have length 1."""
    for name, length in zip(names, array.shape, strict=True):
        if name not in _AXES and length > 1:
            raise UserError(f"{path}: {length} planes along {name} are not supported; save them one file each")
    array = array[tuple(slice(None) if name in _AXES else 0 for name in names)]
    axes = [_AXES[name] for name in names if name in _AXES]
    if len(set(axes)) < len(axes):
        raise UserError(f"{path}: has several dimensions for channels ({' '.join(names[::-1])}); save one of them")
    size = dict(zip(axes, array.shape, strict=True))
    array = array.transpose([axes.index(axis) for axis in "CZYX" if axis in axes])
    return array.reshape(size.get("C", 1), size.get("Z", 1), size["Y"], size["X"])


ICS = Reader("ICS", (".ics",), read_whole(read_ics, "ICS"), is_ics)
