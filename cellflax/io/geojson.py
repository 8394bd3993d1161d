"""Outlines from and for QuPath and others: GeoJSON with polygons."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.atomic import replacing
from cellflax.errors import UserError
from cellflax.io.cell_polygons import CellPolygon
from cellflax.io.rasterise import LARGEST_LABEL, CellOutline
from cellflax.io.tiff_output import writing
from cellflax.wholefile import read_content

# JSON takes about 20 times its size in memory.
_MOST_BYTES = 2**26
# What QuPath calls an object with the outline of a cell, or of something that a person drew.
_KINDS = ("annotation", "cell", "detection")
# Classes of QuPath that stand for areas, not for cells.
_AREA_CLASSES = ("ignore", "region", "background")
_LABEL = "cellflax_label"  # in `metadata` of a feature, which QuPath keeps: the number of the cell


@dataclass(frozen=True)
class CellProperties:
    """What a feature says of a cell besides its outline.

    Attributes:
        measurements: numbers by name; those that are not finite are left out.
        cell_type: name of its class, None for none.
    """

    measurements: Mapping[str, float]
    cell_type: str | None = None


def write_geojson(
    path: Path,
    frames: Iterable[list[CellPolygon]],
    properties: Callable[[int, int], CellProperties],
    movie: bool = False,
) -> None:
    """Write cells as a FeatureCollection that QuPath imports; one without features if there are none.

    Coordinates are pixels, from (0, 0) at the upper left of the image. Outer rings and holes have the directions of
    RFC 7946, and a cell of several parts is a MultiPolygon.

    Args:
        path: the target; a reader sees the old file or the new.
        frames: the cells of each frame in turn; of an image, of one.
        properties: from the number of a frame and a label to what is said of the cell.
        movie: whether they are frames of a movie, which features have as their plane `t`, from 0.

    Raises:
        OutputError: if it cannot be written.
    """
    with writing(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for t, cells in enumerate(frames):
            for cell in cells:
                feature = _feature(cell, properties(t, cell.label), t if movie else None)
                file.write(separator + json.dumps(feature, allow_nan=False))
                separator = ",\n"
        file.write("\n]}\n")


def _feature(cell: CellPolygon, known: CellProperties, t: int | None) -> dict[str, Any]:
    polygons = [[[*ring.tolist(), ring[0].tolist()] for ring in part] for part in cell.parts]
    single = len(polygons) == 1
    geometry = {"type": "Polygon" if single else "MultiPolygon", "coordinates": polygons[0] if single else polygons}
    plane = {} if t is None else {"plane": {"c": -1, "z": 0, "t": t}}
    numbers = {name: float(value) for name, value in known.measurements.items() if np.isfinite(value)}
    properties: dict[str, Any] = {"objectType": "cell", "name": f"cell {cell.label}"}
    if known.cell_type is not None:
        properties["classification"] = {"name": known.cell_type}
    properties |= {"measurements": numbers, "metadata": {_LABEL: str(cell.label)}}
    return {"type": "Feature", "geometry": {**geometry, **plane}, "properties": properties}


def read_geojson(path: Path, frame: int | None = None) -> list[CellOutline]:
    """Outlines of a FeatureCollection, a list of features, or one feature; there may be none.

    A feature is a cell: its polygon or polygons, without their holes. The nucleus that QuPath keeps in a cell
    (`nucleusGeometry`) is left out.

    Args:
        path: the file.
        frame: of a movie's features, those of this frame, from 0; features on no plane are in all.

    Raises:
        UserError: if the file is damaged or too large, a feature has no area, is no cell, or features lie on several
            planes (without `frame`, on several frames).
    """
    outlines, planes = [], set()
    for number, feature in enumerate(_features(path, _load(path)), start=1):
        name = f"feature {number}"
        if not isinstance(feature, dict) or not isinstance(geometry := feature.get("geometry"), dict):
            raise UserError(f"{path}: {name} has no geometry; export the cells as GeoJSON again")
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        _require_cell(path, name, properties)
        plane = geometry.get("plane")
        t = plane.get("t") if isinstance(plane, dict) else None
        t = t if isinstance(t, int) else None
        if frame is not None and t is not None and t != frame:
            continue
        outlines.append(CellOutline(name, tuple(_rings(path, name, geometry)), _label(properties), t))
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


def _label(properties: dict[str, Any]) -> int | None:
    """The number that cellflax gave the cell, if the feature still says."""
    metadata = properties.get("metadata")
    given = str(metadata.get(_LABEL, "")) if isinstance(metadata, dict) else ""
    whole = len(given) <= 10 and given.isascii() and given.isdecimal()
    return int(given) if whole and 0 < int(given) <= LARGEST_LABEL else None


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
