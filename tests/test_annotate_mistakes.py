"""Mistakes in what `cellflax.annotate` is given: one line each, and nothing is left."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cellflax.io.images import write_image
from tests.stained_plate import PATTERN, SIZE, STAINS, annotate_stains, write_plate


@pytest.fixture(scope="module")
def plate(tmp_path_factory) -> Path:
    return write_plate(tmp_path_factory.mktemp("plate"))


def _without(*names: str):
    return lambda folder: [(folder / name).unlink() for name in names]


def _constant(folder: Path) -> None:
    write_image(folder / "B1_1_dapi_z0.tif", np.zeros((SIZE, SIZE), np.uint16))


def _noise(folder: Path) -> None:
    for index, file in enumerate(sorted(folder.glob("*_dapi_*"))):
        write_image(file, np.random.default_rng(index).poisson(100, (SIZE, SIZE)).astype(np.uint16))


def _smaller(folder: Path) -> None:
    write_image(folder / "B1_1_brightfield_z1.tif", np.eye(50, dtype=np.uint16))


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (_without("B1_1_brightfield_z1.tif"), [], "site B1_1: plane 1 of channel brightfield is missing"),
        (_without("B1_1_dapi_z0.tif", "B1_1_dapi_z1.tif"), [], "site B1_1: no file of channel dapi"),
        (_smaller, [], r"B1_1_brightfield_z1.tif: its size (50, 50) differs from (120, 120)"),
        (_constant, [], "B1_1_dapi_z0.tif: channel dapi is 0 everywhere, nothing was recorded"),
        (_noise, [], "nuclear=dapi: no nucleus at any site"),
        (None, ["pattern={site}-{channel}.tif"], "fits none of the 12 images"),
        (None, ["pattern={well}_{site}_{channel}_*.tif"], "A1_1_actin_z1.tif: A1_1_actin_z0.tif is the same image"),
        (None, ["pattern={wall}.tif"], "unknown field {wall}; there are well, site, channel, plane, z_um"),
        (None, ["nuclear=null"], "nuclear is not given; add nuclear=..., one of actin, brightfield, dapi"),
        (None, ["nuclear=hoechst"], "no file has the channel hoechst; the pattern finds actin, brightfield, dapi"),
        (None, ["cell=dapi"], "nuclear=dapi and cell=dapi: must be different channels"),
        (None, ["images=[dapi,dapi]"], "name each channel once"),
        (None, ["pixel_size_um=0"], "pixel_size_um must be above 0, or null, got 0"),
        (None, ["pattern="], "pattern is not given"),
        (None, ["input="], "input is not given"),
        (None, ["input=/nowhere"], "input=/nowhere: no such folder"),
        (None, ["method=alkofahi", "cell=null"], "method=alkofahi needs a stain of whole cells"),
        (None, ["sadanandan.nuclei.split_depth=0"], "sadanandan.nuclei.split_depth must be above 0, got 0"),
        (None, ["output={}"], "already exists; give a new directory"),
        (None, ["review=/nowhere.csv"], "/nowhere.csv: cannot be opened"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(plate, tmp_path, spoil, arguments, message):
    folder = tmp_path / "in"
    shutil.copytree(plate, folder)
    if spoil is not None:
        spoil(folder)
    given = {argument.split("=")[0]: argument for argument in (f"input={folder}", PATTERN, *STAINS)}
    given["output"] = f"output={tmp_path}/out"
    given |= {argument.split("=")[0]: argument.replace("output={}", f"output={folder}") for argument in arguments}
    result = annotate_stains(*given.values())
    assert result.status == 1
    assert message in result.error
    if spoil in (_smaller, _constant):  # the other sites are annotated
        record = json.loads((tmp_path / "out/provenance.json").read_text())
        assert (record["complete"], list(record["failed"]), list(record["sites"])) == (False, ["B1_1"], ["A1_1"])
        assert "Not used: B1_1: " in (tmp_path / "out/report.html").read_text()
    else:
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
