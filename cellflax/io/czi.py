"""Zeiss CZI through the library czifile; the tiles of one plane are read when it is wanted."""

import io
import logging
import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.movie_time import rising_times_s
from cellflax.io.reader import Reader
from cellflax.io.scene import Scene
from cellflax.io.stack import NamesFrom, default_channel_names, square_pixel_um
from cellflax.io.vendor import BoundedFile, bounded, known, library

# The most bytes that one stored byte can stand for.
_RATIO = {0: 1, 1: 1024, 2: 2731, 4: 1024}
_OTHER_RATIO = 1 << 16
_MOST_AXES = 64
# Tiles cover at least this share of the rectangle around them.
_LEAST_COVERED = 1e-3
# From here on a time stamp may be a date (days since 1899, 1970 on) instead of seconds.
_MAY_BE_DATE = 25569.0


@contextmanager
def open_czi(path: Path) -> Iterator[Sequence[Scene]]:
    """Open the scenes of a CZI file. Tiles of a mosaic are put together; gaps between them are 0.

    Raises:
        UserError: without czifile, for an axis other than rows, columns, channels, focal planes and time, and for
            oblong pixels.
    """
    czifile = library(path, "czifile", "czi")
    logger = logging.getLogger("czifile")
    disabled, logger.disabled = logger.disabled, True  # what it logs is checked here
    try:
        with bounded(path) as file, czifile.CziFile(file, squeeze=False) as czi:
            _require_directory(path, file, czifile, czi)
            root = known(path, "metadata", lambda: czi.xml_element)
            names = known(path, "names of scenes", lambda: _scene_names(root)) or {}
            images = [(names.get(key, ""), czi.scenes[key]) for key in czi.scenes]
            if not images:
                raise UserError(f"{path}: holds no images")
            yield [_scene(path, file.size, czi, image, root, name) for name, image in images]
    finally:
        logger.disabled = disabled


CZI = Reader("CZI", (".czi",), open_czi, lambda start: start.startswith(b"ZISRAWFILE"), several=True)


def _require_directory(path: Path, file: BoundedFile, czifile: Any, czi: Any) -> None:
    """Refuse files without a whole list of tiles, which is written last: tiles may be missing."""
    place = czi.header.directory_position
    segment = czifile.CziSegment(czi, place) if place > 0 else None
    if segment is None or segment.sid != czifile.CziSubBlockDirectorySegmentData.SID:
        raise UserError(f"{path}: damaged or incomplete (the list of its tiles is missing); copy or export it again")
    # A segment has a head of 32 bytes. The list begins with the number of its entries, in 128 bytes. An entry has 32,
    # and 20 for each of its axes, whose number czifile claims memory for.
    file.seek(place + 32)
    (entries,) = struct.unpack("<i", file.read(128)[:4])
    for _ in range(entries):
        entry = file.read(32)
        axes = int.from_bytes(entry[28:32], "little")
        if len(entry) < 32 or axes > _MOST_AXES:
            raise UserError(f"{path}: damaged or incomplete (the list of its tiles is cut); copy or export it again")
        file.seek(20 * axes, io.SEEK_CUR)


def _scene(path: Path, n_bytes: int, czi: Any, image: Any, root: ElementTree.Element | None, name: str) -> Scene:
    planes = _Planes(path, n_bytes, czi, image)
    names, origin = _channel_names(path, root, planes)
    scales = known(path, "pixel size", lambda: image.coord_scales) or {}
    size = None
    if scales.get("X", 0) > 0 and scales.get("Y", 0) > 0:
        size = square_pixel_um(path, *(round(1e6 * scales[axis], 9) for axis in "XY"))
    step, n_planes = 1e6 * scales.get("Z", 0), planes.sizes["Z"]
    return Scene(
        path,
        planes.sizes,
        planes.dtype,
        planes.read,
        names,
        origin,
        name,
        size,
        "CZI",
        tuple(step * i for i in range(n_planes)) if step > 0 and n_planes > 1 else None,
        lambda: known(path, "times", lambda: _times_s(czi, root, planes.sizes["T"])),
    )


