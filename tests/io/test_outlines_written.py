"""ImageJ ROIs and GeoJSON that cellflax writes, read by roifile, by json with shapely, and by cellflax."""

import json
import sys
import zipfile

import numpy as np
import pytest
import roifile
import shapely
from skimage.measure import points_in_poly

from cellflax.errors import UserError
from cellflax.io.cell_polygons import cell_polygons
from cellflax.io.geojson import CellProperties, write_geojson
from cellflax.io.outlines import read_outlines
from cellflax.io.rois import holds_rois, write_rois
from tests.exporting.drawing import hard_cells, random_cells

MOVIE = [hard_cells(), np.zeros((60, 80), np.int32), hard_cells()[::-1, ::-1].copy()]


def write(path, frames, movie=False):
    polygons = map(cell_polygons, frames)
    if path.suffix == ".zip":
        write_rois(path, polygons, movie)
    else:
        write_geojson(path, polygons, lambda t, label: CellProperties({"area_px": label + t}), movie)
    return path


def filled(shape, rings) -> np.ndarray:
    """Pixels inside an odd number of rings, by skimage."""
    rows, columns = np.indices(shape)
    middles = np.stack([columns.ravel(), rows.ravel()], axis=-1) + 0.5
    return (sum(points_in_poly(middles, ring).astype(int) for ring in rings) % 2 == 1).reshape(shape)


def property_of(roi) -> int:
    key, _, value = roi.props.strip().partition(": ")
    assert key == "cellflax_label"
    return int(value)


def test_rois_by_roifile(tmp_path):
    labels = hard_cells()
    rois = roifile.roiread(write(tmp_path / "a_rois.zip", [labels]))
    image = np.zeros_like(labels)
    for roi in rois:
        pixels = filled(labels.shape, roi.coordinates(multi=True))
        assert not image[pixels].any()
        image[pixels] = property_of(roi)
        assert str(property_of(roi)) in roi.name
        assert roi.t_position == roi.position == 0
        rows, columns = np.nonzero(pixels)
        assert (roi.left, roi.top) == (columns.min(), rows.min())
        assert (roi.right, roi.bottom) == (columns.max() + 1, rows.max() + 1)
    np.testing.assert_array_equal(image, labels)


def test_frames_of_a_movie_by_roifile(tmp_path):
    rois = roifile.roiread(write(tmp_path / "a_rois.zip", MOVIE, movie=True))
    image = np.zeros((3, 60, 80), np.int32)
    for roi in rois:
        image[roi.t_position - 1][filled((60, 80), roi.coordinates(multi=True))] = property_of(roi)
        frame, label, _ = roi.name.split("-")  # what ImageJ reads the slice from
        assert (int(frame), int(label)) == (roi.t_position, property_of(roi))
        ends = {14: (4, 9), 17: (5, 11), 20: (6, 13)}  # length of the name at least, and where dashes must be
        if len(label) <= 6:
            long = max(length for length in ends if length <= len(roi.name))
            assert [roi.name[place] for place in ends[long]] == ["-", "-"]
    np.testing.assert_array_equal(image, MOVIE)


@pytest.mark.parametrize("name", ["a_rois.zip", "a.geojson"])
@pytest.mark.parametrize(
    "labels", [hard_cells(), random_cells(0), np.zeros((5, 7), np.int32)], ids=["hard", "random", "none"]
)
def test_cellflax_reads_what_it_wrote(tmp_path, name, labels):
    path = write(tmp_path / name, [labels])
    np.testing.assert_array_equal(read_outlines(path, labels.shape), labels)
    again = path.read_bytes()
    write(path, [labels])
    assert path.read_bytes() == again


@pytest.mark.parametrize("name", ["a_rois.zip", "a.geojson"])
def test_frames_are_read_one_by_one(tmp_path, name):
    path = write(tmp_path / name, MOVIE, movie=True)
    for t, labels in enumerate(MOVIE):
        np.testing.assert_array_equal(read_outlines(path, labels.shape, t), labels)
    with pytest.raises(UserError, match=r"lie on 2 (frames|planes)"):
        read_outlines(path, (60, 80))


