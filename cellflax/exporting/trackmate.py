"""Tracks as an XML file of Fiji's TrackMate 7: https://imagej.net/plugins/trackmate"""

import math
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

import cellflax
from cellflax.atomic import replacing
from cellflax.exporting.track_graph import TrackGraph
from cellflax.io import results
from cellflax.io.tiff_output import writing

_VERSION = "7.11.1"  # of the layout, by which TrackMate chooses how it reads the file

# Features: key -> name, dimension, whether it is a whole number.
_SPOT_FEATURES = {
    "QUALITY": ("Quality", "QUALITY", False),
    **{f"POSITION_{axis}": (axis, "POSITION", False) for axis in "XYZ"},
    "POSITION_T": ("T", "TIME", False),
    "FRAME": ("Frame", "NONE", True),
    "RADIUS": ("Radius", "LENGTH", False),
    "VISIBILITY": ("Visibility", "NONE", True),
    "AREA": ("Area", "AREA", False),
    "CELLFLAX_LABEL": ("Label in cellflax", "NONE", True),
    "CELLFLAX_TRACK": ("Track in cellflax", "NONE", True),
}
_EDGE_FEATURES = {
    "SPOT_SOURCE_ID": ("Source spot ID", "NONE", True),
    "SPOT_TARGET_ID": ("Target spot ID", "NONE", True),
}
_TRACK_FEATURES = {
    "TRACK_INDEX": ("Track index", "NONE", True),
    "TRACK_ID": ("Track ID", "NONE", True),
    "NUMBER_SPOTS": ("Number of spots in track", "NONE", True),
    "NUMBER_GAPS": ("Number of gaps", "NONE", True),
    "NUMBER_SPLITS": ("Number of split events", "NONE", True),
    "TRACK_START": ("Track start", "TIME", False),
    "TRACK_STOP": ("Track stop", "TIME", False),
    "TRACK_DURATION": ("Duration of track", "TIME", False),
}


def write_trackmate(path: Path, graph: TrackGraph) -> None:
    """Write tracks for TrackMate: a spot per cell and frame, with its outline; a track per lineage, with its divisions.

    Positions are in micrometres and seconds where both pixel size and interval are known for their axis, else in
    pixels and frames. As everywhere in TrackMate, the middle of the first pixel is 0. Outlines are those of a cell's
    largest part, without holes, which spots do not have. A cell without links is a spot in no track.

    Args:
        path: the target; a reader sees the old file or the new.
        graph: the tracks.

    Raises:
        OutputError: if it cannot be written.
    """
    root = Element("TrackMate", version=_VERSION)
    SubElement(root, "Log").text = f"Tracked and exported by cellflax {cellflax.__version__}.\n"
    units = {
        "spatialunits": "pixel" if graph.pixel_size_um is None else "micron",
        "timeunits": "frame" if graph.interval_s is None else "sec",
    }
    model = SubElement(root, "Model", units)
    declared = SubElement(model, "FeatureDeclarations")
    for kind, features in (("Spot", _SPOT_FEATURES), ("Edge", _EDGE_FEATURES), ("Track", _TRACK_FEATURES)):
        of_kind = SubElement(declared, f"{kind}Features")
        for key, (name, dimension, whole) in features.items():
            what = {"feature": key, "name": name, "shortname": name, "dimension": dimension}
            SubElement(of_kind, "Feature", what, isint=str(whole).lower())
    _add_spots(model, graph)
    _add_tracks(model, graph)
    _add_settings(root, graph)
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    with writing(path), replacing(path) as temporary:
        tree.write(temporary, encoding="UTF-8", xml_declaration=True)


