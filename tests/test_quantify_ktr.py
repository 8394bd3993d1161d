"""`cellflax.quantify method=ktr` on a drawn movie and on real images, end to end."""

import json
import shutil

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.pairs import PairBy
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantify import main, quantify
from tests.commands import run_command
from tests.measure.reporters import FRAMES, shuttling_cells

RATIO = "nucleus_to_cytoplasm"


@pytest.fixture(scope="module")
def movie():
    return shuttling_cells(seed=5)


@pytest.fixture
def folder(tmp_path, movie):
    """Cells and nuclei, tracked alike; the cells under other numbers; reporter, nuclear marker and truth."""
    for name in ("cells", "nuclei", "predicted", "reporter", "nuclear"):
        (tmp_path / name).mkdir()
    n = movie.ratio.shape[1]
    for t in range(FRAMES):
        for name, labels in (("cells", movie.cells), ("nuclei", movie.nuclei)):
            tifffile.imwrite(tmp_path / f"{name}/mask{t:03d}.tif", labels[t].astype(np.uint16))
        other = np.where(movie.cells[t] > 0, n + 1 - movie.cells[t], 0).astype(np.uint16)
        tifffile.imwrite(tmp_path / f"predicted/f{t}_labels.tif", other)
        tifffile.imwrite(tmp_path / f"reporter/f{t}_YFP.tif", movie.images[t].astype(np.float32))
        marker = 100 + 2000.0 * (movie.nuclei[t] > 0) + np.random.default_rng(t).normal(0, 5, other.shape)
        tifffile.imwrite(tmp_path / f"nuclear/f{t}_DAPI.tif", marker.astype(np.float32))
    for name in ("cells", "nuclei"):
        lines = [f"{label} 0 {FRAMES - 1} 0\n" for label in range(1, n + 1)]
        (tmp_path / name / "res_track.txt").write_text("".join(lines))
    types = {"image": np.repeat([f"f{t}" for t in range(FRAMES)], n), "label": np.tile(np.arange(1, n + 1), FRAMES)}
    pd.DataFrame({**types, "cell_type": "hela"}).to_csv(tmp_path / "predicted/cells.csv", index=False)
    (tmp_path / "movie").mkdir()
    shutil.copytree(tmp_path / "cells", tmp_path / "movie/labels")
    frame, track = np.divmod(np.arange(FRAMES * n), n)
    truth = {"frame": frame, "track": track + 1, RATIO: movie.ratio.ravel()}
    pd.DataFrame(truth).to_csv(tmp_path / "movie/truth.csv", index=False)
    return tmp_path


def config(folder, **changes) -> QuantifyConfig:
    options = {"reporter": str(folder / "reporter"), "truth": str(folder / "movie"), "output": str(folder / "out")}
    made = QuantifyConfig(**{"method": QuantifyMethod.ktr, **options, **changes})
    made.ktr.ring_px = [5, 25]
    made.seeds.diameter_px = 15.0
    return made


@pytest.mark.parametrize(
    ("given", "label_of_track"),
    [
        ({"tracks": "cells", "nuclear": "nuclear"}, None),
        ({"tracks": "nuclei", "predicted": "predicted"}, lambda track: 17 - track),
    ],
)
def test_tracked_cells_or_tracked_nuclei(folder, movie, given, label_of_track):
    metrics = quantify(config(folder, **{key: str(folder / value) for key, value in given.items()}))
    assert json.loads((folder / "out/metrics.json").read_text()) == metrics
    assert (metrics["n_frames"], metrics["n_tracks"]) == (FRAMES, 16)
    truth = metrics["truth"]
    assert list(truth) == ["ring_5px", "ring_25px", "mixture"]
    assert truth["mixture"]["n"] == truth["mixture"]["n_truth"] == 16 * FRAMES
    for ring in ("ring_5px", "ring_25px"):
        assert truth["mixture"]["correlation"] > truth[ring]["correlation"]
        assert truth["mixture"]["relative_error"] < truth[ring]["relative_error"]
    cells = pd.read_csv(folder / "out/ktr.csv")
    course = cells[cells["track"] == 3].sort_values("frame")
    assert np.corrcoef(course[f"{RATIO}_mixture"], movie.ratio[:, 2])[0, 1] > 0.99
    if label_of_track is not None:
        np.testing.assert_array_equal(cells["label"], label_of_track(cells["track"]))
        assert (cells["cell_type"] == "hela").all()
    for name in ("ktr", "ring_radius"):
        assert matplotlib.image.imread(folder / f"out/{name}.png").ndim == 3


