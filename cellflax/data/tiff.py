"""TIFF in and out: axes and pixel size are read from the file's own metadata and written back."""

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from cellflax.errors import UserError

_UM_PER_UNIT = {
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer"), 1.0),
    **dict.fromkeys(("nm", "nanometer"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("in", "inch"), 2.54e4),
    "m": 1e6,
}
# Plain resolution tags often hold a screen's 72 dpi or the camera's own 6.5 um pixel, not the sample's.
_PLAUSIBLE_UM = (0.01, 5.0)
# An axis that the file leaves unnamed is read as channels if it is this short, else refused as a stack.
_MOST_UNNAMED_CHANNELS = 5
_ALPHA = {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA}


def read_tiff(path: Path) -> tuple[np.ndarray, tuple[str, ...], float | None]:
    """Pixels (H, W, C), channel names and pixel size in um of a TIFF, OME-TIFF or ImageJ TIFF.

    Raises:
        UserError: for an axis other than rows, columns and channels, several images, or oblong pixels.
    """
    with tifffile.TiffFile(path) as tiff:
        first = tiff.series[0]
        if sum(series.shape == first.shape for series in tiff.series) > 1:
            raise UserError(f"{path}: holds {len(tiff.series)} images (positions or scenes); export one per file")
        pixels = _to_yxc(path, first.asarray(), first.axes)
        if first.keyframe.extrasamples and first.keyframe.extrasamples[-1] in _ALPHA:
            pixels = pixels[..., :-1]
        names = _channel_names(tiff, pixels.shape[-1])
        return pixels, names, _pixel_size_um(path, tiff)


def _to_yxc(path: Path, array: np.ndarray, axes: str) -> np.ndarray:
    """Array in the order rows, columns, channels; `axes` are tifffile's letters, one per dimension."""
    unnamed = [axis for axis in axes if axis in "QI"]
    if array.ndim == 3 and len(unnamed) == 1 and "C" not in axes:
        channels_last = array.shape[-1] <= _MOST_UNNAMED_CHANNELS < min(array.shape[:-1])
        if channels_last:
            axes = "YXC"
        elif array.shape[axes.index(unnamed[0])] <= _MOST_UNNAMED_CHANNELS:
            axes = axes.replace(unnamed[0], "C")
    for axis, length in zip(axes, array.shape, strict=True):
        if axis not in "YXCS" and length > 1:
            raise UserError(
                f"{path}: {length} planes along {axis} (axes {axes}, shape {array.shape}) are not supported; "
                "save single planes with their channels, one file each"
            )
    array = array[tuple(slice(None) if axis in "YXCS" else 0 for axis in axes)]
    axes = "".join(axis for axis in axes if axis in "YXCS")
    order = [axes.index(axis) for axis in "YXCS" if axis in axes]
    return array.transpose(order).reshape(*(array.shape[axes.index(axis)] for axis in "YX"), -1)


def _channel_names(tiff: tifffile.TiffFile, count: int) -> tuple[str, ...]:
    names: list[str] = []
    if tiff.is_ome:
        names = [channel.get("Name", "") for channel in _ome_elements(tiff, "Channel")]
    elif tiff.imagej_metadata and tiff.imagej_metadata.get("Labels"):
        names = list(tiff.imagej_metadata["Labels"])
    if len(names) == count and all(names) and len(set(names)) == count:
        return tuple(names)
    return default_channel_names(count)


def default_channel_names(count: int) -> tuple[str, ...]:
    """Names of channels that a file does not name: red, green, blue for three, else channel_0, ..."""
    return ("red", "green", "blue") if count == 3 else tuple(f"channel_{i}" for i in range(count))


def _ome_elements(tiff: tifffile.TiffFile, tag: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(tiff.ome_metadata or "<OME/>")
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == tag]


def _pixel_size_um(path: Path, tiff: tifffile.TiffFile) -> float | None:
    if tiff.is_ome:
        sizes = _ome_sizes_um(_ome_elements(tiff, "Pixels"))
    elif tiff.is_imagej:
        sizes = _tag_sizes_um(tiff.pages.first, str((tiff.imagej_metadata or {}).get("unit", "")))
    else:
        unit = tiff.pages.first.tags.get("ResolutionUnit")
        sizes = _tag_sizes_um(tiff.pages.first, "" if unit is None else getattr(unit.value, "name", ""))
        if sizes and not all(_PLAUSIBLE_UM[0] <= size <= _PLAUSIBLE_UM[1] for size in sizes):
            return None
    if sizes is None:
        return None
    x, y = sizes
    if abs(x - y) > 0.01 * max(x, y):
        raise UserError(f"{path}: pixels are {x:g} x {y:g} um; resample the image to square pixels")
    return x


def _ome_sizes_um(pixels: list[ElementTree.Element]) -> tuple[float, float] | None:
    if not pixels or "PhysicalSizeX" not in pixels[0].attrib:
        return None
    x_um, y_um = (
        float(pixels[0].get(f"PhysicalSize{axis}", pixels[0].attrib["PhysicalSizeX"]))
        * _UM_PER_UNIT.get(pixels[0].get(f"PhysicalSize{axis}Unit", "µm").lower(), 0.0)
        for axis in "XY"
    )
    return (x_um, y_um) if x_um > 0 and y_um > 0 else None


def _tag_sizes_um(page: tifffile.TiffPage, unit: str) -> tuple[float, float] | None:
    """Pixel size from the baseline resolution tags (pixels per unit, as a fraction)."""
    x, y = page.tags.get("XResolution"), page.tags.get("YResolution")
    scale = _UM_PER_UNIT.get(unit.lower())
    if scale is None or x is None or y is None or 0 in (*x.value, *y.value):
        return None
    return scale * x.value[1] / x.value[0], scale * y.value[1] / y.value[0]


def write_image(path: str | Path, pixels: np.ndarray, pixel_size_um: float | None = None) -> None:
    """Write an (H, W) image in its own data type as a compressed OME-TIFF."""
    if pixels.ndim != 2:
        raise ValueError(f"an image must be (H, W), got {pixels.shape}")
    _write(Path(path), pixels, {}, pixel_size_um)


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


def _write(path: Path, array: np.ndarray, metadata: dict, pixel_size_um: float | None) -> None:
    """Write beside the target, then rename: a reader never meets half a file."""
    options: dict = {"metadata": {"axes": "CYX"[-array.ndim :], **metadata}}
    if pixel_size_um is not None:
        # ImageJ and Fiji read the tags, everything else the OME-XML: give both.
        for axis in "XY":
            options["metadata"] |= {f"PhysicalSize{axis}": pixel_size_um, f"PhysicalSize{axis}Unit": "µm"}
        options |= {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(temporary, array, ome=True, compression="zlib", photometric="minisblack", **options)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
