"""TIFF in and out: axes, pixel size and focus are read from the file's own metadata and written back."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from cellflax.atomic import replacing
from cellflax.errors import OutputError, UserError
from cellflax.io.notices import warn
from cellflax.io.ome import elements
from cellflax.io.reader import Reader
from cellflax.io.stack import UM_PER_UNIT, NamesFrom, Stack, default_channel_names, square_pixel_um
from cellflax.io.tiff_file import open_tiff
from cellflax.progress import say

# An axis that the file leaves unnamed is read as channels if it is this short, else refused as a stack.
_MOST_UNNAMED_CHANNELS = 5
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA = {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA}


def is_tiff(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a TIFF or BigTIFF."""
    return start.startswith(_MAGIC)


def read_tiff(path: Path) -> Stack:
    """Read a TIFF, OME-TIFF or ImageJ TIFF.

    Raises:
        UserError: for an axis other than rows, columns, channels and focal planes, several images, missing pixels, or
            oblong pixels.
    """
    with open_tiff(path) as (tiff, series):
        pixels = upright_values(path, series.keyframe, _to_czyx(path, series.asarray(), series.axes))
        names, origin = channel_names(path, tiff, series, len(pixels))
        if series.keyframe.extrasamples and series.keyframe.extrasamples[-1] in _ALPHA and len(pixels) > 1:
            pixels = pixels[:-1]
            names = names[:-1] if origin == "file" else default_channel_names(len(pixels))
        z_um = _metadata(path, "focus positions", lambda: _z_um(tiff, pixels.shape[1]))
        return Stack(pixels, names, pixel_size_um(path, tiff), z_um, origin)


TIFF = Reader("TIFF", (".tif", ".tiff"), read_tiff, is_tiff)


def _to_czyx(path: Path, array: np.ndarray, axes: str) -> np.ndarray:
    """Array in the order channels, planes, rows, columns; `axes` are tifffile's letters, one per dimension."""
    axes = unnamed_channels(axes, array.shape)
    for axis, length in zip(axes, array.shape, strict=True):
        if axis not in "YXCSZ" and length > 1:
            raise UserError(
                f"{path}: {length} planes along {axis} (axes {axes}, shape {array.shape}) are not supported; "
                "save single planes with their channels, one file each"
            )
    array = array[tuple(slice(None) if axis in "YXCSZ" else 0 for axis in axes)]
    axes = "".join(axis for axis in axes if axis in "YXCSZ")
    size = dict(zip(axes, array.shape, strict=True))
    array = array.transpose([axes.index(axis) for axis in "CSZYX" if axis in axes])
    return array.reshape(-1, size.get("Z", 1), size["Y"], size["X"])


def upright_values(path: Path, page: tifffile.TiffPage, pixels: np.ndarray) -> np.ndarray:
    """Pixels with black as the least value, if the file says that white is zero (PhotometricInterpretation 0).

    A bilevel image, as fax compression stores it, is inverted, except tifffile's: tifffile marks every boolean array so
    and stores True as 1. With more bits the stored values stay: the tag is then most often ImageJ's inverting look-up
    table, which concerns the display alone. Where values stay, a line on the screen says so.

    Args:
        path: the file.
        page: page that describes the pixels.
        pixels: of any shape.
    """
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE:
        return pixels
    if page.bitspersample > 1:
        _warn_of_white(path)
        return pixels
    if page.software == "tifffile.py":
        _warn_of_boolean(path)
        return pixels
    return pixels == 0


@functools.cache  # once for each file, not for each frame
def _warn_of_white(path: Path) -> None:
    say(
        f"warning: {path}: says that white is zero (an inverting look-up table); its stored values are read as they "
        "are. If its picture looks inverted, invert it and save it as black is zero"
    )


_warned_of_boolean: set[Path] = set()  # folders: a data set of boolean masks is one remark, not a thousand


def _warn_of_boolean(path: Path) -> None:
    if path.parent not in _warned_of_boolean:
        _warned_of_boolean.add(path.parent)
        say(
            f"note: {path}: a boolean array that tifffile wrote; True is read as 1, though the file says that white is "
            "zero, as tifffile marks every boolean array"
        )


