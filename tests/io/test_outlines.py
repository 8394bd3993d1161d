"""Outlines in place of label images: where their pixels are."""

import builtins
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roifile
from skimage import draw

from cellflax.errors import UserError
from cellflax.io import notices, rois
from cellflax.io.images import read_labels
from cellflax.io.rasterise import CellOutline, rasterise
from tests.io.drawn_outlines import SHAPE, SQUARE, TRIANGLE, feature, roi, write_geojson, write_zip


@pytest.fixture(autouse=True)
def _forget_warnings():
    notices.warn.cache_clear()


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
