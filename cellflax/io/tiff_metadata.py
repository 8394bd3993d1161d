"""What the metadata of a TIFF say of one of its images: OME-XML, ImageJ's, MetaMorph's (STK), Zeiss's (LSM), tags."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from cellflax.errors import UserError
from cellflax.io.movie_time import ome_times_s, tiff_times_s
from cellflax.io.notices import warn
from cellflax.io.ome import children, images_of
from cellflax.io.stack import UM_PER_UNIT, NamesFrom, default_channel_names, square_pixel_um


class TiffMetadata:
    """Metadata of one image of a TIFF.

    Args:
        path: the file.
        tiff: the same, open.
        series: the image.
    """

    def __init__(self, path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries):
        self._path, self._tiff, self._page = path, tiff, series.keyframe
        count, number = len(tiff.series), next(i for i, other in enumerate(tiff.series) if other is series)
        self._image: ElementTree.Element | None = None
        if tiff.is_ome:
            images = self._known("metadata", lambda: images_of(tiff.ome_metadata or "<OME/>")) or []
            if len(images) == count:
                self._image = images[number]
            elif images:
                warn(f"{path}: its OME metadata describe {len(images)} images of {count}; they are ignored")

    def name(self) -> str:
        """The name of the image, "" where the file gives none."""
        return "" if self._image is None else self._image.get("Name", "")

    def channel_names(self, count: int, colours: bool) -> tuple[tuple[str, ...], NamesFrom]:
        """Names of the channels, and where they come from.

        Channels that the file leaves unnamed beside others that it names are channel_0, ... by their place.

        Args:
            count: number of channels.
            colours: whether they are colours of a picture, unless the file names them.
        """
        names = self._known("channel names", self._names) or []
        names = [name or f"channel_{i}" for i, name in enumerate(names)] if any(names) else []
        if len(names) == len(set(names)) == count:
            return tuple(names), "file"
        return default_channel_names(count), "colours" if colours else "default"

    def pixel_size_um(self) -> float | None:
        """Edge of a pixel, None if unknown.

        Raises:
            UserError: if pixels are oblong.
        """
        sizes = self._known("pixel size", self._sizes_um)
        return None if sizes is None else square_pixel_um(self._path, *sizes)

    def z_um(self, planes: int) -> tuple[float, ...] | None:
        """Focus positions: those of the planes, else multiples of the distance between planes."""
        return self._known("focus positions", lambda: self._focus_um(planes))

    def times_s(self, n_frames: int) -> np.ndarray | None:
        """(T,) times of the frames in seconds, None if unknown."""
        with np.errstate(invalid="ignore"):  # an infinite interval
            times_s = self._known("times", lambda: self._times_s(n_frames))
        if times_s is not None and not np.isfinite(times_s).all():
            warn(f"{self._path}: its times are no numbers; unknown")
            return None
        return times_s

    def _known[T](self, what: str, read: Callable[[], T | None]) -> T | None:
        """A value of the metadata; one that cannot be read is unknown, and does not spoil the pixels."""
        try:
            return read()
        except UserError:
            raise
        except Exception as error:  # metadata may hold anything
            warn(f"{self._path}: its {what} cannot be read ({str(error) or type(error).__name__}); unknown")
            return None

    def source(self) -> str:
        """What the metadata are written in."""
        tiff = self._tiff
        flags = {"OME": tiff.is_ome, "ImageJ": tiff.is_imagej, "MetaMorph": tiff.is_stk, "LSM": tiff.is_lsm}
        return next((name for name, is_it in flags.items() if is_it), "TIFF tags")

    def _pixels(self) -> ElementTree.Element | None:
        return None if self._image is None else next(iter(children(self._image, "Pixels")), None)

    def _names(self) -> list[str]:
        if self._tiff.is_ome:
            pixels = self._pixels()
            return [] if pixels is None else [channel.get("Name", "") for channel in children(pixels, "Channel")]
        if self._tiff.is_lsm:
            colours: Any = (self._tiff.lsm_metadata or {}).get("ChannelColors") or {}
            return [str(name) for name in colours.get("ColorNames", [])]
        labels = (self._tiff.imagej_metadata or {}).get("Labels") if self._tiff.is_imagej else None
        return [str(label) for label in labels or []]

    def _sizes_um(self) -> tuple[float, float] | None:
        tiff = self._tiff
        page = self._page
        if tiff.is_ome:
            pixels = self._pixels()
            return None if pixels is None else _ome_sizes_um(pixels)
        if tiff.is_lsm:
            metadata: dict[str, Any] = tiff.lsm_metadata or {}  # in metres
            sizes = [1e6 * float(metadata.get(f"VoxelSize{axis}", 0)) for axis in "XY"]
            return (sizes[0], sizes[1]) if all(sizes) else None
        if tiff.is_stk:
            metadata = tiff.stk_metadata or {}
            scale = UM_PER_UNIT.get(_stk_unit(metadata))
            sizes = [float(metadata.get(f"{axis}Calibration", 0)) for axis in "XY"]
            known = scale is not None and metadata.get("SpatialCalibration", True) and all(sizes)
            return (scale * sizes[0], scale * sizes[1]) if known and scale else None
        if tiff.is_imagej:
            return _tag_sizes_um(page, str((tiff.imagej_metadata or {}).get("unit", "")))
        unit = page.tags.get("ResolutionUnit")
        return _tag_sizes_um(page, "" if unit is None else getattr(unit.value, "name", ""))

    def _focus_um(self, planes: int) -> tuple[float, ...] | None:
        step = 0.0
        pixels = self._pixels()
        if pixels is not None:
            positions = [
                float(plane.attrib["PositionZ"]) * UM_PER_UNIT[plane.get("PositionZUnit", "").lower()]
                for plane in sorted(children(pixels, "Plane"), key=lambda plane: int(plane.get("TheZ", 0)))
                if "PositionZ" in plane.attrib
                and plane.get("PositionZUnit", "").lower() in UM_PER_UNIT  # not in OME's default, "reference frame"
                and plane.get("TheC", "0") == plane.get("TheT", "0") == "0"
            ]
            if len(positions) == planes == len(set(positions)):
                return tuple(positions)
            unit = UM_PER_UNIT.get(pixels.get("PhysicalSizeZUnit", "µm").lower(), 0)
            step = float(pixels.get("PhysicalSizeZ", 0)) * unit
        elif self._tiff.is_lsm:
            step = 1e6 * float((self._tiff.lsm_metadata or {}).get("VoxelSizeZ", 0))
        elif self._tiff.is_stk:
            metadata = self._tiff.stk_metadata or {}
            steps = np.asarray(metadata.get("ZDistance", []), float)  # in the unit of the pixel size
            if len(steps) == planes and UM_PER_UNIT.get(_stk_unit(metadata)) == 1 and (steps > 0).all():
                return tuple(np.concatenate([[0.0], np.cumsum(steps[:-1])]).tolist()) if planes > 1 else None
        elif self._tiff.is_imagej:
            metadata = self._tiff.imagej_metadata or {}
            step = float(metadata.get("spacing", 0)) * UM_PER_UNIT.get(str(metadata.get("unit", "")).lower(), 0)
        return tuple(step * plane for plane in range(planes)) if step > 0 and planes > 1 else None

    def _times_s(self, n_frames: int) -> np.ndarray | None:
        if self._tiff.is_ome:
            pixels = self._pixels()
            return None if pixels is None else ome_times_s(self._path, pixels, n_frames)
        return tiff_times_s(self._tiff, n_frames)


def _stk_unit(metadata: dict[str, Any]) -> str:
    return str(metadata.get("CalibrationUnits", "")).lower().strip("\0 ")


def _ome_sizes_um(pixels: ElementTree.Element) -> tuple[float, float] | None:
    """Width and height of a pixel; a file that gives one of them has square pixels."""
    sizes = [
        float(pixels.attrib[f"PhysicalSize{axis}"])
        * UM_PER_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower(), 0.0)
        for axis in "XY"
        if f"PhysicalSize{axis}" in pixels.attrib
    ]
    return (sizes[0], sizes[-1]) if sizes and 0.0 not in sizes else None


def _tag_sizes_um(page: tifffile.TiffPage, unit: str) -> tuple[float, float] | None:
    """Pixel size from the baseline resolution tags (pixels per unit, as a fraction)."""
    x, y = page.tags.get("XResolution"), page.tags.get("YResolution")
    scale = UM_PER_UNIT.get(unit.lower())
    if scale is None or x is None or y is None or 0 in (*x.value, *y.value):
        return None
    return scale * x.value[1] / x.value[0], scale * y.value[1] / y.value[0]
