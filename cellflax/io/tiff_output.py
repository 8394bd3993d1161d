"""TIFFs that cellflax writes: axes and pixel size are in their metadata, and the same pixels give the same bytes."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cellflax.atomic import replacing
from cellflax.errors import OutputError


def write_image(
    path: str | Path, pixels: np.ndarray, pixel_size_um: float | None = None, z_um: float | None = None
) -> None:
    """Write an (H, W) image in its own data type, and its focus position if known, as a compressed OME-TIFF."""
    if pixels.ndim != 2:
        raise ValueError(f"an image must be (H, W), got {pixels.shape}")
    focus = {} if z_um is None else {"Plane": {"PositionZ": [z_um], "PositionZUnit": ["µm"]}}
    _write(Path(path), pixels, focus, pixel_size_um)


def write_channels(
    path: str | Path, pixels: np.ndarray, channels: tuple[str, ...], pixel_size_um: float | None = None
) -> None:
    """Write (H, W, C) channels with their names in their own data type, as a compressed OME-TIFF with axes CYX."""
    if pixels.ndim != 3 or pixels.shape[-1] != len(channels):
        raise ValueError(f"pixels must be (H, W, {len(channels)}), got {pixels.shape}")
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    _write(Path(path), planes, {"Channel": {"Name": list(channels)}}, pixel_size_um)


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


def ome_options(axes: str, metadata: dict, pixel_size_um: float | None, content: bytes) -> dict[str, Any]:
    """Arguments of tifffile's writers for an OME-TIFF of grey planes.

    Args:
        axes: tifffile's letters.
        metadata: what else tifffile writes to the OME-XML.
        pixel_size_um: edge of a pixel, if known.
        content: a digest of the pixels, or what else tells this file from others. The file's UUID is made from it:
            tifffile's own holds the time and the machine's network address.
    """
    identity = hashlib.sha1(repr((axes, metadata, pixel_size_um)).encode() + content, usedforsecurity=False)
    metadata = {"axes": axes, "UUID": str(uuid.UUID(bytes=identity.digest()[:16], version=5)), **metadata}
    options: dict[str, Any] = {"ome": True, "photometric": "minisblack", "metadata": metadata}
    if pixel_size_um is not None:
        # ImageJ and Fiji read the tags, everything else the OME-XML: give both.
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": pixel_size_um, f"PhysicalSize{axis}Unit": "µm"}
        options |= {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
    return options


def digest(pixels: np.ndarray) -> bytes:
    """A digest of an image: of its shape, type and values."""
    start = f"{pixels.shape} {pixels.dtype}".encode()
    found = hashlib.sha1(start, usedforsecurity=False)
    found.update(np.ascontiguousarray(pixels).data)
    return found.digest()


def _write(path: Path, array: np.ndarray, metadata: dict, pixel_size_um: float | None) -> None:
    options = ome_options("CYX"[-array.ndim :], metadata, pixel_size_um, digest(array))
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
