"""OME-Zarr images as `ome-zarr` writes them, and ways to change what is stored."""

import json
from pathlib import Path

import numpy as np
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image
from ome_zarr_models.common.omero import Omero

from cellflax.io.readers import open_scene
from cellflax.io.scene import Scene

FORMATS = {"0.4": FormatV04(), "0.5": FormatV05()}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
SCALE = {"t": 180.0, "c": 1.0, "z": 0.5, "y": 0.2, "x": 0.2}


def pixels(*shape: int) -> np.ndarray:
    """Pixels that all differ from their neighbours."""
    return np.random.default_rng(0).integers(1, 60_000, shape).astype(np.uint16)


def write(folder: Path, array: np.ndarray, axes: str, version: str = "0.5", **options) -> Path:
    """Write an image with two copies of less resolution."""
    options = {"scale": {axis: SCALE[axis] for axis in axes}, "scale_factors": [2, 4]} | options
    options.setdefault("axes_units", {axis: UNITS[axis] for axis in axes if axis in UNITS})
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if version == "0.4" else 3)
    write_image(array, group, axes=axes, fmt=FORMATS[version], **options)
    return folder


def omero(*names: str) -> Omero:
    window = {"start": 0, "end": 1, "min": 0, "max": 1}
    return Omero.model_validate({"channels": [{"label": n, "color": "FF0000", "window": window} for n in names]})


def change(folder: Path, edit) -> Path:
    """Edit the OME metadata of a group."""
    file = folder / "zarr.json" if (folder / "zarr.json").exists() else folder / ".zattrs"
    content = json.loads(file.read_text())
    edit(content["attributes"]["ome"] if file.name == "zarr.json" else content)
    file.write_text(json.dumps(content))
    return folder


def array_of(folder: Path) -> Path:
    """The metadata of the array of full resolution."""
    return next(file for file in (folder / "s0/zarr.json", folder / "s0/.zarray") if file.exists())


def change_array(folder: Path, **values) -> Path:
    file = array_of(folder)
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


def chunks_of(folder: Path) -> list[Path]:
    return sorted(
        file for file in (folder / "s0").rglob("*") if file.is_file() and not file.name.startswith((".z", "z"))
    )


def scene(path: Path) -> Scene:
    with open_scene(path) as opened:
        return opened
