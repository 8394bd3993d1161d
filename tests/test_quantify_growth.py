"""`cellflax.quantify method=growth` and `method=cells` on a drawn, tracked colony, end to end."""

import json

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import track as track_command
from cellflax.errors import UserError
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantification.tracks import join_gaps
from cellflax.quantify import main, quantify
from cellflax.tracking.ctc import TrackedMovie
from tests.commands import run_command
from tests.measure.test_shape import rod

SHAPE, FRAMES, INTERVAL_S, PIXEL_UM, RATE_PER_H = (110, 200), 16, 300.0, 0.1, 1.5
# track: begin, end, parent, centre, start of its growth. 1 divides into 2 and 3, 3 into 4 and 5; 6 lies at the border
# and is not seen in frame 7, after which it is track 7.
TRACKS = {
    1: (0, 3, 0, (30, 100)),
    2: (4, 15, 1, (40, 100)),
    3: (4, 11, 1, (20, 100)),
    4: (12, 15, 3, (20, 80)),
    5: (12, 15, 3, (20, 120)),
    6: (0, 6, 0, (60, 0)),
    7: (8, 15, 6, (60, 0)),
    8: (0, 15, 0, (95, 100)),
}
WIDTH, LENGTH = 9.0, 24.0


def colony() -> np.ndarray:
    """(T, H, W) tracks: rods of constant width whose area grows by e^(1.5 t/h); in frame 9 track 8 swells by half."""
    labels = np.zeros((FRAMES, *SHAPE), np.uint16)
    for track, (begin, end, _, centre) in TRACKS.items():
        born = 0 if track == 7 else begin
        for t in range(begin, end + 1):
            area = (LENGTH * WIDTH) * np.exp(RATE_PER_H * (t - born) * INTERVAL_S / 3600)
            area *= 1.5 if (track, t) == (8, 9) else 1
            length = area / WIDTH + WIDTH * (1 - np.pi / 4)
            labels[t][rod(SHAPE, centre, length, WIDTH, 0.0)] = track
    return labels


@pytest.fixture
def folder(tmp_path):
    """What `cellflax.track` writes of the colony, and the label images with types that it could come from."""
    for name in ("tracks", "labels"):
        (tmp_path / name).mkdir()
    labels = colony()
    cells = []
    for t, frame in enumerate(labels):
        tifffile.imwrite(tmp_path / f"tracks/mask{t:03d}.tif", frame)
        tifffile.imwrite(tmp_path / f"labels/t{t}_labels.tif", np.where(frame > 0, 40 - frame, 0).astype(np.uint16))
        present = np.unique(frame[frame > 0])
        kind = np.where(present % 2 == 0, "even", "odd")
        cells.append({"image": f"t{t}", "label": 40 - present, "cell_type": kind, "uncertainty": present / 100})
    pd.concat(map(pd.DataFrame, cells)).to_csv(tmp_path / "labels/cells.csv", index=False)
    lines = [f"{track} {begin} {end} {parent}\n" for track, (begin, end, parent, _) in TRACKS.items()]
    (tmp_path / "tracks/res_track.txt").write_text("".join(lines))
    _times(tmp_path, INTERVAL_S * np.arange(FRAMES))
    return tmp_path


def config(folder, **changes) -> QuantifyConfig:
    options = {"method": QuantifyMethod.growth, "tracks": str(folder / "tracks"), "output": str(folder / "out")}
    return QuantifyConfig(**{**options, "pixel_size_um": PIXEL_UM, **changes})


