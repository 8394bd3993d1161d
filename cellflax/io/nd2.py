"""Nikon ND2 through the library nd2; one frame is read when it is wanted."""

import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.movie_time import rising_times_s
from cellflax.io.reader import Reader
from cellflax.io.scene import Scene
from cellflax.io.stack import NamesFrom, default_channel_names, square_pixel_um
from cellflax.io.vendor import BoundedFile, bounded, known, library

_MAGIC, _JPEG_2000 = b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  "
_HEADER = struct.Struct("<IIQ")  # of a chunk: magic, bytes of its name, bytes of its data
_DATA_OFFSET = 24 + 4072  # from a chunk of pixels to its pixels
_ZLIB_RATIO = 1040
_AXES = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}


@contextmanager
def open_nd2(path: Path) -> Iterator[Sequence[Scene]]:
    """Open the positions of an ND2 file.

    Raises:
        UserError: without nd2, for an axis other than rows, columns, channels, focal planes, time and positions, and
            for oblong pixels.
    """
    nd2 = library(path, "nd2", "nd2")
    with bounded(path) as file:
        if file.read(len(_JPEG_2000)) == _JPEG_2000 and path.suffix.lower() != ".nd2":
            raise UserError(f"{path}: a JPEG 2000 picture is not supported; convert it to TIFF")
        with _quiet(), nd2.ND2File(file) as opened:
            frames = _Frames(path, file, opened)
            yield [_scene(path, opened, frames, position) for position in range(frames.sizes["P"])]