class _Planes:
    """Reads single planes of a scene.

    Attributes:
        sizes: lengths of the axes T, C, Z, Y, X; samples of a pixel are channels, without alpha.
        samples: number of samples of a pixel, without alpha.
        first_channel: number of the scene's first channel among those of the file.
        dtype: of the pixels.
    """

    def __init__(self, path: Path, n_bytes: int, czi: Any, image: Any):
        self._path, self._n_bytes, self._czi = path, n_bytes, czi
        entries = image.directory_entries
        stored = {entry.pixel_type.samples for entry in entries}
        if len(stored) > 1:
            raise UserError(f"{path}: mixes colour pictures with single channels; export them to files of their own")
        self.samples = 1 if stored == {1} else 3
        self.dtype = np.result_type(*{entry.dtype for entry in entries})
        low: dict[str, int] = {}
        high: dict[str, int] = {}
        for entry in entries:
            for axis, start, length in zip(entry.dims, entry.start, entry.shape, strict=True):
                low[axis] = min(low.get(axis, start), start)
                high[axis] = max(high.get(axis, start + length), start + length)
        size = {axis: high[axis] - low[axis] for axis in low}
        for axis, length in size.items():
            if axis not in "TCZYXS" and length > 1:
                raise UserError(
                    f"{path}: {length} planes along {axis} are not supported; export them to separate files"
                )
        self.first_channel = low.get("C", 0)
        self._low = low
        self.sizes = {axis: size.get(axis, 1) for axis in "TCZYX"}
        self._tiles: dict[tuple[int, ...], list[Any]] = defaultdict(list)
        for entry in entries:
            self._add(entry)
        covered = max(sum(map(_area, tiles)) for tiles in self._tiles.values())
        if covered < _LEAST_COVERED * self.sizes["Y"] * self.sizes["X"]:
            raise UserError(f"{path}: damaged or incomplete (its tiles lie far apart); copy or export it again")
        self._most_tiles = max(map(len, self._tiles.values()))
        self.sizes["C"] *= self.samples

    def _add(self, entry: Any) -> None:
        """Note a tile with the planes that it holds."""
        size = dict(zip(entry.dims, entry.shape, strict=True))
        if entry.file_part:
            raise UserError(f"{self._path}: one of several files of an image; save it as one file")
        if any(length != 1 for axis, length in size.items() if axis not in "YXS"):
            raise UserError(f"{self._path}: tiles of several planes are not supported; save it again in ZEN")
        if entry.stored_shape != entry.shape:
            raise UserError(f"{self._path}: its pixels are stored at another size (Airyscan, PALM); process it in ZEN")
        place = dict(zip(entry.dims, entry.start, strict=True))
        plain = entry.size * entry.dtype.itemsize if entry.compression == 0 else 0
        if not 0 < entry.file_position <= self._n_bytes - plain:
            raise self._incomplete("a tile lies beyond its end")
        self._tiles[tuple(place.get(axis, 0) - self._low.get(axis, 0) for axis in "TCZ")].append(entry)

    def read(self, t: int, c: int, z: int) -> np.ndarray:
        """A plane, (H, W)."""
        tiles = self._tiles.get((t, c // self.samples, z), [])
        segments = [entry.read_segment_data(self._czi) for entry in tiles]
        if not tiles:
            raise self._incomplete(f"frame {t}, channel {c}, focal plane {z} is missing")
        for entry, segment in zip(tiles, segments, strict=True):
            self._require(entry, segment)
        height, width = self.sizes["Y"], self.sizes["X"]
        alone = len(tiles) == 1 and tiles[0].mosaic_index < 0
        if len(tiles) < self._most_tiles or (alone and _area(tiles[0]) < height * width):
            raise self._incomplete(f"frame {t}, channel {c}, focal plane {z} lacks pixels that others have")
        plane = np.zeros((height, width), self.dtype)
        for entry, segment in zip(tiles, segments, strict=True):
            pixels = segment.data(copy=False)
            if pixels.shape != entry.shape:
                raise self._incomplete(f"a tile of {pixels.shape} pixels instead of {entry.shape}")
            place = dict(zip(entry.dims, entry.start, strict=True))
            top, left = (place.get(axis, 0) - self._low.get(axis, 0) for axis in "YX")
            rows, columns = (dict(zip(entry.dims, entry.shape, strict=True)).get(axis, 1) for axis in "YX")
            pixels = pixels.reshape(rows, columns, -1)[..., c % self.samples]
            mask = segment.mask() if segment.attachment_size else None
            place_at = plane[top : top + rows, left : left + columns]
            np.copyto(place_at, pixels, where=True if mask is None else mask[:rows, :columns])
        return plane

    def _require(self, entry: Any, segment: Any) -> None:
        """Refuse a tile that is deleted, lies beyond the end of the file, or cannot hold its pixels."""
        if not hasattr(segment, "data_size"):
            raise self._incomplete("a tile is missing")
        declared = entry.size * entry.dtype.itemsize
        if segment.data_size < 0 or segment.data_offset + segment.data_size > self._n_bytes:
            raise self._incomplete("a tile goes beyond its end")
        if entry.compression == 0 and segment.data_size != declared:
            raise self._incomplete(f"a tile of {segment.data_size} bytes instead of {declared}")
        if entry.compression > 99:
            raise UserError(f"{self._path}: its pixels are a camera's raw data; save it again in ZEN")
        require_plausible_size(self._path, declared, segment.data_size * _RATIO.get(entry.compression, _OTHER_RATIO))

    def _incomplete(self, what: str) -> UserError:
        return UserError(f"{self._path}: damaged or incomplete ({what}); copy or export it again")


def _area(entry: Any) -> int:
    return math.prod(length for axis, length in zip(entry.dims, entry.shape, strict=True) if axis in "YX")


def _scene_names(root: ElementTree.Element | None) -> dict[int, str]:
    """Names of the scenes by their numbers."""
    scenes = [] if root is None else root.findall(".//Information/Image/Dimensions/S/Scenes/Scene")
    return {int(scene.attrib["Index"]): scene.get("Name", "") for scene in scenes}


def _channel_names(path: Path, root: ElementTree.Element | None, planes: _Planes) -> tuple[tuple[str, ...], NamesFrom]:
    count, samples = planes.sizes["C"], planes.samples
    if samples > 1:
        return default_channel_names(count), "colours"
    names = known(path, "channel names", lambda: _names_in(root)) or []
    names = names[planes.first_channel : planes.first_channel + count]
    names = [name or f"channel_{i}" for i, name in enumerate(names)] if any(names) else []
    if len(names) == len(set(names)) == count:
        return tuple(names), "file"
    return default_channel_names(count), "default"


def _names_in(root: ElementTree.Element | None) -> list[str]:
    """Names of the file's channels, "" for those without: the images' own, else those of its display settings.

    Display settings name a channel by its Id. Where an Id is none of the image's, their order counts, as long as there
    are as many.
    """
    if root is None:
        return []
    channels = root.findall(".//Information/Image/Dimensions/Channels/Channel")
    shown = root.findall(".//DisplaySetting/Channels/Channel")
    ids = [channel.get("Id", "") for channel in channels]
    by_id = {channel.get("Id", ""): channel.get("Name", "") for channel in shown}
    in_order = len(shown) == len(channels) and all(
        other.get("Id") == own or (other.get("Id") not in ids and own not in by_id)
        for own, other in zip(ids, shown, strict=True)
    )
    names = []
    for i, channel in enumerate(channels):
        name = channel.get("Name") or by_id.get(ids[i], "")
        names.append(name or (shown[i].get("Name", "") if in_order else ""))
    return names


def _times_s(czi: Any, root: ElementTree.Element | None, n_frames: int) -> np.ndarray | None:
    """(T,) times from the first frame: the stamps of the frames, else the interval of the image; None without."""
    if n_frames == 1:
        return None
    stamps = czi.timestamps
    if stamps is not None and len(stamps) == n_frames and np.isfinite(stamps).all() and stamps[0] < _MAY_BE_DATE:
        times = rising_times_s(np.asarray(stamps, float), n_frames)
        if times is not None:
            return times
    text = None if root is None else root.findtext(".//Information/Image/Dimensions/T/Positions/Interval/Increment")
    interval = float(text) if text else 0.0
    return interval * np.arange(n_frames) if 0 < interval < np.inf else None
