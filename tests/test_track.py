"""`cellflax.track` from label movies to tables, masks and scores, end to end."""

import json

import imagecodecs
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.track import TrackConfig, main, track
from cellflax.tracking.ctc import TrackedMovie, read_ctc
from cellflax.tracking.drift import DriftConfig, DriftMethod
from tests.commands import run_command
from tests.tracking.drawing import colony, scrambled

TRUTH = colony(0)
LABELS = scrambled(TRUTH.labels).astype(np.uint16)


def _write_truth(folder, truth):
    folder.mkdir()
    for t, frame in enumerate(truth.labels):
        tifffile.imwrite(folder / f"man_track{t:03}.tif", frame.astype(np.uint16))
    lines = (" ".join(map(str, row)) for row in truth.tracks.to_numpy().tolist())
    (folder / "man_track.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    """A label movie, the same as files, its images with two channels, and the truth."""
    metadata = {"axes": "TYX", "TimeIncrement": 5.0, "TimeIncrementUnit": "min"}
    tifffile.imwrite(tmp_path / "labels.ome.tif", LABELS, ome=True, metadata=metadata)
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(LABELS):
        tifffile.imwrite(tmp_path / f"frames/t{t}_labels.tif", frame)
    noise = np.random.default_rng(0).integers(100, 200, (len(LABELS), 2, *LABELS.shape[1:])).astype(np.uint16)
    noise[:, 1] += 1000 * (LABELS > 0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "images.tif", noise, imagej=True, metadata={"axes": "TCYX"})
    _write_truth(tmp_path / "truth", TRUTH)
    return tmp_path


def _config(folder, **changes):
    return TrackConfig(**{"input": str(folder / "labels.ome.tif"), "output": str(folder / "out"), **changes})


def test_everything_that_is_written(folder):
    summary = track(
        _config(folder, images=str(folder / "images.tif"), reference=str(folder / "truth"), pixel_size_um=0.5)
    )
    out = folder / "out"
    assert summary["metrics"]["TRA"] == summary["metrics"]["division_f1"] == 1
    assert json.loads((out / "metrics.json").read_text())["TRA"] == 1
    written = json.loads((out / "summary.json").read_text())
    n_tracks, n_divisions = len(TRUTH.tracks), TRUTH.tracks["parent"].to_numpy().astype(bool).sum() // 2
    assert (written["n_tracks"], written["n_divisions"], written["n_frames"]) == (n_tracks, n_divisions, 12)

    table = pd.read_csv(out / "tracks.csv")
    assert list(table)[:8] == [
        "track", "parent", "generation", "frame", "time_s", "label", "centroid-0_px", "centroid-1_px"
    ]  # fmt: skip
    assert {"area_px", "area_um2", "axis_major_length_um", "touches_border"} <= set(table)
    assert table["intensity_mean_channel_1"].min() > 1000
    np.testing.assert_array_equal(table["time_s"], 300 * table["frame"])
    areas = [np.sum(LABELS[row.frame] == row.label) for row in table[::9].itertuples()]
    np.testing.assert_array_equal(table["area_px"][::9], areas)
    # A track is one cell of the truth, and its parent is one too.
    of_truth = [TRUTH.labels[row.frame][LABELS[row.frame] == row.label][0] for row in table.itertuples()]
    names = table.assign(truth=of_truth).groupby("track")["truth"].unique()
    assert names.map(len).max() == 1
    true_name = {0: 0, **names.map(lambda found: found[0]).to_dict()}
    true_parent = dict(zip(TRUTH.tracks["track"], TRUTH.tracks["parent"], strict=True))
    for row in table.drop_duplicates("track").itertuples():
        assert true_name[row.parent] == true_parent[true_name[row.track]]

    result = read_ctc(out)
    nodes, edges = pd.read_csv(out / "nodes.csv"), pd.read_csv(out / "edges.csv")
    assert len(nodes) == len(table)
    frames = nodes["frame"].to_numpy()
    np.testing.assert_array_equal(frames[edges["target"]] - frames[edges["source"]], 1)
    assert len(edges) == len(nodes) - int((result.tracks["parent"] == 0).sum())
    assert imagecodecs.apng_decode((out / "overlay.png").read_bytes()).shape[0] == 12
    assert matplotlib.image.imread(out / "tree.png").ndim == 3


def test_a_folder_of_frames_gives_the_same_as_a_movie(folder):
    track(_config(folder, overlay=False))
    track(
        _config(folder, input=str(folder / "frames"), output=str(folder / "b"), overlay=False, frame_interval_s=300.0)
    )
    assert (folder / "out/tracks.csv").read_text() == (folder / "b/tracks.csv").read_text()


def test_an_earlier_result_is_replaced_whole(folder):
    track(_config(folder, reference=str(folder / "truth")))
    tifffile.imwrite(folder / "short.tif", LABELS[:5], photometric="minisblack")
    track(_config(folder, input=str(folder / "short.tif"), overlay=False, overwrite=True))
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {
        *(f"mask{t:03}.tif" for t in range(5)),
        *("res_track.txt", "tracks.csv", "nodes.csv", "edges.csv", "tree.png", "summary.json", "report.html"),
        "provenance.track.json",
    }
    track(_config(folder, input=str(folder / "short.tif"), overlay=False, ctc=False, overwrite=True))
    assert not (folder / "out/res_track.txt").exists()
    assert not (folder / "out/mask000.tif").exists()


@pytest.mark.parametrize("key", ["input", "reference"])
def test_a_set_that_is_read_is_not_replaced(folder, key):
    track(_config(folder, overlay=False))
    with pytest.raises(UserError, match=r"overwrite=true would replace .*/out/.*, which is read"):
        track(_config(folder, overwrite=True, **{key: str(folder / ("out/mask*.tif" if key == "input" else "out"))}))


def test_command(folder):
    result = run_command(
        main, f"input={folder}/frames", f"output={folder}/out", f"reference={folder}/truth", "link.max_distance=2"
    )
    assert result.status == 0, result.err
    assert (
        f"{len(TRUTH.tracks)} tracks of {sum(len(np.unique(f)) - 1 for f in LABELS)} cells in 12 frames" in result.out
    )
    assert "TRA 1.0000  DET 1.0000  SEG -  division_f1 1.0000" in result.out
    assert "add frame_interval_s=" in result.err
    wrong = run_command(main, f"input={folder}/frames", "link.max_distance=0")
    assert wrong.error == "link.max_distance must be above 0, got 0.0"


def test_cells_may_vanish_and_masks_are_split(folder):
    gone = (LABELS > 0).astype(np.uint8)
    gone[4:] = 0
    tifffile.imwrite(folder / "gone.tif", gone, photometric="minisblack")
    summary = track(_config(folder, input=str(folder / "gone.tif")))
    assert summary["n_frames"] == 12
    assert "single non-zero value" in summary["notes"][0]
    assert summary["notes"][1] == "no cell in 8 frames (4, 5, 6, 7, 8, ...)"
    assert pd.read_csv(folder / "out/tracks.csv")["frame"].max() == 3


def _rewrite(name, array):
    return lambda folder: tifffile.imwrite(folder / name, array, photometric="minisblack")


def _one_label_for_two_cells(folder):
    labels = LABELS.copy()
    names = np.unique(labels[1][labels[1] > 0])
    first, *others = sorted(names, key=lambda name: np.argwhere(labels[1] == name).sum(axis=1).min())
    labels[1][labels[1] == others[-1]] = first
    _rewrite("labels.ome.tif", labels)(folder)


def _masks_in_output(folder):
    (folder / "out").mkdir()
    for t, frame in enumerate(LABELS):
        tifffile.imwrite(folder / f"out/mask{t:03}.tif", frame)


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (None, {"input": ""}, "input is not given; add input="),
        (None, {"input": "{}/nowhere"}, "nowhere: no such TIFF"),
        (_rewrite("labels.ome.tif", LABELS[0]), {}, "labels.ome.tif: has one frame"),
        (_rewrite("labels.ome.tif", 0 * LABELS), {}, "no cell in any of the 12 frames"),
        (_rewrite("frames/t3_labels.tif", LABELS[3, :9]), {"input": "{}/frames"}, "t3_labels.tif: shape (9, "),
        (_one_label_for_two_cells, {}, "frame 1: label "),
        (_rewrite("images.tif", LABELS[:5]), {"images": "{}/images.tif"}, "images.tif: 5 frames of "),
        (None, {"reference": "{}/frames"}, "frames: neither man_track.txt nor res_track.txt here"),
        (
            _rewrite("labels.ome.tif", LABELS[:5]),
            {"reference": "{}/truth"},
            "truth: 12 frames of 149 x 149, but",
        ),
        (
            _masks_in_output,
            {"input": "{}/out"},
            "out: mask000.tif is there already, and provenance.track.json does not say",
        ),
        (lambda folder: (folder / "out").write_text(""), {}, "out: cannot make this directory"),
    ],
)
def test_mistakes_end_in_one_line(folder, spoil, changes, message):
    if spoil is not None:
        spoil(folder)
    before = sorted(path.name for path in (folder / "out").iterdir()) if (folder / "out").is_dir() else []
    with pytest.raises(UserError) as caught:
        track(_config(folder, **{key: value.format(folder) for key, value in changes.items()}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    after = sorted(path.name for path in (folder / "out").iterdir()) if (folder / "out").is_dir() else []
    assert after == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_interval_s": 0.0}, "frame_interval_s must be above 0, or null, got 0.0"),
        ({"pixel_size_um": -1.0}, "pixel_size_um must be above 0"),
        ({"division_tolerance": -1}, "division_tolerance must be 0 or more"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        TrackConfig(**options)


def test_more_tracks_than_16_bits_hold_are_refused_but_for_tables(tmp_path):
    """Single pixels that vanish again: every one is a track of its own."""
    labels = np.zeros((2, 520, 520), np.int32)
    labels[0, ::2, ::2] = np.arange(1, 260 * 260 + 1).reshape(260, 260)
    tifffile.imwrite(tmp_path / "many.tif", labels, photometric="minisblack")
    config = {"input": str(tmp_path / "many.tif"), "output": str(tmp_path / "out"), "overlay": False}
    with pytest.raises(UserError, match=r"67600 tracks: .* are 16-bit and hold up to 65535; add ctc=false"):
        track(TrackConfig(**config))
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_a_drifting_micro_colony(data_root, tmp_path):
    """E. coli whose stage moves 10 to 100 px between frames: only with the correction are links right."""
    source = data_root / "ecoli_timelapse"
    labels = tifffile.imread(source / "ecoli_trpL_tracked_labels_crop.tif")
    rows = np.loadtxt(source / "ecoli_trpL_man_track.txt", dtype=int)
    _write_truth(tmp_path / "truth", TrackedMovie(labels, pd.DataFrame(rows)))
    tifffile.imwrite(tmp_path / "labels.tif", scrambled(labels), photometric="minisblack")
    recall, counts = {}, {}
    for method in DriftMethod:
        config = TrackConfig(
            drift=DriftConfig(method), input=str(tmp_path / "labels.tif"), output=str(tmp_path / method.name),
            reference=str(tmp_path / "truth"), overlay=False,
        )  # fmt: skip
        summary = track(config)
        recall[method] = summary["metrics"]["link_recall"]
        counts[method] = summary["n_tracks"], summary["n_divisions"]
    assert recall[DriftMethod.auto] == 1
    assert counts[DriftMethod.auto] == (32, 15)
    assert recall[DriftMethod.none] < 0.8
