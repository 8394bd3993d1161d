"""Leica LIF (and LOF) through the library liffile; one plane is read when it is wanted."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.movie_time import rising_times_s
from cellflax.io.notices import warn
from cellflax.io.reader import Reader
from cellflax.io.scene import Scene
from cellflax.io.stack import UM_PER_UNIT, NamesFrom, default_channel_names, square_pixel_um
from cellflax.io.vendor import BoundedFile, bounded, known, library

# The format's numbers of the axes; stage positions are images of their own.
_AXES = {"1": "X", "2": "Y", "3": "Z", "4": "T", "10": "M"}
_OTHER_AXES = {"5": "emission wavelength", "6": "rotation", "7": "XT slices", "8": "T slices"}
_OTHER_AXES |= {"9": "excitation wavelength", "11": "loops"}
_COLOURS = ["1", "2", "3"]  # tags of red, green and blue


@contextmanager
def open_lif(path: Path) -> Iterator[Sequence[Scene]]:
    """Open the images of a LIF file, each stage position one. Images of kinds that are not read are left out, and said.

    Raises:
        UserError: without liffile, and if no image can be read.
    """
    liffile = library(path, "liffile", "lif")
    with bounded(path) as file, liffile.LifFile(file, squeeze=False) as lif:
        if lif.type not in (liffile.LifFileType.LIF, liffile.LifFileType.LOF):
            raise UserError(f"{path}: is no LIF file but an addition to one; open the LIF file")
        for parent in lif.xml_element.findall("./Element/Children"):
            for reference in parent.findall("Reference"):  # liffile would open other files
                parent.remove(reference)
        scenes: list[Scene] = []
        refused: list[UserError] = []
        for image in lif.images:
            try:
                scenes += _scenes(path, file, image)
            except _UnsupportedError as error:
                refused.append(error)
        if not scenes:
            raise refused[0] if refused else UserError(f"{path}: holds no images")
        for error in refused:
            warn(f"{error}; it is left out")
        yield scenes


LIF = Reader("LIF", (".lif", ".lof"), open_lif, lambda s: s.startswith(b"\x70\0\0\0") and s[8:9] == b"*", several=True)


class _UnsupportedError(UserError):
    """An image of a kind that is not read."""


@dataclass(frozen=True)
class _Axis:
    """An axis of an image: its length, bytes from one element to the next, and extent from the first to the last."""

    length: int
    step: int
    extent: float
    unit: str

    @property
    def spacing(self) -> float | None:
        """From one element to the next, in its unit."""
        return self.extent / (self.length - 1) if self.length > 1 and np.isfinite(self.extent) else None


def _scenes(path: Path, file: BoundedFile, image: Any) -> list[Scene]:
    """The positions of an image.

    Raises:
        _UnsupportedError: for a fluorescence lifetime, an axis that is not read, or channels of several types.
        UserError: if the file lacks pixels, or pixels are oblong.
    """
    where = f"{path}: image {image.path}"
    if image.is_flim:
        raise _UnsupportedError(f"{where}: fluorescence lifetimes are not supported; export it as TIFF")
    axes = _axes(where, image.xml_element)
    channels = image.xml_element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    if not channels or not {"X", "Y"} <= set(axes):
        raise _UnsupportedError(f"{where}: has no rows, columns or channels; export it as TIFF")
    if len({(channel.attrib["Resolution"], channel.attrib["DataType"]) for channel in channels}) > 1:
        raise _UnsupportedError(f"{where}: its channels have several types of pixels; export it as TIFF")
    channels = sorted(channels, key=lambda channel: int(channel.attrib["BytesInc"]))
    tags = [channel.get("ChannelTag", "") for channel in channels]
    colours = sorted(tags) == _COLOURS
    if colours:
        channels = sorted(channels, key=lambda channel: channel.attrib["ChannelTag"])
    names, origin = _channel_names(path, image, channels, colours)
    planes = _Planes(path, file, image, axes, [int(channel.attrib["BytesInc"]) for channel in channels])
    size = known(path, "pixel size", lambda: _pixel_size_um(path, axes))
    step = known(path, "focus positions", lambda: _step_um(axes.get("Z")))
    n_planes, positions = planes.sizes["Z"], axes["M"].length if "M" in axes else 1
    return [
        Scene(
            path,
            planes.sizes,
            planes.dtype,
            planes.reader(position),
            names,
            origin,
            image.path if positions == 1 else f"{image.path}_{position}",
            size,
            "LIF",
            tuple(step * i for i in range(n_planes)) if step and n_planes > 1 else None,
            lambda: known(path, "times", lambda: _times_s(image, axes)),
        )
        for position in range(positions)
    ]


class _Planes:
    """Reads single planes of an image.

    Attributes:
        sizes: lengths of the axes T, C, Z, Y, X.
        dtype: of the pixels.
    """

    def __init__(self, path: Path, file: BoundedFile, image: Any, axes: dict[str, _Axis], channels: list[int]):
        self._file, self._axes, self._channels = file, axes, channels
        lengths = {axis: axes[axis].length if axis in axes else 1 for axis in "TZYX"}
        self.sizes = {axis: len(channels) if axis == "C" else lengths[axis] for axis in "TCZYX"}
        self.dtype = np.dtype(image.dtype)
        block = image.memory_block
        self._start = block.offset
        ends = [(axis.length - 1) * axis.step for axis in axes.values()]
        if min(axis.length for axis in axes.values()) < 1 or min(*ends, *channels) < 0 or block.offset < 0:
            raise UserError(f"{path}: damaged or incomplete (sizes {self.sizes}); copy or export it again")
        declared = sum(ends) + max(channels) + self.dtype.itemsize
        require_plausible_size(path, declared, min(block.size, file.size - block.offset))
        self._require_own_bytes(path)

    def _require_own_bytes(self, path: Path) -> None:
        """Refuse axes whose elements share bytes."""
        steps = sorted((axis.step, axis.length) for axis in self._axes.values() if axis.length > 1)
        reach = self.dtype.itemsize
        for step, length in steps:
            if step < reach:
                raise UserError(f"{path}: damaged or incomplete (its planes overlap); copy or export it again")
            reach = step * length

    def reader(self, position: int):
        """Reads a plane of a position, (H, W), from the numbers of its frame, channel and focal plane."""

        def read(t: int, c: int, z: int) -> np.ndarray:
            start = self._start + self._channels[c]
            for axis, number in (("T", t), ("Z", z), ("M", position)):
                start += number * self._axes[axis].step if axis in self._axes else 0
            rows, columns = self._axes["Y"], self._axes["X"]
            size = (rows.length - 1) * rows.step + (columns.length - 1) * columns.step + self.dtype.itemsize
            self._file.seek(start)
            content = self._file.read(size)
            shape, strides = (rows.length, columns.length), (rows.step, columns.step)
            return np.ndarray(shape, self.dtype, content, strides=strides).copy()

        return read


def _axes(where: str, element: ElementTree.Element) -> dict[str, _Axis]:
    axes: dict[str, _Axis] = {}
    for axis in element.findall("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        number, length = axis.attrib["DimID"], int(axis.attrib["NumberOfElements"])
        name = _AXES.get(number)
        if length > 1 and (name is None or name in axes):
            what = _OTHER_AXES.get(number, f"axis {number}")
            raise _UnsupportedError(f"{where}: {length} planes along {what} are not supported; export it as TIFF")
        if name is not None and name not in axes:
            extent, unit = float(axis.get("Length") or "nan"), axis.get("Unit", "")
            axes[name] = _Axis(length, int(axis.attrib["BytesInc"]), extent, unit)
    return axes


def _channel_names(
    path: Path, image: Any, channels: Sequence[ElementTree.Element], colours: bool
) -> tuple[tuple[str, ...], NamesFrom]:
    """Dyes by which the file names its channels; liffile's own Ch0, Ch1, ... are no names."""
    count = len(channels)
    if colours:
        return default_channel_names(count), "colours"

    def read() -> list[str]:
        found = [str(name) for name in image.coords.get("C", [])]
        if len(found) != count:
            found = [channel.findtext("ChannelProperty[Key='DyeName']/Value") or "" for channel in channels]
        return ["" if re.fullmatch(r"Ch\d+", name) else name.removeprefix("Leica/") for name in found]

    names = known(path, "channel names", read) or []
    names = [name or f"channel_{i}" for i, name in enumerate(names)] if any(names) else []
    if len(names) == len(set(names)) == count:
        return tuple(names), "file"
    return default_channel_names(count), "default"