def unnamed_channels(axes: str, shape: tuple[int, ...]) -> str:
    """The letters of the axes; a single unnamed axis becomes C if it is short enough for channels."""
    unnamed = [axis for axis in axes if axis in "QI"]
    if len(shape) != 3 or len(unnamed) != 1 or "C" in axes:
        return axes
    if shape[-1] <= _MOST_UNNAMED_CHANNELS < min(shape[:-1]):
        return "YXC"
    short = shape[axes.index(unnamed[0])] <= _MOST_UNNAMED_CHANNELS
    return axes.replace(unnamed[0], "C") if short else axes


def channel_names(
    path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, count: int
) -> tuple[tuple[str, ...], NamesFrom]:
    """Names of the channels of an image, and where they come from.

    Channels that the file leaves unnamed beside others that it names are channel_0, ... by their place.
    """
    names = _metadata(path, "channel names", lambda: _names(tiff)) or []
    names = [name or f"channel_{i}" for i, name in enumerate(names)] if any(names) else []
    if len(names) == len(set(names)) == count:
        return tuple(names), "file"
    colours = "S" in series.axes and count > 2
    return default_channel_names(count), "colours" if colours else "default"


def _names(tiff: tifffile.TiffFile) -> list[str]:
    if tiff.is_ome:
        return [channel.get("Name", "") for channel in elements(tiff.ome_metadata or "<OME/>", "Channel")]
    labels = (tiff.imagej_metadata or {}).get("Labels") if tiff.is_imagej else None
    return [str(label) for label in labels or []]


def _metadata[T](path: Path, what: str, read: Callable[[], T | None]) -> T | None:
    """A value of the metadata; one that cannot be read is unknown, and does not spoil the pixels."""
    try:
        return read()
    except UserError:
        raise
    except Exception as error:  # metadata may hold anything
        warn(f"{path}: its {what} cannot be read ({str(error) or type(error).__name__}); unknown")
        return None


def pixel_size_um(path: Path, tiff: tifffile.TiffFile) -> float | None:
    """Edge of a pixel from the file's metadata (OME, else ImageJ's or the baseline tags), None if unknown.

    Raises:
        UserError: if the pixels are oblong.
    """
    sizes = _metadata(path, "pixel size", lambda: _sizes_um(tiff))
    return None if sizes is None else square_pixel_um(path, *sizes)


