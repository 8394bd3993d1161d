"""Animated PNG files, written one frame at a time.

The encoder of imagecodecs needs all frames at once. An animated PNG is a PNG of the first frame, followed by the
compressed pixels of the others, so that its encoder of single images does the work here.
https://www.w3.org/TR/png-3/#apng-frame-based-animation
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from cellflax.errors import UserError

_FRAME_MS = 200
_LEVEL = 3
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def save_animation(path: Path, frames: Iterable[np.ndarray], count: int) -> None:
    """Write frames as an animated PNG, which browsers play without end.

    Args:
        path: the target.
        frames: (H, W, 3) uint8, taken one at a time.
        count: their number, which stands at the beginning of the file.

    Raises:
        UserError: if it cannot be written.
        ValueError: if the number of frames is another, or their shapes differ.
    """
    try:
        with path.open("wb") as file:
            _write(file, frames, count)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def _write(file: BinaryIO, frames: Iterable[np.ndarray], count: int) -> None:
    numbers = iter(range(2 * count))  # fcTL and fdAT chunks are numbered together
    shape, written = None, 0
    for frame in frames:
        if shape is None:
            shape = frame.shape
            file.write(_SIGNATURE)
        elif frame.shape != shape:
            raise ValueError(f"frame {written} is {frame.shape}, the first is {shape}")
        for kind, data in _chunks(bytes(imagecodecs.png_encode(np.ascontiguousarray(frame), level=_LEVEL))):
            if kind == b"IHDR" and not written:
                _put(file, kind, data)
                _put(file, b"acTL", struct.pack(">II", count, 0))
            elif kind == b"IDAT":
                _put(file, b"fcTL", _frame_control(next(numbers), shape))
                if written:
                    _put(file, b"fdAT", struct.pack(">I", next(numbers)) + data)
                else:
                    _put(file, b"IDAT", data)
        written += 1
    if written != count:
        raise ValueError(f"{written} frames, {count} were announced")
    _put(file, b"IEND", b"")


def _frame_control(number: int, shape: tuple[int, ...]) -> bytes:
    height, width = shape[:2]
    return struct.pack(">IIIIIHHBB", number, width, height, 0, 0, _FRAME_MS, 1000, 0, 0)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of a PNG's chunks, those of its pixels as one."""
    at, pixels = len(_SIGNATURE), b""
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            pixels += data
            continue
        if pixels:
            yield b"IDAT", pixels
            pixels = b""
        yield kind, data


def _put(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
