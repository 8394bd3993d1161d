"""OME-Zarr 0.5 and 0.4 that cellflax writes: an image with its cells as labels, in copies of less resolution.

TensorStore writes the arrays, and `yaozarrs` checks the metadata. https://ngff.openmicroscopy.org/0.5
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from cellflax.atomic import new_directory
from cellflax.errors import OutputError
from cellflax.io.movie_time import TimeAxis
from cellflax.io.tiff_output import writing
from cellflax.io.zarr_metadata import validated

CELLS = "cells"  # name of the labels within the image
CHUNK_PX = 1024  # largest edge of a chunk
_SMALLEST_PX = 512  # an image whose longer edge has no more than this gets no smaller copy


@dataclass(frozen=True)
class ZarrLayout:
    """What an OME-Zarr will hold.

    Attributes:
        height: rows.
        width: columns.
        channels: names of the channels.
        dtype: type of the image's values.
        label_dtype: type of the labels, an integer.
        time: frames of a movie; None for an image.
        pixel_size_um: edge of a pixel, if known.
        version: of OME-Zarr, "0.5" or "0.4".
        name: of the image.
    """

    height: int
    width: int
    channels: tuple[str, ...]
    dtype: np.dtype
    label_dtype: np.dtype
    time: TimeAxis | None
    pixel_size_um: float | None
    version: str
    name: str

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of the image and of each smaller copy."""
        found = [(self.height, self.width)]
        while max(found[-1]) > _SMALLEST_PX:
            found.append((math.ceil(found[-1][0] / 2), math.ceil(found[-1][1] / 2)))
        return found