def test_single_images_with_and_without_cells(folder):
    options = {"truth": None, "nuclear": str(folder / "nuclear")}
    with_cells = quantify(config(folder, predicted=str(folder / "predicted"), **options))
    assert (with_cells["n_tracks"], "truth" in with_cells) == (None, False)
    cells = pd.read_csv(folder / "out/ktr.csv")
    assert cells.columns[:3].tolist() == ["image", "label", "nucleus"]
    assert (cells["cell_type"] == "hela").all()
    without = quantify(config(folder, **options, overwrite=True))
    assert list(without[RATIO]) == ["ring_5px", "ring_25px"]
    assert list(pd.unique(pd.read_csv(folder / "out/ktr.csv")["image"])) == [f"f{t}_DAPI" for t in range(FRAMES)]


def test_command_with_a_movie_in_one_file(folder, movie):
    tifffile.imwrite(folder / "yfp.tif", movie.images.astype(np.float32), imagej=True, metadata={"axes": "TYX"})
    arguments = (
        "method=ktr", f"tracks={folder}/cells", f"nuclei={folder}/nuclei", f"reporter={folder}/yfp.tif",
        f"truth={folder}/movie", f"output={folder}/out", "ktr.ring_um=[3.25,9]", "pixel_size_um=0.65",
    )  # fmt: skip
    result = run_command(main, *arguments)
    assert result.status == 0, result.err
    assert "144 cells of 16 tracks in 9 frames" in result.out
    assert "nucleus_to_cytoplasm by ring_3.25um: median" in result.out
    assert "truth, mixture: correlation 0.99" in result.out


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (None, {"reporter": None}, "method=ktr needs the reporter's images; add reporter="),
        (None, {"tracks": None}, "method=ktr needs nuclei: add nuclear="),
        (
            None,
            {"tracks": None, "nuclei": "{}/nuclei", "pair": PairBy.order},
            "truth={}/movie needs tracked cells; add tracks=",
        ),
        (lambda f: (f / "reporter/f3_YFP.tif").unlink(), {}, "no file for frame 3 of"),
        (
            lambda f: tifffile.imwrite(f / "reporter/f3_YFP.tif", np.eye(9, dtype=np.float32)),
            {},
            "nuclei, frame 3: nuclei of shape (180, 220) for a reporter image of (9, 9)",
        ),
        (
            lambda f: [file.unlink() for file in (f / "movie/labels").glob("*008.tif")],
            {},
            "res_track.txt: track 1 is said to be in frames 0 to 8",
        ),
    ],
)
def test_mistakes_end_in_one_line(folder, spoil, changes, message):
    if spoil is not None:
        spoil(folder)
    options = {"tracks": "{}/nuclei", **changes}
    fill = {key: value.format(folder) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(UserError) as caught:
        quantify(config(folder, **fill))
    assert message.format(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    some = "frame 3: nuclei of shape" in message  # the other frames are measured
    assert (folder / "out/metrics.json").exists() == some
    if some:
        metrics = json.loads((folder / "out/metrics.json").read_text())
        assert (metrics["n_frames"], len(metrics["failed"])) == (FRAMES - 1, 1)
        assert 3 not in set(pd.read_csv(folder / "out/ktr.csv")["frame"])


def test_neither_ring_nor_cells(folder):
    options = config(folder, tracks=str(folder / "nuclei"))
    options.ktr.ring_px = []
    with pytest.raises(UserError, match="no cells for a mixture"):
        quantify(options)


@pytest.mark.real_data
def test_real_reporter_from_nuclei_found_in_dapi(data_root, tmp_path):
    images = data_root / "ktr/testimages1"
    options = {"nuclear": str(images / "*DAPI*"), "reporter": str(images / "*YFP*"), "truth": None}
    metrics = quantify(config(tmp_path, **options))
    assert metrics["n_frames"] == 4
    assert 500 < metrics["n_cells_and_frames"] < 1200
    # Wider rings hold ever more of the medium between these thin cells.
    assert 0.8 < metrics[RATIO]["ring_5px"]["median"] < metrics[RATIO]["ring_25px"]["median"]
