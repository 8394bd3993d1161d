"""Outlines of cells in place of label images: ImageJ ROIs and GeoJSON."""

from pathlib import Path

import numpy as np

from cellflax.io.geojson import read_geojson
from cellflax.io.rasterise import rasterise
from cellflax.io.rois import holds_rois, read_rois

_ROIS = (".zip", ".roi")
_GEOJSON = (".geojson", ".json")


def has_outlines(path: str | Path) -> bool:
    """Whether a file is one of outlines, by its suffix."""
    return Path(path).suffix.lower() in (*_ROIS, *_GEOJSON)


def counts_in_folders(path: Path) -> bool:
    """Whether a file beside images is taken for outlines without being named: JSON and other archives are not."""
    suffix = path.suffix.lower()
    return path.is_file() and (suffix in (".roi", ".geojson") or (suffix == ".zip" and holds_rois(path)))


def read_outlines(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Cells of a file of outlines as a label image, (H, W) int32, numbered from 1 in the order of the file.

    Args:
        path: `.zip` or `.roi` of ImageJ, `.geojson` or `.json`.
        shape: height and width of their image.

    Raises:
        UserError: as `read_rois`, `read_geojson` and `rasterise`.
    """
    path = Path(path)
    outlines = read_rois(path) if path.suffix.lower() in _ROIS else read_geojson(path)
    return rasterise(outlines, shape, path)
