"""One line for every file of outlines that cannot be used."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
import roifile

from cellflax.errors import UserError
from cellflax.io import notices, rois
from cellflax.io.images import read_labels
from cellflax.io.outlines import counts_in_folders, read_outlines
from tests.io.drawn_outlines import SHAPE, SQUARE, TRIANGLE, feature, roi, write_geojson, write_zip


@pytest.fixture(autouse=True)
def _forget_warnings():
    notices.warn.cache_clear()


DEEP = "[" * 1_000_000
GEOJSON = [
    ("", "damaged, or no GeoJSON"),
    (DEEP, "nested too deeply"),
    ("1" * 5000, "damaged, or no GeoJSON|is no GeoJSON FeatureCollection"),
    ("{}", "is no GeoJSON FeatureCollection"),
    ("[1]", "feature 1 has no geometry"),
    ([{"type": "Feature", "geometry": None}], "feature 1 has no geometry"),
    ([feature([1, 2], kind="Point")], "feature 1 is a Point and has no area"),
    ([feature(SQUARE, kind="LineString")], "feature 1 is a LineString and has no area"),
    ([feature(SQUARE), feature([[1, 2], [3]])], "feature 2 has no rings"),
    ([feature([["1", "2"], ["3", "4"], ["5", "6"]])], "feature 1 has no rings"),
    ([feature()], "feature 1 has no rings"),
    ([feature([[1, 2], [3, 4]])], "feature 1 has no rings"),
    ('[{"geometry": {"type": "Polygon", "coordinates": [[[1, 1], [NaN, 5], [9, 9]]]}}]', "coordinates that are no pix"),
    ('[{"geometry": {"type": "Polygon", "coordinates": [[[1, 1], [1e300, 5], [9, 9]]]}}]', "coordinates that are no"),
    ([feature([[100, 3], [106, 3], [106, 8]])], "feature 1 lies outside of its image of 37 x 40 px"),
    ([feature([[1.1, 1.1], [1.2, 1.1], [1.2, 1.2]])], "none of its 1 outlines holds a pixel"),
    ([feature(SQUARE, objectType="tile")], "feature 1 is a tile, no cell"),
    ([feature(SQUARE, classification={"name": "Ignore*"})], "has the class Ignore., which is no cell"),
]


@pytest.mark.parametrize(("content", "message"), GEOJSON)
def test_unusable_geojson(tmp_path, content, message):
    file = tmp_path / "a.geojson"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        read_labels(file, SHAPE)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_planes_of_a_stack_are_refused(tmp_path):
    first, second = feature(SQUARE), feature(TRIANGLE)
    first["geometry"]["plane"], second["geometry"]["plane"] = ({"c": -1, "z": z, "t": 0} for z in (0, 1))
    with pytest.raises(UserError, match="its outlines lie on 2 planes"):
        read_labels(write_geojson(tmp_path / "a.geojson", first, second), SHAPE)
    second["geometry"]["plane"]["z"] = 0
    assert read_labels(write_geojson(tmp_path / "a.geojson", first, second), SHAPE).max() == 2
    rois = {f"{z}.roi": roi(SQUARE, z_position=z).tobytes() for z in (1, 2)}
    with pytest.raises(UserError, match="its ROIs lie on 2 slices of a stack"):
        read_labels(write_zip(tmp_path / "a.zip", rois), SHAPE)
    rois = {f"{z}.roi": roi(SQUARE, position=3).tobytes() for z in (1, 2)}
    assert read_labels(write_zip(tmp_path / "a.zip", rois), SHAPE).max() == 1


@pytest.mark.parametrize("kind", ["LINE", "POINT", "POLYLINE", "ANGLE", "FREELINE", "NOROI"])
def test_rois_without_an_area_are_refused(tmp_path, kind):
    made = roi(SQUARE, roitype=roifile.ROI_TYPE[kind], name="nr 1")
    with pytest.raises(UserError, match=rf"ROI nr 1 is a {kind.lower()} and has no area; keep only outlines"):
        read_labels(write_zip(tmp_path / "a.zip", {"a.roi": made.tobytes()}), SHAPE)


def _bomb(size: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.roi", "w") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return data.getvalue()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no .roi file"),
        ({"a.roi": b""}, "damaged, or no ROIs"),
        ({"a.roi": b"Iout" + bytes(90)}, "has fewer than 3 corners|has no area|damaged"),
        ({"a.roi": bytes(100)}, "damaged, or no ROIs"),
        ({"a.roi": b"", "b.tif": b""}, "'b.tif' in it is no .roi file"),
        ({"../../a.tif": b""}, "'../../a.tif' in it is no .roi file"),
    ],
)
def test_unusable_zips(tmp_path, files, message):
    file = write_zip(tmp_path / "a.zip", files)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message) as error:
        read_labels(file, SHAPE)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_bomb_ends_in_one_line(tmp_path, monkeypatch):
    file = tmp_path / "a.zip"
    file.write_bytes(_bomb(1 << 28))
    with pytest.raises(UserError, match=r"a.roi is larger than 16 MiB"):
        read_labels(file, SHAPE)
    monkeypatch.setattr(rois, "_MOST_BYTES", 300)
    with pytest.raises(UserError, match="its ROIs are larger than"):
        read_labels(write_zip(file, {f"{i}.roi": roi(SQUARE).tobytes() for i in range(9)}), SHAPE)
    monkeypatch.setattr(rois, "_MOST_ROIS", 3)
    with pytest.raises(UserError, match="9 files, at most 3"):
        read_labels(file, SHAPE)


def test_damage_ends_in_one_line(tmp_path):
    """Bits of a valid zip and ROI, at random: labels, or one line."""
    rng = np.random.default_rng(0)
    whole = roi(TRIANGLE, name="cell").tobytes()
    archive = write_zip(tmp_path / "a.zip", {"a.roi": whole}).read_bytes()
    outcomes, lines = {"labels": 0, "error": 0}, set()
    for data, suffix in ((whole, ".roi"), (archive, ".zip")):
        for _ in range(300):
            spoilt = bytearray(data)
            for _ in range(rng.integers(1, 4)):
                spoilt[rng.integers(len(spoilt))] ^= 1 << rng.integers(8)
            file = tmp_path / f"b{suffix}"
            file.write_bytes(bytes(spoilt[: rng.integers(1, len(spoilt) + 1)] if rng.random() < 0.3 else spoilt))
            try:
                read_outlines(file, SHAPE)
                outcomes["labels"] += 1
            except UserError as error:
                outcomes["error"] += 1
                lines.add(str(error).count("\n"))
    assert min(outcomes.values()) > 50
    assert lines == {0}


@pytest.mark.parametrize("name", ["a.zip", "a.roi", "a.geojson"])
def test_nobody_waits_for_a_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=name):
        read_labels(tmp_path / name, SHAPE)
    assert not counts_in_folders(tmp_path / name)