def _add_spots(model: Element, graph: TrackGraph) -> None:
    size, interval = graph.pixel_size_um or 1.0, graph.interval_s or 1.0
    nodes = graph.nodes
    spots = SubElement(model, "AllSpots", nspots=str(len(nodes)))
    ids = np.arange(len(nodes))
    frame = nodes[results.FRAME].to_numpy()
    middle = nodes[["centroid-1_px", "centroid-0_px"]].to_numpy(float)
    area = nodes["area_px"].to_numpy(float) if "area_px" in nodes else np.full(len(nodes), math.pi)
    label, track = nodes[results.LABEL].to_numpy(), nodes[results.TRACK].to_numpy()
    for t in range(graph.shape[0]):
        in_frame = SubElement(spots, "SpotsInFrame", frame=str(t))
        outlines = {} if graph.outlines is None else graph.outlines(t)
        for i in ids[frame == t].tolist():
            x, y = (middle[i] * size).tolist()
            features = {
                "ID": str(i),
                "name": f"cell {track[i]}",
                "QUALITY": "1.0",
                "POSITION_X": repr(x),
                "POSITION_Y": repr(y),
                "POSITION_Z": "0.0",
                "POSITION_T": repr(t * interval),
                "FRAME": str(t),
                "RADIUS": repr(math.sqrt(area[i] / math.pi) * size),
                "VISIBILITY": "1",
                "AREA": repr(float(area[i]) * size**2),
                "CELLFLAX_LABEL": str(label[i]),
                "CELLFLAX_TRACK": str(track[i]),
            }
            spot = SubElement(in_frame, "Spot", features)
            ring = outlines.get(int(track[i]))
            if ring is not None:
                spot.set("ROI_N_POINTS", str(len(ring)))
                around = (ring - 0.5 - middle[i]) * size  # from the centroid; corners of pixels are at halves
                spot.text = " ".join(map(repr, around.ravel().tolist()))


def _add_tracks(model: Element, graph: TrackGraph) -> None:
    interval = graph.interval_s or 1.0
    tracks = SubElement(model, "AllTracks")
    filtered = SubElement(model, "FilteredTracks")
    links = graph.edges[["source", "target"]].to_numpy()
    lineage, frame = graph.lineage, graph.nodes[results.FRAME].to_numpy()
    of_lineage: dict[int, list[int]] = defaultdict(list)
    for edge, number in enumerate(lineage[links[:, 0]].tolist()):
        of_lineage[number].append(edge)
    for index, number in enumerate(sorted(of_lineage)):
        inside = links[of_lineage[number]]
        frames = frame[np.unique(inside)]
        start, stop = int(frames.min()) * interval, int(frames.max()) * interval
        _, successors = np.unique(inside[:, 0], return_counts=True)
        features = {
            "name": f"Track_{index}",
            "TRACK_INDEX": str(index),
            "TRACK_ID": str(index),
            "NUMBER_SPOTS": str(len(frames)),
            "NUMBER_GAPS": str(int(np.sum(frame[inside[:, 1]] - frame[inside[:, 0]] > 1))),
            "NUMBER_SPLITS": str(int(np.sum(successors > 1))),
            "TRACK_START": repr(start),
            "TRACK_STOP": repr(stop),
            "TRACK_DURATION": repr(stop - start),
        }
        track = SubElement(tracks, "Track", features)
        for source, target in inside.tolist():
            SubElement(track, "Edge", SPOT_SOURCE_ID=str(source), SPOT_TARGET_ID=str(target))
        SubElement(filtered, "TrackID", TRACK_ID=str(index))


def _add_settings(root: Element, graph: TrackGraph) -> None:
    """What TrackMate asks of a file besides the model: the image, and filters that keep all."""
    frames, height, width = graph.shape
    settings = SubElement(root, "Settings")
    image = {
        "filename": Path(graph.source).name,
        "folder": "",
        "width": str(width),
        "height": str(height),
        "nslices": "1",
        "nframes": str(frames),
        "pixelwidth": repr(graph.pixel_size_um or 1.0),
        "pixelheight": repr(graph.pixel_size_um or 1.0),
        "voxeldepth": "1.0",
        "timeinterval": repr(graph.interval_s or 1.0),
    }
    SubElement(settings, "ImageData", image)
    ends = {"x": width, "y": height, "z": 1, "t": frames}
    crop = {f"{axis}start": "0" for axis in ends} | {f"{axis}end": str(max(n - 1, 0)) for axis, n in ends.items()}
    SubElement(settings, "BasicSettings", crop)
    SubElement(settings, "DetectorSettings", DETECTOR_NAME="MANUAL_DETECTOR", RADIUS="1.0", TARGET_CHANNEL="1")
    SubElement(settings, "InitialSpotFilter", feature="QUALITY", value="0.0", isabove="true")
    SubElement(settings, "SpotFilterCollection")
    SubElement(settings, "TrackerSettings", TRACKER_NAME="MANUAL_TRACKER")
    SubElement(settings, "TrackFilterCollection")
    analyzers = SubElement(settings, "AnalyzerCollection")
    for kind in ("Spot", "Edge", "Track"):
        SubElement(analyzers, f"{kind}Analyzers")
    SubElement(root, "GUIState", state="ConfigureViews")
