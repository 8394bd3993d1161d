"""Tracks as GEFF, by its own validator and reader, and as TrackMate's XML, by its structure and geff's reader of it."""

from xml.etree import ElementTree

import geff
import networkx
import numpy as np
import pandas as pd
import pytest
from geff.convert import from_trackmate_xml_to_geff
from skimage.measure import points_in_poly

from cellflax.exporting.geff import write_geff
from cellflax.exporting.tracking import TrackedCells
from cellflax.exporting.trackmate import write_trackmate
from cellflax.measure.tracks import graph_tables, track_table
from cellflax.tracking.tracker import TrackerConfig, track_cells

# A cell that divides, one that is missed in frame 2, one in a single frame, and a last frame without cells.
_BOXES = {
    0: {5: (2, 2, 8, 12), 9: (40, 40, 8, 8)},
    1: {1: (2, 2, 8, 6), 2: (2, 9, 8, 6), 3: (41, 40, 8, 8), 4: (70, 5, 1, 1)},
    2: {7: (2, 1, 8, 6), 8: (2, 10, 8, 6)},
    3: {1: (2, 1, 8, 6), 2: (2, 10, 8, 6), 70_001: (41, 41, 8, 8)},
    4: {},
}
LABELS = np.zeros((5, 80, 60), np.int32)
for _t, _cells in _BOXES.items():
    for _label, (_row, _column, _height, _width) in _cells.items():
        LABELS[_t, _row : _row + _height, _column : _column + _width] = _label
TIMES_S = 300.0 * np.arange(5)
UM = 0.5


@pytest.fixture(scope="module")
def tracking():
    found = track_cells(LABELS, TrackerConfig(), None, UM)
    assert found.lineage.n_divisions == 1
    assert found.n_gaps == 1
    return found


@pytest.fixture(scope="module")
def by_track(tracking) -> np.ndarray:
    image = np.zeros_like(LABELS)
    for row in tracking.lineage.nodes.itertuples():
        image[row.frame][LABELS[row.frame] == row.label] = row.track
    return image


def tracked(tracking, by_track, times_s=TIMES_S, size=UM) -> TrackedCells:
    tables = (*graph_tables(tracking, times_s), track_table(tracking, LABELS, times_s, size))
    return TrackedCells(tables, 5, by_track, None, size, times_s, "folder/labels.tif")


def expected_links(tracking) -> set:
    nodes = list(tracking.lineage.nodes[["frame", "label"]].itertuples(index=False, name=None))
    return {(nodes[a], nodes[b]) for a, b in tracking.lineage.edges.itertuples(index=False, name=None)}


@pytest.mark.filterwarnings("ignore::UserWarning:zarr")
@pytest.mark.parametrize("known", [True, False])
def test_geff(tracking, by_track, tmp_path, known):
    given = (TIMES_S, UM) if known else (None, None)
    path = tmp_path / "tracks.geff"
    for _ in range(2):  # one that is there is replaced
        write_geff(path, tracked(tracking, by_track, *given).graph())
    geff.validate_structure(str(path))
    graph, metadata = geff.read(str(path), structure_validation=True, data_validation=None)
    nodes = tracking.lineage.nodes
    found = {n: graph.nodes[n] for n in graph.nodes}
    assert [(found[i]["t"], found[i]["label"], found[i]["track"]) for i in range(len(nodes))] == [
        (row.frame, row.label, row.track) for row in nodes.itertuples()
    ]
    for node in found.values():
        rows, columns = np.nonzero(by_track[node["t"]] == node["track"])
        assert (node["y"], node["x"]) == pytest.approx((rows.mean(), columns.mean()))
        assert node["area_px"] == len(rows)
    links = {tuple((found[n]["t"], found[n]["label"]) for n in edge) for edge in graph.edges}
    assert links == expected_links(tracking)
    lineages = {frozenset(part) for part in networkx.weakly_connected_components(graph)}
    of = pd.Series({n: node["lineage"] for n, node in found.items()})
    assert lineages == {frozenset(group.index) for _, group in of.groupby(of)}
    assert metadata.track_node_props == {"tracklet": "track", "lineage": "lineage"}
    t, y, x = metadata.axes
    assert [axis.type for axis in (t, y, x)] == ["time", "space", "space"]
    scales = [(axis.scale, axis.scaled_unit) for axis in (t, y, x)]
    unknown = (None, None)
    assert scales == ([(300, "second"), (UM, "micrometer"), (UM, "micrometer")] if known else [unknown] * 3)


@pytest.mark.filterwarnings("ignore::UserWarning:zarr")
def test_geffs_tracklets_are_valid(tracking, by_track, tmp_path):
    from geff.validate.data import ValidationConfig

    write_geff(tmp_path / "a.geff", tracked(tracking, by_track).graph())
    geff.read(str(tmp_path / "a.geff"), data_validation=ValidationConfig(graph=True, lineage=True, tracklet=True))