def test_wide_images(tmp_path):
    """Beyond the 16 bits of ImageJ's corners."""
    labels = np.zeros((3, 70_000), np.int32)
    labels[1, 40_000:40_010] = 1
    labels[1, 65_000:65_010] = 2
    labels[:, 66_000:66_010] = 3
    labels[1, 66_002] = 0
    path = write(tmp_path / "a_rois.zip", [labels])
    np.testing.assert_array_equal(read_outlines(path, labels.shape), labels)


def test_geojson_by_shapely(tmp_path):
    labels = hard_cells()
    content = json.loads(write(tmp_path / "a.geojson", [labels]).read_text())
    assert content["type"] == "FeatureCollection"
    rows, columns = np.indices(labels.shape)
    image = np.zeros_like(labels)
    for feature in content["features"]:
        area, known = shapely.geometry.shape(feature["geometry"]), feature["properties"]
        assert (feature["type"], known["objectType"], area.is_valid) == ("Feature", "cell", True)
        label = int(known["metadata"]["cellflax_label"])
        assert known["measurements"] == {"area_px": label}
        image[shapely.contains_xy(area, columns + 0.5, rows + 0.5)] = label
        polygons = area.geoms if area.geom_type == "MultiPolygon" else [area]
        assert all(
            polygon.exterior.is_ccw and not any(hole.is_ccw for hole in polygon.interiors) for polygon in polygons
        )
    np.testing.assert_array_equal(image, labels)


def test_measurements_and_types(tmp_path):
    labels = np.array([[1, 0, 2]])
    known = {1: CellProperties({"a": 1.5, "b": np.nan, "c": np.inf}, "nih3t3"), 2: CellProperties({})}
    write_geojson(tmp_path / "a.geojson", [cell_polygons(labels)], lambda t, label: known[label])
    one, two = (feature["properties"] for feature in json.loads((tmp_path / "a.geojson").read_text())["features"])
    assert (one["measurements"], one["classification"]) == ({"a": 1.5}, {"name": "nih3t3"})
    assert two["measurements"] == {}
    assert "classification" not in two


@pytest.mark.parametrize(
    "metadata", [None, {"cellflax_label": "0"}, {"cellflax_label": "-1"}, {"cellflax_label": "9" * 5000}, {"x": "1"}]
)
def test_outlines_that_say_no_number_are_numbered(tmp_path, metadata):
    path = write(tmp_path / "a.geojson", [np.array([[0, 8, 8, 3]])])
    content = json.loads(path.read_text())
    content["features"][0]["properties"]["metadata"] = metadata
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(read_outlines(path, (1, 4)), [[0, 2, 2, 1]])


def test_an_outline_that_was_copied_is_a_cell_of_its_own(tmp_path):
    path = write(tmp_path / "a.geojson", [np.array([[0, 8, 8, 0, 0, 0]])])
    content = json.loads(path.read_text())
    copied = json.loads(json.dumps(content["features"][0]).replace("[1, ", "[4, ").replace("[3, ", "[6, "))
    content["features"].append(copied)
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(read_outlines(path, (1, 6)), [[0, 1, 1, 0, 2, 2]])


def test_an_empty_zip_is_no_cells_only_if_it_says_so(tmp_path):
    assert holds_rois(write(tmp_path / "a_rois.zip", [np.zeros((4, 4), int)]))
    with zipfile.ZipFile(tmp_path / "b_rois.zip", "w"):
        pass
    assert not holds_rois(tmp_path / "b_rois.zip")
    with pytest.raises(UserError, match="holds no"):
        read_outlines(tmp_path / "b_rois.zip", (4, 4))


def test_without_roifile(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(UserError, match=r"pip install 'cellflax\[rois\]'"):
        write(tmp_path / "a_rois.zip", [hard_cells()])
    assert list(tmp_path.iterdir()) == []