class OmeZarrWriter:
    """Writes frames to an OME-Zarr; see `writing_ome_zarr`."""

    def __init__(self, folder: Path, layout: ZarrLayout):
        self._layout = layout
        labels, channels = folder / "labels" / CELLS, len(layout.channels)
        self._image = [
            create_array(_kvstore(folder / str(i)), layout, layout.dtype, size, channels)
            for i, size in enumerate(layout.sizes)
        ]
        self._labels = [
            create_array(_kvstore(labels / str(i)), layout, layout.label_dtype, size)
            for i, size in enumerate(layout.sizes)
        ]
        self._low = np.full(len(layout.channels), math.inf)
        self._high = np.full(len(layout.channels), -math.inf)

    def write(self, t: int, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Write a frame.

        Args:
            t: its number; 0 for an image.
            pixels: (H, W, C) of the image's type.
            labels: (H, W) integers, 0 = background.
        """
        finite = np.where(np.isfinite(pixels), pixels, np.nan) if pixels.dtype.kind == "f" else pixels
        if not np.isnan(finite).all():
            self._low = np.minimum(self._low, np.nanmin(finite, axis=(0, 1)))
            self._high = np.maximum(self._high, np.nanmax(finite, axis=(0, 1)))
        planes, cells = np.moveaxis(pixels, -1, 0), labels[None]
        for i, (image, label) in enumerate(zip(self._image, self._labels, strict=True)):
            if i:
                planes, cells = _halved(planes), cells[:, ::2, ::2]  # of four labels one; their mean means nothing
            self._store(image, t, planes)
            self._store(label, t, cells)

    def _store(self, array: tensorstore.TensorStore, t: int, planes: np.ndarray) -> None:
        target = array if self._layout.time is None else array[t]
        try:
            for c, plane in enumerate(planes):
                target[c].write(plane.astype(array.dtype.numpy_dtype)).result()
        except ValueError as error:  # so TensorStore reports a full disk, too
            reason = str(error).split(" [")[0].splitlines()[0][:200]
            raise OutputError(f"{self._layout.name}: the OME-Zarr cannot be written ({reason})") from error

    def windows(self) -> list[tuple[float, float]]:
        """Lowest and highest value of each channel; 0 and 1 where there is no finite value."""
        ends = zip(self._low.tolist(), self._high.tolist(), strict=True)
        return [(low, high) if math.isfinite(low) else (0.0, 1.0) for low, high in ends]


@contextmanager
def writing_ome_zarr(path: Path, layout: ZarrLayout) -> Iterator[OmeZarrWriter]:
    """Write an image with its labels `labels/cells`; the folder appears, complete, when the block ends.

    Each copy has half the resolution: means of the image's pixels, and of the labels every second row and column.
    Sizes and times are given only where they are known; an axis without a unit is in pixels or frames. Frames that are
    not written are 0.

    Args:
        path: the folder, which must not exist.
        layout: what it will hold.

    Raises:
        UserError: if the folder exists.
        OutputError: if it cannot be written.
    """
    with writing(path), new_directory(path) as folder:
        writer = OmeZarrWriter(folder, layout)
        yield writer
        of_cells = multiscale(layout, is_image=False)
        validated(path, "Multiscale", of_cells, layout.version)
        of_image = {"multiscales": [multiscale(layout, is_image=True)], "omero": _omero(layout, writer.windows())}
        validated(path, "Image", of_image, layout.version)
        label = {"source": {"image": "../../"}}
        if layout.version == "0.4":
            label = {"version": "0.4", **label}
        _write_group(folder, of_image, layout.version)
        _write_group(folder / "labels", {"labels": [CELLS]}, layout.version)
        _write_group(folder / "labels" / CELLS, {"multiscales": [of_cells], "image-label": label}, layout.version)


def ome_zarr_record(version: str) -> str:
    """A file that every OME-Zarr of a version has."""
    return ".zattrs" if version == "0.4" else "zarr.json"


def _axes(layout: ZarrLayout) -> list[dict[str, str]]:
    seconds = {} if _interval_s(layout) is None else {"unit": "second"}
    micrometres = {} if layout.pixel_size_um is None else {"unit": "micrometer"}
    time = [] if layout.time is None else [{"name": "t", "type": "time", **seconds}]
    space = [{"name": name, "type": "space", **micrometres} for name in "yx"]
    return [*time, {"name": "c", "type": "channel"}, *space]


def _interval_s(layout: ZarrLayout) -> float | None:
    """The time between all frames, if it is known and the same."""
    return None if layout.time is None else layout.time.ome_metadata().get("TimeIncrement")


def multiscale(layout: ZarrLayout, *, is_image: bool) -> dict[str, Any]:
    """The metadata of an image, or of its labels, and their copies of less resolution."""
    interval_s, size = _interval_s(layout), layout.pixel_size_um or 1.0
    before = [1.0] if layout.time is None else [1.0 if interval_s is None else interval_s, 1.0]
    datasets = []
    for i in range(len(layout.sizes)):
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [*before, size * 2**i, size * 2**i]}]
        if is_image and i:  # a mean is of the middle of its pixels
            middle = size * (2**i - 1) / 2
            steps.append({"type": "translation", "translation": [*(0.0 for _ in before), middle, middle]})
        datasets.append({"path": str(i), "coordinateTransformations": steps})
    name = layout.name if is_image else CELLS
    version = {"version": "0.4"} if layout.version == "0.4" else {}
    return {**version, "name": name, "axes": _axes(layout), "datasets": datasets}


def _omero(layout: ZarrLayout, windows: list[tuple[float, float]]) -> dict[str, Any]:
    channels = [
        {
            "label": label,
            "color": "FFFFFF",
            "active": i < 3,
            "window": {"start": low, "end": high, "min": low, "max": high},
        }
        for i, (label, (low, high)) in enumerate(zip(layout.channels, windows, strict=True))
    ]
    version = {"version": "0.4"} if layout.version == "0.4" else {}
    return {**version, "channels": channels}


def _write_group(folder: Path, content: dict[str, Any], version: str) -> None:
    if version == "0.4":
        (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}), encoding="utf-8")
        (folder / ".zattrs").write_text(json.dumps(content, indent=1), encoding="utf-8")
        return
    attributes = {"ome": {"version": version, **content}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (folder / "zarr.json").write_text(json.dumps(group, indent=1), encoding="utf-8")


def _kvstore(folder: Path) -> dict[str, Any]:
    return {"driver": "file", "path": f"{folder.absolute()}/"}


def create_array(
    kvstore: dict[str, Any],
    layout: ZarrLayout,
    dtype: np.dtype,
    size: tuple[int, int],
    channels: int = 1,
    chunk_px: int = CHUNK_PX,
) -> tensorstore.TensorStore:
    """Make the array of an image or of labels, or of a copy of less resolution.

    Args:
        kvstore: TensorStore's description of its folder.
        layout: what the OME-Zarr will hold.
        dtype: type of the values.
        size: height and width.
        channels: number of channels.
        chunk_px: largest edge of a chunk.

    Raises:
        ValueError: if it exists, or cannot be written.
    """
    before = [] if layout.time is None else [layout.time.n_frames]
    shape = [*before, channels, *size]
    chunk = [*(1 for _ in before), 1, *(min(n, chunk_px) for n in size)]
    metadata: dict[str, Any] = {"shape": shape, "fill_value": False if dtype.kind == "b" else 0}
    if layout.version == "0.4":
        driver = "zarr"
        metadata |= {
            "chunks": chunk,
            "dtype": dtype.newbyteorder("<").str,
            "dimension_separator": "/",
            "compressor": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1},
        }
    else:
        driver = "zarr3"
        codecs = [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 3}},
        ]
        metadata |= {
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "data_type": dtype.name,
            "codecs": codecs,
            "dimension_names": [axis["name"] for axis in _axes(layout)],
        }
    spec = {
        "driver": driver,
        "kvstore": kvstore,
        "metadata": metadata,
        # A missing chunk looks like one that was lost in copying.
        "store_data_equal_to_fill_value": True,
    }
    return tensorstore.open(spec, create=True, open=False).result()


def _halved(planes: np.ndarray) -> np.ndarray:
    """(C, H, W) at half the resolution, by means of 2 x 2 pixels; an odd last row or column counts twice."""
    height, width = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    blocks = padded.reshape(len(planes), math.ceil(height / 2), 2, math.ceil(width / 2), 2)
    means = blocks.mean(axis=(2, 4), dtype=np.float64)
    return (np.rint(means) if planes.dtype.kind in "biu" else means).astype(planes.dtype)
