"""Small valid files of vendors' formats, and of outlines."""

import json
import zipfile
from pathlib import Path

import numpy as np
import roifile

from tests.io.czi_files import czi_xml, tile, write_czi
from tests.io.lif_files import LifImage, write_lif
from tests.io.nd2_files import time_loop, write_nd2, z_stack
from tests.io.stk_lsm_files import write_lsm, write_stk
from tests.io.vendor_files import random_pixels

MOVIE = random_pixels(3, 2, 2, 20, 30)  # (T, C, Z, H, W)
_SQUARE = [[2, 3], [12, 3], [12, 11], [2, 11]]
_TRIANGLE = [[14, 12], [18, 12], [16, 20]]


def czi(folder: Path) -> None:
    tiles = [tile(MOVIE[t, c, z], Z=z, C=c, T=t) for t in range(3) for c in range(2) for z in range(2)]
    write_czi(folder / "image.czi", tiles, czi_xml(["DAPI", "GFP"], (0.65, 0.65), 2.0), [10.0, 15.0, 25.0])


def nd2(folder: Path) -> None:
    frames = np.moveaxis(MOVIE, 1, -1).reshape(6, 20, 30, 2)
    times_ms = [100.0 + 1000 * i for i in range(6)]
    write_nd2(
        folder / "image.nd2", frames, [time_loop(3), z_stack(2, 0.5)], ["DAPI", "GFP"], um=0.65, times_ms=times_ms
    )


def lif(folder: Path) -> None:
    write_lif(
        folder / "image.lif", [LifImage("Series001", MOVIE, "TCZYX", {"X": 29 * 5e-7, "Y": 19 * 5e-7}, ["DAPI", "GFP"])]
    )


def stk(folder: Path) -> None:
    write_stk(folder / "image.stk", MOVIE[:, 0, 0], times_ms=[1000, 4000, 8000])


def lsm(folder: Path) -> None:
    write_lsm(folder / "image.lsm", np.moveaxis(MOVIE, 1, 2), ["Ch1", "Ch2"], stamps=[100.0, 130.0, 190.0])


def rois(folder: Path) -> None:
    with zipfile.ZipFile(folder / "outlines.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, points in (("a.roi", _SQUARE), ("b.roi", _TRIANGLE)):
            archive.writestr(name, roifile.ImagejRoi.frompoints(np.asarray(points)).tobytes())


def roi(folder: Path) -> None:
    (folder / "outline.roi").write_bytes(roifile.ImagejRoi.frompoints(np.asarray(_TRIANGLE)).tobytes())


def geojson(folder: Path) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*points, points[0]]]},
            "properties": {"objectType": "cell", "isLocked": False},
        }
        for points in (_SQUARE, _TRIANGLE)
    ]
    (folder / "outlines.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