ND2 = Reader("ND2", (".nd2",), open_nd2, lambda start: start.startswith((_MAGIC, _JPEG_2000)), several=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """nd2 warns of metadata that it cannot read; what is missing is checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _scene(path: Path, opened: Any, frames: "_Frames", position: int) -> Scene:
    sizes = {axis: frames.sizes[axis] for axis in "TCZYX"}
    names, origin = _channel_names(path, opened, sizes["C"], frames.samples)
    size = known(path, "pixel size", lambda: _pixel_size_um(path, opened))
    return Scene(
        path,
        sizes,
        frames.dtype,
        lambda t, c, z: frames.read(t, position, z)[c],
        names,
        origin,
        known(path, "names of positions", lambda: _position_name(frames, position)) or "",
        size,
        "ND2",
        known(path, "focus positions", lambda: _z_um(frames)),
        lambda: known(path, "times", lambda: _times_s(opened, frames, position)),
        frames.unnamed,
    )


class _Frames:
    """Reads the frames of a file, each with its channels.

    Attributes:
        sizes: lengths of the axes T, P (positions), C, Z, Y, X; samples of a pixel are channels, without alpha.
        samples: number of samples of a pixel, without alpha.
        dtype: of the pixels.
        loops: the file's loops by their axis.
        unnamed: T where the file does not say what its frames are, else "".
    """

    def __init__(self, path: Path, file: BoundedFile, opened: Any):
        self._path, self._file, self._opened = path, file, opened
        attributes = opened.attributes
        self.dtype = np.dtype(opened.dtype)
        self.loops: dict[str, Any] = {}
        self._lengths: dict[str, int] = {}
        for loop in opened.experiment:
            axis, length = _AXES.get(loop.type, ""), int(loop.count)
            if length < 1:
                raise self._incomplete(f"a loop of {length} frames")
            if length == 1:
                self.loops.setdefault(axis, loop)
                continue
            if not axis or axis in self._lengths:
                raise UserError(f"{path}: {length} planes along {loop.type} are not supported; export them apart")
            self.loops[axis], self._lengths[axis] = loop, length
        n_frames = math.prod(self._lengths.values())
        self.unnamed = ""
        if n_frames == 1 and attributes.sequenceCount > 1:
            self._lengths, self.unnamed = {"T": int(attributes.sequenceCount)}, "T"
            n_frames = int(attributes.sequenceCount)
        self._components = int(attributes.componentCount)
        per_channel = max(self._components // (attributes.channelCount or 1), 1)
        self._channels = self._components // per_channel
        self._per_channel = per_channel
        self.samples = min(per_channel, 3) if per_channel in (3, 4) else 1
        channels = self._channels * self.samples if per_channel in (3, 4) else self._components
        self.sizes = {axis: self._lengths.get(axis, 1) for axis in "TPZ"} | {
            "C": channels,
            "Y": int(attributes.heightPx),
            "X": int(attributes.widthPx or 0),
        }
        if min(self.sizes.values()) < 1:
            raise self._incomplete(f"an image of size {self.sizes}")
        # A frame that is missing or cut would be read as zeros.
        self._chunks = {} if opened.is_legacy else opened._rdr.chunkmap
        if not opened.is_legacy:
            row = int(attributes.widthBytes or 0)
            least = self.sizes["X"] * self._components * self.dtype.itemsize
            if row < least:
                raise self._incomplete(f"rows of {row} bytes instead of {least}")
            self._n_bytes = (self.sizes["Y"] - 1) * row + least
            require_plausible_size(path, n_frames, file.size)
            for number in range(n_frames):
                self._require(number)
        self._last: tuple[int, np.ndarray] | None = None  # of which another channel may be wanted

    def read(self, t: int, position: int, z: int) -> np.ndarray:
        """A frame, (C, H, W)."""
        number, at = 0, {"T": t, "P": position, "Z": z}
        for axis, length in self._lengths.items():
            number = number * length + at[axis]
        if self._last is None or self._last[0] != number:
            if not self._opened.is_legacy:
                self._require_chunk(number)
            with _quiet():
                frame = self._opened.read_frame(number)
            frame = frame.reshape(self._channels, self.sizes["Y"], self.sizes["X"], self._per_channel)
            planes = np.moveaxis(frame, -1, 1)[:, : self.samples if self.samples > 1 else None]
            self._last = number, planes.reshape(self.sizes["C"], self.sizes["Y"], self.sizes["X"])
        return self._last[1]

    def first_of(self, t: int, position: int) -> int:
        """Number of the first frame of a time and position."""
        number, at = 0, {"T": t, "P": position, "Z": 0}
        for axis, length in self._lengths.items():
            number = number * length + at[axis]
        return number

    def _require(self, number: int) -> None:
        """Refuse a file in which a frame is missing or goes beyond its end."""
        name = _name(number)
        if name not in self._chunks:
            raise self._incomplete(f"frame {number} is missing")
        offset = self._chunks[name][0]
        stored = 0 if self._opened.attributes.compressionType == "lossless" else self._n_bytes
        if offset + _DATA_OFFSET + stored > self._file.size:
            raise self._incomplete(f"frame {number} goes beyond its end")

    def _require_chunk(self, number: int) -> None:
        """Refuse a frame that is not where the file says."""
        offset, name = self._chunks[_name(number)][0], _name(number)
        self._file.seek(offset)
        magic, length, data = _HEADER.unpack(self._file.read(_HEADER.size))
        if magic != int.from_bytes(_MAGIC, "little") or not self._file.read(length).startswith(name):
            raise self._incomplete(f"frame {number} is not in its place")
        if self._opened.attributes.compressionType == "lossless":
            require_plausible_size(self._path, self._n_bytes, _ZLIB_RATIO * min(data, self._file.size))

    def _incomplete(self, what: str) -> UserError:
        return UserError(f"{self._path}: damaged or incomplete ({what}); copy or export it again")


def _name(number: int) -> bytes:
    return f"ImageDataSeq|{number}!".encode()


def _position_name(frames: _Frames, position: int) -> str:
    loop = frames.loops.get("P")
    return "" if loop is None else loop.parameters.points[position].name or ""


def _channel_names(path: Path, opened: Any, count: int, samples: int) -> tuple[tuple[str, ...], NamesFrom]:
    if samples > 1:
        return default_channel_names(count), "colours"
    names = known(path, "channel names", lambda: [str(c.channel.name or "") for c in opened.metadata.channels or []])
    names = [name or f"channel_{i}" for i, name in enumerate(names)] if names and any(names) else []
    if len(names) == len(set(names)) == count:
        return tuple(names), "file"
    return default_channel_names(count), "default"


def _pixel_size_um(path: Path, opened: Any) -> float | None:
    volume = opened.metadata.channels[0].volume
    (x, y, *_), calibrated = volume.axesCalibration, volume.axesCalibrated
    return square_pixel_um(path, float(x), float(y)) if calibrated[0] and calibrated[1] else None


def _z_um(frames: _Frames) -> tuple[float, ...] | None:
    if frames.sizes["Z"] == 1 or "Z" not in frames.loops:
        return None
    step = float(frames.loops["Z"].parameters.stepUm)
    if not 0 < step < np.inf:
        return None
    sign = 1 if frames.loops["Z"].parameters.bottomToTop else -1
    return tuple(sign * step * i for i in range(frames.sizes["Z"]))


def _times_s(opened: Any, frames: _Frames, position: int) -> np.ndarray | None:
    """(T,) times of the frames by their stamps; else by the period of the time loop; None without."""
    n_frames = frames.sizes["T"]
    if n_frames == 1:
        return None
    with _quiet():
        stamps = known(frames._path, "time stamps", lambda: _stamps_s(opened, frames, position))
    times = None if stamps is None or not np.isfinite(stamps).all() else rising_times_s(stamps, n_frames)
    if times is None and frames.loops.get("T") is not None and frames.loops["T"].type == "TimeLoop":
        period = float(frames.loops["T"].parameters.periodMs or 0) / 1000
        return period * np.arange(n_frames) if 0 < period < np.inf else None
    return times


def _stamps_s(opened: Any, frames: _Frames, position: int) -> np.ndarray:
    numbers = [frames.first_of(t, position) for t in range(frames.sizes["T"])]
    return np.array([opened.frame_metadata(i).channels[0].time.relativeTimeMs / 1000 for i in numbers])
