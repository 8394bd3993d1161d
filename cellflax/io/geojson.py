"""Outlines from QuPath and others: GeoJSON with polygons."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.io.rasterise import CellOutline
from cellflax.wholefile import read_content

# JSON takes about 20 times its size in memory.
_MOST_BYTES = 2**26
# What QuPath calls an object with the outline of a cell, or of something that a person drew.
_KINDS = ("annotation", "cell", "detection")
# Classes of QuPath that stand for areas, not for cells.
_AREA_CLASSES = ("ignore", "region", "background")


def read_geojson(path: Path) -> list[CellOutline]:
    """Outlines of a FeatureCollection, a list of features, or one feature; there may be none.

    A feature is a cell: its polygon or polygons, without their holes. The nucleus that QuPath keeps in a cell
    (`nucleusGeometry`) is left out.

    Raises:
        UserError: if the file is damaged or too large, a feature has no area, is no cell, or features lie on several
            planes.
    """
    outlines, planes = [], set()
    for number, feature in enumerate(_features(path, _load(path)), start=1):
        name = f"feature {number}"
        if not isinstance(feature, dict) or not isinstance(geometry := feature.get("geometry"), dict):
            raise UserError(f"{path}: {name} has no geometry; export the cells as GeoJSON again")
        properties = feature.get("properties")
        _require_cell(path, name, properties if isinstance(properties, dict) else {})
        outlines.append(CellOutline(name, tuple(_rings(path, name, geometry))))
        plane = geometry.get("plane")
        if isinstance(plane, dict):
            planes.add(tuple(str(plane.get(axis)) for axis in "czt"))
    if len(planes) > 1:
        raise UserError(
            f"{path}: its outlines lie on {len(planes)} planes of a stack, a label image has one; export one file for "
            "each"
        )
    return outlines


def _load(path: Path) -> Any:
    data = read_content(path, "export fewer cells, or a label image", _MOST_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # Python's limits on digits of a number and on depth, too
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise UserError(f"{path}: damaged, or no GeoJSON ({reason}); export it again") from error


def _features(path: Path, content: Any) -> list[Any]:
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        content = [content]
    if not isinstance(content, list):
        raise UserError(f"{path}: is no GeoJSON FeatureCollection, list of features, or feature; export it again")
    return content


def _require_cell(path: Path, name: str, properties: dict[str, Any]) -> None:
    """Refuse objects that are no cells: tiles, cores, and areas by the name of their class."""
    kind = properties.get("objectType", properties.get("object_type", "annotation"))
    if kind not in _KINDS:
        raise UserError(f"{path}: {name} is a {str(kind)[:50]}, no cell; export cells, detections or annotations alone")
    given = properties.get("classification")
    called = str(given.get("name", "")) if isinstance(given, dict) else ""
    if called.lower().rstrip("*") in _AREA_CLASSES:
        raise UserError(
            f"{path}: {name} has the class {called[:50]}, which is no cell; export the cells alone, and save what is "
            "not annotated as a mask x_ignore.tif"
        )


def _rings(path: Path, name: str, geometry: dict[str, Any]) -> Iterator[np.ndarray]:
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise UserError(
            f"{path}: {name} is a {str(kind)[:50]} and has no area; keep only polygons around cells in the file"
        )
    polygons = [given] if kind == "Polygon" else given
    count = 0
    for polygon in polygons if isinstance(polygons, list) else [None]:
        for ring in polygon if isinstance(polygon, list) else [None]:
            yield _corners(path, name, ring)
            count += 1
    if not count:
        raise _damaged(path, name)


def _corners(path: Path, name: str, ring: Any) -> np.ndarray:
    """(n, 2) x and y of a ring."""
    try:
        corners = np.asarray(ring)
    except (ValueError, TypeError, OverflowError) as error:  # rows of different lengths
        raise _damaged(path, name) from error
    if corners.dtype.kind not in "iuf" or corners.ndim != 2 or corners.shape[1] not in (2, 3) or len(corners) < 3:
        raise _damaged(path, name)
    return corners[:, :2].astype(float)


def _damaged(path: Path, name: str) -> UserError:
    return UserError(f"{path}: {name} has no rings of at least 3 corners (x, y); export it again")