def test_growth(folder):
    metrics = quantify(config(folder))
    assert json.loads((folder / "out/metrics.json").read_text()) == metrics
    assert (metrics["n_frames"], metrics["n_tracks"], metrics["n_divisions"]) == (FRAMES, 7, 2)
    assert metrics["growth_rate_per_h"]["n"] == 6  # 6 touches the border
    assert metrics["growth_rate_per_h"]["median"] == pytest.approx(RATE_PER_H, rel=0.03)
    assert metrics["division_time_h"]["n"] == 1  # 3's
    assert metrics["division_time_h"]["median"] == pytest.approx(8 / 12)
    # Steps: 3 of track 1, 11 of 2, 7 of 3, 3 each of 4 and 5, 15 of 8.
    assert metrics["area_jumps"] == {"n": 1, "n_steps": 42, "share": 1 / 42}

    tracks = pd.read_csv(folder / "out/growth_tracks.csv").set_index("track")
    assert list(tracks.index) == [1, 2, 3, 4, 5, 6, 8]
    assert list(tracks["parent"]) == [0, 1, 1, 3, 3, 0, 0]
    assert list(tracks["generation"]) == [0, 1, 1, 2, 2, 0, 0]
    assert list(tracks["n_daughters"]) == [2, 0, 2, 0, 0, 0, 0]
    assert tracks.loc[6, ["first_frame", "last_frame", "n_frames"]].tolist() == [0, 15, 15]
    assert tracks["division_time_h"].notna().tolist() == [False, False, True, False, False, False, False]
    assert tracks.loc[8, "growth_rate_low_per_h"] < RATE_PER_H < tracks.loc[8, "growth_rate_high_per_h"]

    cells = pd.read_csv(folder / "out/growth.csv")
    assert cells.columns[:5].tolist() == ["frame", "time_s", "track", "parent", "generation"]
    one = cells[(cells["track"] == 2) & (cells["frame"] == 4)].iloc[0]
    assert one["time_s"] == 4 * INTERVAL_S
    assert one["area_um2"] == pytest.approx(LENGTH * WIDTH * PIXEL_UM**2, rel=0.05)
    assert one["width_um"] == pytest.approx(WIDTH * PIXEL_UM, rel=0.05)
    assert np.isnan(one["growth_rate_per_h"])
    assert cells.loc[cells["track"] == 6, "touches_border"].all()
    assert cells.loc[cells["track"] == 6, "growth_rate_per_h"].isna().all()
    for name in ("growth", "rate_map"):
        assert matplotlib.image.imread(folder / f"out/{name}.png").ndim == 3


def test_without_times_rates_are_per_frame_and_borders_may_count(folder):
    (folder / "tracks/tracks.csv").unlink()
    options = config(folder, pixel_size_um=None)
    options.growth.use_border_cells = True
    metrics = quantify(options)
    assert metrics["growth_rate_per_frame"]["n"] == 7
    assert metrics["growth_rate_per_frame"]["median"] == pytest.approx(RATE_PER_H / 12, rel=0.05)
    assert metrics["division_time_frame"]["median"] == 8
    names = pd.read_csv(folder / "out/growth.csv").columns
    assert not [name for name in names if "_um" in name or name == "time_s"]


def test_the_truth_of_a_simulated_movie(folder):
    truth = quantify(config(folder, truth=str(_truth(folder, RATE_PER_H))))["truth"]
    assert (truth["n"], truth["n_truth"]) == (6, 8)
    assert truth["relative_error"] < 0.03
    truth = quantify(config(folder, truth=str(_truth(folder, 2 * RATE_PER_H)), overwrite=True))["truth"]
    assert truth["relative_error"] == pytest.approx(0.5, abs=0.03)


def _truth(folder, rate):
    """The movie as `cellflax.simulate` writes it, with other numbers of the tracks."""
    (folder / "movie/labels").mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(colony()):
        tifffile.imwrite(folder / f"movie/labels/man_track{t:03d}.tif", np.where(frame > 0, 100 - frame, 0))
    spans = {100 - track: (begin, end, parent and 100 - parent) for track, (begin, end, parent, _) in TRACKS.items()}
    lines = [f"{track} {begin} {end} {parent}\n" for track, (begin, end, parent) in spans.items()]
    (folder / "movie/labels/man_track.txt").write_text("".join(lines))
    rows = [(t, track) for track, (begin, end, _) in spans.items() for t in range(begin, end + 1)]
    table = pd.DataFrame(rows, columns=["frame", "track"]).assign(growth_rate_per_h=rate)
    table.to_csv(folder / "movie/truth.csv", index=False)
    return folder / "movie"


