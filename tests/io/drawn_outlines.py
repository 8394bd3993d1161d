"""Outlines as ImageJ and QuPath write them."""

import json
import zipfile
from pathlib import Path

import numpy as np
import roifile

SHAPE = (40, 37)
SQUARE = [[2, 3], [6, 3], [6, 8], [2, 8]]  # x 2 ... 6, y 3 ... 8
TRIANGLE = [[20, 10], [30, 10], [25, 30]]


def roi(points, **options) -> roifile.ImagejRoi:
    made = roifile.ImagejRoi.frompoints(np.asarray(points))
    for key, value in options.items():
        setattr(made, key, value)
    return made


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def feature(*rings, kind: str = "Polygon", **properties) -> dict:
    coordinates = list(rings) if kind == "Polygon" else rings[0]
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation", **properties}}


def write_geojson(path: Path, *features: dict) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path