def _sizes_um(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    if tiff.is_ome:
        return _ome_sizes_um(elements(tiff.ome_metadata or "<OME/>", "Pixels"))
    if tiff.is_imagej:
        return _tag_sizes_um(tiff.pages.first, str((tiff.imagej_metadata or {}).get("unit", "")))
    unit = tiff.pages.first.tags.get("ResolutionUnit")
    return _tag_sizes_um(tiff.pages.first, "" if unit is None else getattr(unit.value, "name", ""))


def _z_um(tiff: tifffile.TiffFile, planes: int) -> tuple[float, ...] | None:
    """Focus positions: those of the planes, else multiples of the distance between planes."""
    if tiff.is_ome:
        positions = [
            float(plane.attrib["PositionZ"]) * UM_PER_UNIT[plane.get("PositionZUnit", "").lower()]
            for plane in sorted(
                elements(tiff.ome_metadata or "<OME/>", "Plane"), key=lambda plane: int(plane.get("TheZ", 0))
            )
            if "PositionZ" in plane.attrib
            and plane.get("PositionZUnit", "").lower() in UM_PER_UNIT  # not in OME's default, "reference frame"
            and plane.get("TheC", "0") == plane.get("TheT", "0") == "0"
        ]
        if len(positions) == planes == len(set(positions)):
            return tuple(positions)
        pixels = elements(tiff.ome_metadata or "<OME/>", "Pixels")[0]
        step = float(pixels.get("PhysicalSizeZ", 0)) * UM_PER_UNIT.get(pixels.get("PhysicalSizeZUnit", "µm").lower(), 0)
    else:
        metadata = tiff.imagej_metadata or {}
        step = float(metadata.get("spacing", 0)) * UM_PER_UNIT.get(str(metadata.get("unit", "")).lower(), 0)
    return tuple(step * plane for plane in range(planes)) if step > 0 and planes > 1 else None


def _ome_sizes_um(pixels: list[ElementTree.Element]) -> tuple[float, float] | None:
    """Width and height of a pixel; a file that gives one of them has square pixels."""
    sizes = [
        float(pixels[0].attrib[f"PhysicalSize{axis}"])
        * UM_PER_UNIT.get(pixels[0].get(f"PhysicalSize{axis}Unit", "µm").lower(), 0.0)
        for axis in "XY"
        if pixels and f"PhysicalSize{axis}" in pixels[0].attrib
    ]
    return (sizes[0], sizes[-1]) if sizes and 0.0 not in sizes else None


def _tag_sizes_um(page: tifffile.TiffPage, unit: str) -> tuple[float, float] | None:
    """Pixel size from the baseline resolution tags (pixels per unit, as a fraction)."""
    x, y = page.tags.get("XResolution"), page.tags.get("YResolution")
    scale = UM_PER_UNIT.get(unit.lower())
    if scale is None or x is None or y is None or 0 in (*x.value, *y.value):
        return None
    return scale * x.value[1] / x.value[0], scale * y.value[1] / y.value[0]


def write_image(
    path: str | Path, pixels: np.ndarray, pixel_size_um: float | None = None, z_um: float | None = None
) -> None:
    """Write an (H, W) image in its own data type, and its focus position if known, as a compressed OME-TIFF."""
    if pixels.ndim != 2:
        raise ValueError(f"an image must be (H, W), got {pixels.shape}")
    focus = {} if z_um is None else {"Plane": {"PositionZ": [z_um], "PositionZUnit": ["µm"]}}
    _write(Path(path), pixels, focus, pixel_size_um)


def write_labels(path: str | Path, labels: np.ndarray, pixel_size_um: float | None = None) -> None:
    """Write (H, W) labels as a compressed OME-TIFF: uint16, or uint32 from label 65,536 on."""
    if labels.ndim != 2 or labels.dtype.kind not in "biu" or (labels.size and labels.min() < 0):
        raise ValueError(f"labels must be (H, W) integers >= 0, got {labels.shape} {labels.dtype}")
    largest = int(labels.max(initial=0))
    _write(Path(path), labels.astype(np.uint16 if largest <= 65535 else np.uint32), {}, pixel_size_um)


def write_probability(
    path: str | Path, probability: np.ndarray, names: tuple[str, ...], pixel_size_um: float | None = None
) -> None:
    """Write (H, W, K) class probabilities as a float32 OME-TIFF with axes CYX and the classes as channels."""
    if probability.ndim != 3 or probability.shape[-1] != len(names):
        raise ValueError(f"probability must be (H, W, {len(names)}), got {probability.shape}")
    planes = np.ascontiguousarray(np.moveaxis(probability, -1, 0), dtype=np.float32)
    _write(Path(path), planes, {"Channel": {"Name": list(names)}}, pixel_size_um)


def ome_options(axes: str, metadata: dict, pixel_size_um: float | None) -> dict[str, Any]:
    """Arguments of tifffile's writers for an OME-TIFF of grey planes; `axes` are tifffile's letters."""
    metadata = {"axes": axes, **metadata}
    options: dict[str, Any] = {"ome": True, "photometric": "minisblack", "metadata": metadata}
    if pixel_size_um is not None:
        # ImageJ and Fiji read the tags, everything else the OME-XML: give both.
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": pixel_size_um, f"PhysicalSize{axis}Unit": "µm"}
        options |= {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
    return options


def _write(path: Path, array: np.ndarray, metadata: dict, pixel_size_um: float | None) -> None:
    options = ome_options("CYX"[-array.ndim :], metadata, pixel_size_um)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            tifffile.imwrite(temporary, array, compression="zlib", **options)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report a full disk and similar failures in one line.

    Raises:
        OutputError: for an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
