"""Outlines of cells in place of label images: ImageJ ROIs and GeoJSON."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cellflax.io.geojson import read_geojson
from cellflax.io.rasterise import CellOutline, rasterise
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


def read_outlines(path: str | Path, shape: tuple[int, int], frame: int | None = None) -> np.ndarray:
    """Cells of a file of outlines as a label image, (H, W) int32.

    They are numbered from 1 in the order of the file. Those that cellflax exported keep the numbers that they had, as
    long as each outline has one of its own.

    Args:
        path: `.zip` or `.roi` of ImageJ, `.geojson` or `.json`.
        shape: height and width of their image.
        frame: of the outlines of a movie, those of this frame, from 0. Without it, a file with outlines on several
            frames is refused.

    Raises:
        UserError: as `read_rois`, `read_geojson` and `rasterise`.
    """
    path = Path(path)
    outlines = read_rois(path, frame) if path.suffix.lower() in _ROIS else read_geojson(path, frame)
    return _numbered(rasterise(outlines, shape, path), outlines)


def _numbered(labels: np.ndarray, outlines: Sequence[CellOutline]) -> np.ndarray:
    """A label image with the outlines' own numbers in place of 1, 2, ..., if all have different ones."""
    numbers = [outline.label for outline in outlines if outline.label is not None]
    if not numbers or len(set(numbers)) < len(outlines):  # outlines were drawn or copied since
        return labels
    return np.array([0, *numbers], np.int32)[labels]