@pytest.mark.parametrize("known", [True, False])
def test_structure_that_trackmate_reads(tracking, by_track, tmp_path, known):
    size, interval = (UM, 300.0) if known else (1.0, 1.0)
    write_trackmate(
        tmp_path / "a.xml", tracked(tracking, by_track, *((TIMES_S, UM) if known else (None, None))).graph()
    )
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert (root.tag, root.get("version", "")[:2]) == ("TrackMate", "7.")
    assert [part.tag for part in root] == ["Log", "Model", "Settings", "GUIState"]
    model, settings = root.find("Model"), root.find("Settings")
    assert model.attrib == (
        {"spatialunits": "micron", "timeunits": "sec"} if known else {"spatialunits": "pixel", "timeunits": "frame"}
    )
    assert [part.tag for part in model] == ["FeatureDeclarations", "AllSpots", "AllTracks", "FilteredTracks"]
    for kind, tag in (("Spot", "Spot"), ("Edge", "Edge"), ("Track", "Track")):
        declared = {feature.get("feature"): feature for feature in model.find(f".//{kind}Features")}
        assert all(
            set(feature.attrib) == {"feature", "name", "shortname", "dimension", "isint"}
            for feature in declared.values()
        )
        for element in model.iter(tag):
            used = set(element.attrib) - {"ID", "name", "ROI_N_POINTS"}
            assert used <= declared.keys()
            for name in used:
                (int if declared[name].get("isint") == "true" else float)(element.get(name))

    image = np.zeros_like(by_track)
    rows, columns = np.indices(LABELS.shape[1:])
    spots = {}
    assert [int(part.get("frame")) for part in model.find("AllSpots")] == list(range(5))
    for spot in model.iter("Spot"):
        t, track = int(spot.get("FRAME")), int(spot.get("CELLFLAX_TRACK"))
        spots[int(spot.get("ID"))] = (t, int(spot.get("CELLFLAX_LABEL")))
        assert float(spot.get("POSITION_T")) == t * interval
        corners = np.array(spot.text.split(), float).reshape(-1, 2)
        assert len(corners) == int(spot.get("ROI_N_POINTS"))
        centre = np.array([float(spot.get("POSITION_X")), float(spot.get("POSITION_Y"))])
        middles = np.stack([columns.ravel(), rows.ravel()], axis=-1) * size  # of the first pixel at 0
        inside = points_in_poly(middles, corners + centre).reshape(rows.shape)
        image[t][inside] = track
        assert float(spot.get("AREA")) == pytest.approx(inside.sum() * size**2)
    np.testing.assert_array_equal(image, by_track)
    assert len(spots) == int(model.find("AllSpots").get("nspots")) == len(tracking.lineage.nodes)

    edges = [(int(e.get("SPOT_SOURCE_ID")), int(e.get("SPOT_TARGET_ID"))) for e in model.iter("Edge")]
    assert {(spots[a], spots[b]) for a, b in edges} == expected_links(tracking)
    tracks = {int(part.get("TRACK_ID")): part for part in model.find("AllTracks")}
    assert len(tracks) == 2  # the cell in one frame alone is in none
    assert [int(part.get("TRACK_ID")) for part in model.find("FilteredTracks")] == list(tracks)
    assert [int(part.get("NUMBER_SPLITS")) for part in tracks.values()] == [1, 0]
    assert [int(part.get("NUMBER_GAPS")) for part in tracks.values()] == [0, 1]
    assert [float(part.get("TRACK_DURATION")) for part in tracks.values()] == [3 * interval] * 2

    shown = settings.find("ImageData").attrib
    assert (shown["filename"], shown["width"], shown["height"], shown["nframes"]) == ("labels.tif", "60", "80", "5")
    assert (float(shown["pixelwidth"]), float(shown["timeinterval"])) == (size, interval)
    assert set(settings.find("InitialSpotFilter").attrib) == {"feature", "value", "isabove"}
    for needed in (
        "BasicSettings",
        "DetectorSettings",
        "SpotFilterCollection",
        "TrackerSettings",
        "TrackFilterCollection",
    ):
        assert settings.find(needed) is not None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_trackmate_by_the_reader_of_geff(tracking, by_track, tmp_path):
    write_trackmate(tmp_path / "a.xml", tracked(tracking, by_track).graph())
    from_trackmate_xml_to_geff(tmp_path / "a.xml", tmp_path / "a.geff")
    graph, _ = geff.read(str(tmp_path / "a.geff"))
    of = {n: (node["FRAME"], node["CELLFLAX_LABEL"]) for n, node in graph.nodes.items()}
    assert {(of[a], of[b]) for a, b in graph.edges} == expected_links(tracking)
    assert len(of) == len(tracking.lineage.nodes)


def test_times_that_are_not_regular_are_frames(tracking, by_track, tmp_path):
    write_trackmate(tmp_path / "a.xml", tracked(tracking, by_track, TIMES_S**1.1).graph())
    assert ElementTree.parse(tmp_path / "a.xml").find("Model").get("timeunits") == "frame"