def _step_um(axis: _Axis | None) -> float | None:
    scale = None if axis is None else UM_PER_UNIT.get(axis.unit.lower())
    return None if axis is None or scale is None or axis.spacing is None else scale * axis.spacing


def _pixel_size_um(path: Path, axes: dict[str, _Axis]) -> float | None:
    x, y = _step_um(axes["X"]), _step_um(axes["Y"])
    return square_pixel_um(path, abs(x), abs(y)) if x and y else None


def _times_s(image: Any, axes: dict[str, _Axis]) -> np.ndarray | None:
    """(T,) times from the first frame: by time stamps, else by the extent of the axis; None without.

    There is a time stamp for each plane, or for each frame. They are used where time is the slowest axis.
    """
    axis = axes.get("T")
    if axis is None or axis.length == 1:
        return None
    n_frames, stamps = axis.length, image.timestamps
    slowest = all(axis.step > other.step for name, other in axes.items() if name != "T" and other.length > 1)
    if stamps is not None and len(stamps) and len(stamps) % n_frames == 0 and slowest:
        first = stamps.reshape(n_frames, -1)[:, 0].astype("datetime64[ms]").astype(float) / 1000
        times = rising_times_s(first, n_frames)
        if times is not None:
            return times
    interval = axis.spacing
    return interval * np.arange(n_frames) if axis.unit == "s" and interval and interval > 0 else None
