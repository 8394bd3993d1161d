"""Outlines in place of label images: where their pixels are, and one line for every file that cannot be used."""

import builtins
import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roifile
from skimage import draw

from cellflax.errors import UserError
from cellflax.io import notices, rois
from cellflax.io.images import read_labels
from cellflax.io.outlines import counts_in_folders, read_outlines
from cellflax.io.rasterise import CellOutline, rasterise

SHAPE = (40, 37)
SQUARE = [[2, 3], [6, 3], [6, 8], [2, 8]]  # x 2 ... 6, y 3 ... 8
TRIANGLE = [[20, 10], [30, 10], [25, 30]]


@pytest.fixture(autouse=True)
def _forget_warnings():
    notices.warn.cache_clear()


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


def test_pixels_are_those_with_their_centre_inside():
    """As scikit-image finds them one by one, for polygons that cross themselves and reach out of the image, too."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        ring = rng.uniform(-10, 50, (rng.integers(3, 12), 2))
        expected = np.zeros(SHAPE, np.int32)
        expected[draw.polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, SHAPE)] = 1
        if expected.any():
            np.testing.assert_array_equal(rasterise([CellOutline("a", (ring,))], SHAPE, Path("a")), expected)


def test_many_corners_take_no_minutes():
    angle = np.linspace(0, 2 * np.pi, 50_000)
    ring = 500 + (400 + np.random.default_rng(0).normal(0, 10, angle.size)) * np.stack([np.cos(angle), np.sin(angle)])
    area = (rasterise([CellOutline("a", (ring.T,))], (1000, 1000), Path("a")) > 0).sum()
    assert area == pytest.approx(np.pi * 400**2, rel=0.02)


def expected_labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    labels[3:8, 2:6] = 1
    labels[draw.polygon(np.array(TRIANGLE)[:, 1] - 0.5, np.array(TRIANGLE)[:, 0] - 0.5, SHAPE)] = 2
    return labels


def test_zip_of_imagej(tmp_path):
    rois = {"0001.roi": roi(SQUARE), "sub/b.roi": roi(TRIANGLE), "__MACOSX/._0001.roi": None, ".DS_Store": None}
    file = write_zip(tmp_path / "a.zip", {name: made.tobytes() if made else b"x" for name, made in rois.items()})
    np.testing.assert_array_equal(read_labels(file, SHAPE), expected_labels())
    single = tmp_path / "a.roi"
    single.write_bytes(roi(SQUARE).tobytes())
    np.testing.assert_array_equal(read_labels(single, SHAPE), np.where(expected_labels() == 1, 1, 0))


def test_rectangles_ovals_and_composites(tmp_path):
    bare = {"integer_coordinates": None, "n_coordinates": 0}
    box = roi(SQUARE, roitype=roifile.ROI_TYPE.RECT, left=2, top=3, right=6, bottom=8, **bare)
    oval = roi(SQUARE, roitype=roifile.ROI_TYPE.OVAL, left=10, top=10, right=30, bottom=20, **bare)
    file = write_zip(tmp_path / "a.zip", {"a.roi": box.tobytes(), "b.roi": oval.tobytes()})
    labels = read_labels(file, SHAPE)
    np.testing.assert_array_equal(labels == 1, expected_labels() == 1)
    assert (labels == 2).sum() == pytest.approx(np.pi * 10 * 5, rel=0.05)
    # A ring: move and line segments of two closed paths, as ImageJ stores shapes with holes.
    outer, inner = [[1, 1], [21, 1], [21, 21], [1, 21]], [[6, 6], [16, 6], [16, 16], [6, 16]]
    path = []
    for ring in (outer, inner):
        path += [0, *ring[0]] + [value for corner in ring[1:] for value in (1, *corner)] + [4]
    ring = roifile.ImagejRoi.frompoints(np.asarray(outer))
    ring.roitype, ring.integer_coordinates, ring.n_coordinates = roifile.ROI_TYPE.RECT, None, 0
    ring.multi_coordinates = np.array(path, np.float32)
    ring.shape_roi_size = len(path)
    ring_file = tmp_path / "ring.roi"
    ring_file.write_bytes(ring.tobytes())
    labels = read_labels(ring_file, SHAPE)
    assert (labels > 0).sum() == 20 * 20 - 10 * 10
    assert labels[10, 10] == 0


def test_geojson_of_qupath(tmp_path):
    hole = [[3, 4], [5, 4], [5, 6], [3, 6]]
    file = write_geojson(
        tmp_path / "a.geojson",
        feature([*SQUARE, SQUARE[0]], hole, nucleusGeometry={"type": "Point"}),
        feature([[[[20, 10], [24, 10], [24, 14], [20, 14]]], [[[30, 10], [34, 10], [34, 14]]]], kind="MultiPolygon"),
    )
    labels = read_labels(file, SHAPE)
    assert (labels == 1).sum() == 4 * 5 - 2 * 2
    assert labels[4, 3] == 0
    assert (labels == 2)[10:14, 20:24].all()
    assert (labels == 2)[10:14, 30:34].sum() in range(6, 11)
    cells = [feature(SQUARE, objectType="cell")]
    for content in (cells, cells[0]):
        file.write_text(json.dumps(content))
        assert (read_labels(file, SHAPE) == 1).sum() == 20
    assert not read_labels(write_geojson(tmp_path / "b.geojson"), SHAPE).any()  # no cell in the image


def test_shared_pixels_go_to_the_smaller_outline(tmp_path, capsys):
    large, small = [[0, 0], [20, 0], [20, 20], [0, 20]], [[5, 5], [10, 5], [10, 10], [5, 10]]
    for first, second, number in ((large, small, 2), (small, large, 1)):
        file = write_geojson(tmp_path / f"{number}.geojson", feature(first), feature(second))
        labels = read_labels(file, SHAPE)
        assert (labels == number).sum() == 25
        assert (labels == 3 - number).sum() == 375
        assert f"{file}: 25 pixels are inside several outlines; each goes to the smallest" in capsys.readouterr().err
    labels = read_labels(write_geojson(tmp_path / "c.geojson", feature(small), feature(small)), SHAPE)
    assert np.unique(labels).tolist() == [0, 1]
    assert "1 outlines have no pixel of their own" in capsys.readouterr().err


def test_an_outline_that_reaches_out_is_cut_with_a_word(tmp_path, capsys):
    file = write_geojson(tmp_path / "a.geojson", feature([[-5, 0], [3, 0], [3, 4], [-5, 4]]))
    assert (read_labels(file, SHAPE) > 0).sum() == 12
    assert "1 outlines reach out of the image and are cut at its border" in capsys.readouterr().err


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


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    whole = builtins.__import__

    def without(name, *rest, **options):
        if name == "roifile":
            raise ImportError(name)
        return whole(name, *rest, **options)

    file = write_zip(tmp_path / "a.zip", {"a.roi": roi(SQUARE).tobytes()})
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'cellflax\[rois\]'"):
        read_labels(file, SHAPE)


def test_outlines_need_a_shape(tmp_path):
    with pytest.raises(UserError, match="outlines do not say the size of their image"):
        read_labels(write_geojson(tmp_path / "a.geojson", feature(SQUARE)))


def test_outlines_of_a_person(data_root):
    """The ROIs behind the published reference of Van Valen et al. 2016 lie where it says.

    Its makers took the corners of pixels for their centres, so that it lies half a pixel lower and further right than
    ImageJ fills the ROIs, and left out the edges of the cells.
    """
    folder = data_root / "deepcell" / "validation_data" / "HeLa"
    reference = read_labels(folder / "Validation" / "hela_validation_interior.tif") > 0
    height, width = reference.shape
    cells = read_labels(folder / "RoiSet_HeLa.zip", (height, width))
    assert cells.max() == 34
    assert ((cells > 0) & reference).sum() / ((cells > 0) | reference).sum() > 0.94
    drawn = rois.read_rois(folder / "RoiSet_HeLa.zip")
    centred = rasterise(
        [replace(outline, rings=tuple(ring + 0.5 for ring in outline.rings)) for outline in drawn],
        (height, width),
        folder,
    )
    assert (reference & (centred == 0)).sum() < 10


@pytest.mark.parametrize("name", ["a.zip", "a.roi", "a.geojson"])
def test_nobody_waits_for_a_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=name):
        read_labels(tmp_path / name, SHAPE)
    assert not counts_in_folders(tmp_path / name)
