"""A folder with single images and a movie: their cells share a table, in which only the movie's have frames."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import correct, evaluate, export, predict, quantify
from cellflax.errors import UserError
from cellflax.io.predictions import cells_by_image, cells_of_image, read_cells
from cellflax.models.patch_net import PatchNetConfig, Stage
from cellflax.napari_plugin.reader import result_layers
from cellflax.refine.threshold import ThresholdConfig
from tests.commands import run_command
from tests.random_checkpoints import random_checkpoint


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """What `predict` wrote for two images and a movie of three frames, with uncertainties."""
    folder = tmp_path_factory.mktemp("mixed")
    network = PatchNetConfig(stages=[Stage([4], [4]), Stage([3], [4])], dense=[4])
    cells = ThresholdConfig(interior=0.42, min_area_px=5)  # which random weights find
    checkpoint = random_checkpoint(folder / "network", network, refine=cells)
    draw = np.random.default_rng(0)
    (folder / "in").mkdir()
    for name, frames in (("a", 1), ("b", 1), ("m", 3)):
        pixels = draw.integers(100, 900, (frames, 2, 48, 48)).astype(np.uint16)
        tifffile.imwrite(folder / "in" / f"{name}.ome.tif", pixels, ome=True, metadata={"axes": "TCYX"})
    given = (f"checkpoint={checkpoint}", f"input={folder / 'in'}", "channels=[0,1]", f"output={folder / 'out'}")
    result = run_command(predict.main, *given, "test_time_augmentation=4")
    assert result.status == 0, result.err
    return folder / "out"


def test_rows_of_an_image_and_of_a_movie(predicted):
    table = read_cells(predicted / "cells.csv")
    assert table["frame"].isna().any()
    assert table["frame"].notna().any()
    for rows in (lambda name: cells_of_image(table, name), cells_by_image(table)):
        assert len(rows("a")) > 0
        assert "frame" not in rows("a")
        assert rows("m")["frame"].dtype == np.int64
        assert set(rows("m")["frame"]) == {0, 1, 2}
        assert sum(len(rows(name)) for name in ("a", "b", "m")) == len(table)


@pytest.mark.parametrize(("frames", "shown"), [(["", "0"], "'0'"), (["0", ""], "''"), (["0", "0.5"], "'0.5'")])
def test_frames_that_cannot_be(tmp_path, frames, shown):
    path = tmp_path / "cells.csv"
    path.write_text("image,frame,label\n" + "".join(f"a,{frame},{i + 1}\n" for i, frame in enumerate(frames)))
    with pytest.raises(UserError, match=f"line 3, frame must be a whole number.* got {shown} for a; predict again"):
        read_cells(path)


def test_quantify(predicted, tmp_path):
    result = run_command(quantify.main, "method=cells", f"predicted={predicted}", f"output={tmp_path / 'out'}")
    assert result.status == 0, result.err
    measured = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert len(measured) == len(read_cells(predicted / "cells.csv"))


def test_correct_chooses_among_both(predicted, tmp_path):
    given = (f"predictions={predicted}", "by=total", "count=5", f"output={tmp_path / 'out'}")
    result = run_command(correct.main, *given)
    assert result.status == 0, result.err
    written = {path.stem for path in (tmp_path / "out" / "labels").iterdir()}
    assert written == {"a", "b", "m_t0000", "m_t0001", "m_t0002"}


def test_evaluate_scores_the_uncertainty_of_both(predicted, tmp_path):
    given = (f"predicted={predicted}", f"reference={predicted}", f"output={tmp_path / 'out'}")
    result = run_command(evaluate.main, *given)
    assert result.status == 0, result.err
    assert "not scored" not in result.err


def test_exports(predicted, tmp_path):
    given = (f"input={predicted}", "format=[geojson,anndata]", f"output={tmp_path / 'out'}")
    result = run_command(export.main, *given)
    assert result.status == 0, result.err
    table = read_cells(predicted / "cells.csv")
    names = set(anndata.read_h5ad(tmp_path / "out" / "cells.h5ad").obs_names)
    assert len(names) == len(table)
    assert "a_1" in names
    assert any(name.startswith("m_2_") for name in names)
    found = json.loads((tmp_path / "out" / "geojson" / "a.geojson").read_text())["features"]
    assert len(found) == len(cells_of_image(table, "a"))


def test_napari_opens_both(predicted):
    names = {attributes["name"] for _, attributes, _ in result_layers(predicted)}
    assert {"a cells", "m cells"} <= names
