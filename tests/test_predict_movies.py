"""`cellflax.predict` on movies, and what `track` and `quantify` read of its results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import predict, quantify, track
from tests.commands import Result, run_command

N_FRAMES = 3
OPTIONS = ("channels=[phase,nuclear]", "refine=watershed", "refine.interior=0.3")


@pytest.fixture(scope="module")
def root(trained, fields, tmp_path_factory) -> Path:
    """A field that drifts: movies of its channels and nuclei, and the same as a file per frame and channel."""
    root = tmp_path_factory.mktemp("movies")
    metadata = {"axes": "TYX", "TimeIncrement": 2.0, "TimeIncrementUnit": "min"}
    pixels = {c: tifffile.imread(fields / "images" / f"field_0007_{c}.tif") for c in ("phase", "nuclear")}
    pixels["nuclei"] = tifffile.imread(fields / "nuclei" / "field_0007.tif")
    for name in ("movie", "frames", "truth"):
        (root / name).mkdir()
    for channel, plane in pixels.items():
        movie = np.stack([plane[t : t + 120, :120] for t in range(N_FRAMES)])
        sizes = {f"PhysicalSize{axis}": 1.3 for axis in "XY"}
        if channel == "nuclei":
            tifffile.imwrite(root / "truth" / "a_nuclei.tif", movie, photometric="minisblack", metadata={"axes": "TYX"})
            continue
        tifffile.imwrite(root / "movie" / f"a_{channel}.tif", movie, ome=True, metadata={**metadata, **sizes})
        for t, frame in enumerate(movie):
            tifffile.imwrite(root / "frames" / f"t{3 * t}_{channel}.tif", frame)
    options = ("save_probability=true", f"nuclei_checkpoint={trained.path}")
    result = segmented(trained.path, root / "movie", root / "of_movie", *options)
    assert result.status == 0, result.err
    assert f"a, frame {N_FRAMES - 1}: " in result.err
    return root


def segmented(checkpoint: Path, source: Path, output: Path, *options: str) -> Result:
    given = (f"checkpoint={checkpoint}", f"input={source}", f"output={output}", *OPTIONS, *options)
    return run_command(predict.main, *given)


def read(path: Path) -> np.ndarray:
    return tifffile.imread(path)


def test_a_movie_and_its_frames_as_files_give_the_same(trained, root):
    out = root / "of_movie"
    kinds = ("labels", "seeds", "probability")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"a_{kind}.tif" for kind in kinds), "cells.csv", "overlay.png", "provenance.json", "report.html"]
    )
    options = ("save_probability=true", f"nuclei_checkpoint={trained.path}", "pixel_size_um=1.3")
    assert segmented(trained.path, root / "frames", root / "of_frames", *options).status == 0
    for kind in kinds:
        frames = [read(root / "of_frames" / f"t{3 * t}_{kind}.tif") for t in range(N_FRAMES)]
        np.testing.assert_array_equal(read(out / f"a_{kind}.tif"), np.stack(frames))
    cells, of_frames = (pd.read_csv(root / name / "cells.csv") for name in ("of_movie", "of_frames"))
    assert list(cells)[:4] == ["image", "frame", "time_s", "label"]
    np.testing.assert_array_equal(cells["time_s"], 120 * cells["frame"])
    assert cells["label"].max() > 5
    pd.testing.assert_frame_equal(cells.drop(columns=["image", "frame", "time_s"]), of_frames.drop(columns="image"))
    with tifffile.TiffFile(out / "a_labels.tif") as tiff:
        assert 'PhysicalSizeX="1.3"' in tiff.ome_metadata
        assert 'TimeIncrement="120.0"' in tiff.ome_metadata


def test_tracked_and_quantified_without_conversion(root, tmp_path):
    cells = pd.read_csv(root / "of_movie" / "cells.csv")
    given = (f"input={root / 'of_movie'}", f"images={root / 'movie' / 'a_phase.tif'}", f"output={tmp_path / 'tracks'}")
    result = run_command(track.main, *given)
    assert result.status == 0, result.err
    tracks = pd.read_csv(tmp_path / "tracks" / "tracks.csv")
    assert len(tracks) == len(cells)
    np.testing.assert_array_equal(tracks["time_s"], 120 * tracks["frame"])
    assert "area_um2" in tracks
    assert (tracks["track"].value_counts() == N_FRAMES).sum() > 5
    summaries = {}
    for name, source in {"tracks": f"tracks={tmp_path / 'tracks'}", "cells": f"predicted={root / 'of_movie'}"}.items():
        options = ("method=ktr", source, f"reporter={root / 'movie' / 'a_nuclear.tif'}")
        nuclei = f"nuclei={root / 'of_movie' / 'a_seeds.tif'}"
        result = run_command(quantify.main, *options, nuclei, f"output={tmp_path / name}")
        assert result.status == 0, result.err
        summaries[name] = json.loads((tmp_path / name / "metrics.json").read_text())
        assert summaries[name]["n_frames"] == N_FRAMES
        ratios = pd.read_csv(tmp_path / name / "ktr.csv")
        assert set(ratios["frame"]) == set(range(N_FRAMES))
        np.testing.assert_array_equal(ratios["time_s"], 120 * ratios["frame"])
    ratio = "nucleus_to_cytoplasm"
    assert summaries["tracks"][ratio] == summaries["cells"][ratio]
    options = (f"tracks={tmp_path / 'tracks'}", f"predicted={root / 'of_movie'}", f"output={tmp_path / 'growth'}")
    result = run_command(quantify.main, "method=growth", *options)
    assert result.status == 0, result.err


def test_nuclei_of_every_frame(trained, root, tmp_path):
    options = ("save_probability=true", f"nuclei={root / 'truth'}")
    assert segmented(trained.path, root / "movie", tmp_path, *options).status == 0
    seeds, nuclei = read(tmp_path / "a_seeds.tif"), read(root / "truth" / "a_nuclei.tif")
    np.testing.assert_array_equal(seeds > 0, nuclei > 0)
    labels = read(tmp_path / "a_labels.tif")
    for t in range(N_FRAMES):
        cells_of = [np.unique(labels[t][(seeds[t] == n) & (labels[t] > 0)]) for n in range(1, seeds[t].max() + 1)]
        assert max(len(cells) for cells in cells_of) == 1
        assert sorted(int(cells[0]) for cells in cells_of if len(cells)) == list(range(1, labels[t].max() + 1))


def spoilt(root: Path, folder: Path, frames: list[int], value: float) -> Path:
    """The movie with frames that have one value everywhere."""
    for channel in ("phase", "nuclear"):
        movie = read(root / "movie" / f"a_{channel}.tif").astype(np.float32)
        movie[frames] = value
        tifffile.imwrite(folder / f"a_{channel}.tif", movie, ome=True, metadata={"axes": "TYX"})
    return folder / "*.tif"


@pytest.mark.parametrize("blank", [[0], [2], [0, 1]])
def test_a_blank_frame_of_a_movie_has_no_cells(trained, root, tmp_path, blank):
    options = ("save_probability=true", f"nuclei_checkpoint={trained.path}")
    result = segmented(trained.path, spoilt(root, tmp_path, blank, 7), tmp_path / "out", *options)
    assert result.status == 0, result.err
    for t in blank:
        assert f"{tmp_path}/a_phase.tif, frame {t}: channel phase is constant (7.0)" in result.err
    for kind in ("labels", "seeds"):
        movie = read(tmp_path / "out" / f"a_{kind}.tif")
        assert len(movie) == N_FRAMES
        assert [t for t, frame in enumerate(movie) if not frame.any()] == blank
    others = sorted(set(range(N_FRAMES)) - set(blank))
    assert sorted(pd.read_csv(tmp_path / "out" / "cells.csv")["frame"].unique()) == others
    whole = read(root / "of_movie" / "a_labels.tif")
    np.testing.assert_array_equal(read(tmp_path / "out" / "a_labels.tif")[others], whole[others])
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert list(provenance["failed"]) == [f"a, frame {t}" for t in blank]


def test_a_frame_that_cannot_be_used_is_told_at_the_end(trained, root, tmp_path):
    result = segmented(trained.path, spoilt(root, tmp_path, [1], np.nan), tmp_path / "out")
    assert result.status == 1
    assert "a_phase.tif, frame 1: channel phase contains NaN" in result.error
    assert len(read(tmp_path / "out" / "a_labels.tif")) == N_FRAMES
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["complete"] is False


def test_resume_tries_a_movie_with_a_bad_frame_again(trained, root, tmp_path):
    out = tmp_path / "out"
    spoilt(root, tmp_path, [1], np.nan)
    (tmp_path / "b").mkdir()
    for file in spoilt(root, tmp_path / "b", [2], 7).parent.iterdir():  # a finished movie with a blank frame
        file.rename(tmp_path / file.name.replace("a_", "b_"))
    assert segmented(trained.path, tmp_path / "*.tif", out).status == 1
    failed = ["a, frame 1", "b, frame 2"]
    table = (out / "cells.csv").read_text()
    again = segmented(trained.path, tmp_path / "*.tif", out, "resume=true")
    assert again.status == 1
    assert "resume: 1 of 2 images are finished already" in again.err
    assert sorted(json.loads((out / "provenance.json").read_text())["failed"]) == failed
    assert (out / "cells.csv").read_text() == table
    for channel in ("phase", "nuclear"):
        shutil.copy(root / "movie" / f"a_{channel}.tif", tmp_path)
    assert segmented(trained.path, tmp_path / "*.tif", out, "resume=true").status == 0
    provenance = json.loads((out / "provenance.json").read_text())
    assert (provenance["complete"], list(provenance["failed"])) == (True, ["b, frame 2"])
    assert [bool(frame.any()) for frame in read(out / "a_labels.tif")] == [True] * N_FRAMES


def test_a_movie_of_blank_frames_leaves_nothing(trained, root, tmp_path):
    result = segmented(trained.path, spoilt(root, tmp_path, [0, 1, 2], 0), tmp_path / "out")
    assert result.status == 1
    assert "channel phase is constant (0.0)" in result.error
    assert not (tmp_path / "out").exists()


def test_mistakes_in_one_line(trained, root, tmp_path):
    short = read(root / "truth" / "a_nuclei.tif")[:2]
    tifffile.imwrite(tmp_path / "a_nuclei.tif", short, photometric="minisblack", metadata={"axes": "TYX"})
    result = segmented(trained.path, root / "movie", tmp_path / "out", f"nuclei={tmp_path / 'a_nuclei.tif'}")
    assert "a_nuclei.tif: 2 frames for a movie of 3" in result.error
    given = (f"checkpoint={trained.path}", f"input={root / 'movie' / 'a_phase.tif'}", f"output={tmp_path / 'out'}")
    assert "a_phase.tif, frame 0: has 1 channels, the checkpoint needs 2" in run_command(predict.main, *given).error