def test_all_that_is_known_of_tracked_cells(folder):
    rng = np.random.default_rng(0)
    movie = (100 * colony() + rng.integers(0, 2, (FRAMES, *SHAPE))).astype(np.uint16)
    tifffile.imwrite(folder / "movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    options = {"predicted": str(folder / "labels"), "image": str(folder / "movie.tif")}
    metrics = quantify(config(folder, method=QuantifyMethod.cells, **options))
    cells = pd.read_csv(folder / "out/cells.csv")
    assert metrics["n_cells"] == len(cells) == sum(end - begin + 1 for begin, end, *_ in TRACKS.values())
    assert set(metrics["types"]) == {"odd", "even"}
    # Track 6 continues as 7 in the files, which had an odd number.
    original = np.where((cells["track"] == 6) & (cells["frame"] > 7), 7, cells["track"])
    np.testing.assert_array_equal(cells["cell_type"], np.where(original % 2 == 0, "even", "odd"))
    np.testing.assert_allclose(cells["uncertainty"], original / 100)
    np.testing.assert_allclose(cells["intensity_mean_image"], 100 * original + 0.5, atol=0.3)
    np.testing.assert_array_equal(cells["time_s"], INTERVAL_S * cells["frame"])
    assert {"parent", "generation", "perimeter_um", "length_um", "solidity"} <= set(cells.columns)


def test_cells_of_single_images(folder):
    metrics = quantify(config(folder, method=QuantifyMethod.cells, tracks=None, predicted=str(folder / "labels")))
    cells = pd.read_csv(folder / "out/cells.csv")
    assert metrics["n_images"] == FRAMES
    assert list(pd.unique(cells["image"])) == [f"t{t}" for t in range(FRAMES)]  # t2 before t10
    assert not {"track", "frame"} & set(cells.columns)
    assert cells["cell_type"].notna().all()
    (folder / "labels/cells.csv").unlink()
    predicted = str(folder / "labels")
    quantify(config(folder, method=QuantifyMethod.cells, tracks=None, predicted=predicted, overwrite=True))
    assert "cell_type" not in pd.read_csv(folder / "out/cells.csv")


def test_single_children_are_joined_over_gaps_alone():
    table = [(1, 0, 1, 0), (2, 3, 3, 1), (3, 5, 6, 2), (4, 7, 9, 3), (5, 8, 9, 4)]
    labels = np.array([[[1, 2, 3, 4, 5]]])
    joined = join_gaps(TrackedMovie(labels, pd.DataFrame(table, columns=["track", "begin", "end", "parent"])))
    # 2 and 3 are 1 after a gap; 4 follows at once, and 5 follows 4 at once (its other daughter left the field).
    assert np.asarray(joined.labels).tolist() == [[[1, 1, 1, 4, 5]]]
    assert joined.tracks.to_numpy().tolist() == [[1, 0, 6, 0], [4, 7, 9, 1], [5, 8, 9, 4]]


def test_what_the_track_command_wrote(tmp_path):
    """Times, pixel size, and its own numbers of tracks, which its masks lose at the first gap."""
    labels = colony()
    labels[labels == 7] = 6  # numbers are by frame alone; the gap is for the tracker to close
    tifffile.imwrite(tmp_path / "colony.tif", labels, imagej=True, metadata={"axes": "TYX"})
    options = {"input": str(tmp_path / "colony.tif"), "output": str(tmp_path / "tracks"), "overlay": False}
    track_command.track(track_command.TrackConfig(**options, frame_interval_s=INTERVAL_S, pixel_size_um=PIXEL_UM))
    metrics = quantify(config(tmp_path, pixel_size_um=None))
    assert (metrics["n_tracks"], metrics["n_divisions"]) == (7, 2)
    assert metrics["growth_rate_per_h"]["median"] == pytest.approx(RATE_PER_H, rel=0.03)
    found, given = pd.read_csv(tmp_path / "out/growth.csv"), pd.read_csv(tmp_path / "tracks/tracks.csv")
    names = ["frame", "track", "parent", "generation", "time_s", "area_px", "area_um2"]
    expected = given.sort_values(["track", "frame"], ignore_index=True)[names]
    pd.testing.assert_frame_equal(found[names], expected, check_dtype=False)


def test_command(folder):
    arguments = ("method=growth", f"tracks={folder}/tracks", f"output={folder}/out", "frame_interval_s=600")
    result = run_command(main, *arguments)
    assert result.status == 0, result.err
    assert "7 tracks, 2 divisions in 16 frames" in result.out
    assert "growth_rate_per_h: median 0.7" in result.out  # half as fast
    assert "area jumps: 1 of 42 = 2.38%" in result.out


def _other_movie(folder):
    _truth(folder, 1.0)
    for path in (folder / "tracks").glob("mask*.tif"):
        tifffile.imwrite(path, np.roll(tifffile.imread(path), 10, axis=0))


def _no_times(folder):
    _truth(folder, 1.0)
    (folder / "tracks/tracks.csv").unlink()


def _one_frame(folder):
    for path in (folder / "tracks").glob("mask*.tif"):
        if path.name != "mask000.tif":
            path.unlink()
    (folder / "tracks/res_track.txt").write_text("1 0 0 0\n6 0 0 0\n8 0 0 0\n")


def _empty_frames(folder):
    for path in (folder / "tracks").glob("mask*.tif"):
        tifffile.imwrite(path, np.zeros(SHAPE, np.uint16))
    (folder / "tracks/res_track.txt").write_text("")


def _times(folder, times):
    table = pd.DataFrame({"frame": range(len(times)), "track": 8, "time_s": times})
    table.to_csv(folder / "tracks/tracks.csv", index=False)


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (None, {"tracks": None}, "method=growth needs tracks=DIR"),
        (None, {"tracks": None, "method": QuantifyMethod.cells}, "predicted is not given; add predicted="),
        (None, {"tracks": "{}/labels"}, "neither man_track.txt nor res_track.txt"),
        (_one_frame, {}, "method=growth needs two frames or more"),
        (_empty_frames, {}, "no cell in any frame"),
        (lambda f: _times(f, [0, 60, 60, *range(100, 113)]), {}, "time stamps do not rise: frame 1 at 60 s"),
        (lambda f: _times(f, [0, 60]), {}, "tracks.csv: the first or the last frame has no time_s"),
        (lambda f: (f / "tracks/tracks.csv").write_text('"'), {}, "tracks.csv: cannot be read as a table"),
        (lambda f: (f / "labels/t3_labels.tif").unlink(), {"predicted": "{}/labels"}, "no file for frame 3 of"),
        (None, {"truth": "{}/movie"}, "truth.csv: cannot be opened"),
        (
            _no_times,
            {"truth": "{}/movie"},
            "truth.csv: line 1 has no column growth_rate_per_frame",
        ),
        (
            lambda f: _truth(f, "x"),
            {"truth": "{}/movie"},
            "truth.csv: line 2, growth_rate_per_h must be a number, got 'x'",
        ),
        (lambda f: _truth(f, 0), {"truth": "{}/movie"}, "growth_rate_per_h must be above 0"),
        (_other_movie, {"truth": "{}/movie"}, "none of its cells is a track of"),
    ],
)
def test_mistakes_end_in_one_line(folder, spoil, changes, message):
    if spoil is not None:
        spoil(folder)
    fill = {key: value.format(folder) if isinstance(value, str) else value for key, value in changes.items()}
    with pytest.raises(UserError) as caught:
        quantify(config(folder, **fill))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "out/metrics.json").exists()


@pytest.mark.parametrize("key", ["pixel_size_um", "frame_interval_s"])
def test_ranges(key):
    with pytest.raises(UserError, match=f"{key} must be above 0, or null, got -1"):
        QuantifyConfig(**{key: -1.0})


@pytest.mark.real_data
def test_cell_tracking_challenge_folder(data_root, tmp_path):
    """Simulated nuclei that divide but hardly grow."""
    metrics = quantify(config(tmp_path, tracks=str(data_root / "ctc/Fluo-N2DH-SIM+/01_GT"), pixel_size_um=0.125))
    assert metrics["n_tracks"] == 69
    assert metrics["n_divisions"] in (18, 19)
    assert abs(metrics["growth_rate_per_frame"]["median"]) < 0.02
    assert metrics["area_jumps"]["share"] < 0.05
