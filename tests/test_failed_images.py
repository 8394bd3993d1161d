"""One bad file of a batch: it is named, the others are done as if it were not there, and the status is 1."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import annotate, evaluate, quantify
from cellflax.errors import OutputError, UserError
from cellflax.io.failures import Failures, failure
from tests.commands import run_command

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four label images with three cells each, twice; images with nuclei."""
    rng = np.random.default_rng(0)
    for kind in ("predicted", "reference", "images"):
        (tmp_path / kind).mkdir()
    for name in NAMES:
        labels = np.zeros((96, 96), np.uint16)
        for i, place in enumerate(((10, 10), (10, 60), (60, 30)), start=1):
            labels[place[0] : place[0] + 20, place[1] : place[1] + 20 + ord(name) - ord("a")] = i
        light = rng.poisson(100 + 2000 * (labels > 0)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "predicted" / f"{name}_labels.tif", labels)
        tifffile.imwrite(tmp_path / "reference" / f"{name}.tif", np.roll(labels, 2, axis=0))
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", light)
    return tmp_path


COMMANDS = {
    "evaluate": (evaluate.main, "predicted", ("predicted={}/predicted", "reference={}/reference"), "per_cell.csv"),
    "quantify": (quantify.main, "predicted", ("method=cells", "predicted={}/predicted"), "cells.csv"),
    "annotate": (
        annotate.main, "images",
        ("input={}/images", "pattern={{site}}.tif", "sadanandan.nuclei.diameter_px=20", "pixel_size_um=0.5"),
        "review.csv",
    ),
}  # fmt: skip


def _run(command: str, folder: Path, output: Path):
    main, _, arguments, _ = COMMANDS[command]
    return run_command(main, *(argument.format(folder) for argument in arguments), f"output={output}")


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("bad_one", ["a", "b"])  # the first, too, by which commands know what files hold
@pytest.mark.parametrize("command", COMMANDS)
def test_the_others_are_done_as_without_it(folder, command, bad_one):
    _, kind, _, table = COMMANDS[command]
    without = folder / "without"
    shutil.copytree(folder, without)
    bad = next((folder / kind).glob(f"{bad_one}*"))
    for file in without.glob(f"*/{bad_one}*"):
        file.unlink()
    _cut(bad)
    result = _run(command, folder, folder / "out")
    assert result.status == 1
    assert "1 image could not be used, the others are in" in result.error
    assert str(bad) in result.error
    record = json.loads(next((folder / "out").glob("provenance*.json")).read_text())
    assert not record["complete"]
    assert [name for name in record["failed"] if Path(name).name.startswith(bad_one)] == list(record["failed"])
    good = _run(command, without, folder / "good")
    assert good.status == 0, good.err
    pd.testing.assert_frame_equal(pd.read_csv(folder / "out" / table), pd.read_csv(folder / "good" / table))
    if command != "annotate":
        metrics, expected = (json.loads((folder / name / "metrics.json").read_text()) for name in ("out", "good"))
        assert metrics["failed"] == record["failed"]
        assert metrics["n_images"] == expected["n_images"] == len(NAMES) - 1
        assert any("failed" in note for note in metrics["notes"])
        assert metrics.get("pooled") == expected.get("pooled")
        assert metrics.get("area_um2") == expected.get("area_um2")


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_written_where_all_are_bad(folder, command):
    for file in (folder / COMMANDS[command][1]).iterdir():
        _cut(file)
    result = _run(command, folder, folder / "out")
    assert result.status == 1
    if command == "annotate":  # no file says which channels there are
        assert "a.tif: damaged or incomplete" in result.error
    else:
        assert "4 images could not be used, nothing is written: " in result.error
        assert "(and 3 more, see above)" in result.error
    assert not (folder / "out").exists()


def test_only_errors_of_an_image_are_noted():
    failures = Failures()
    with failures.of("a"):
        raise UserError("a.tif: damaged")
    with pytest.raises(OutputError), failures.of("b"):
        raise OutputError("disk full")
    with pytest.raises(ZeroDivisionError), failures.of("c"):
        raise ZeroDivisionError
    assert failures.reasons == {"a": "a.tif: damaged"}
    failures.require_some(1)
    with pytest.raises(UserError, match=r"^a\.tif: damaged$"):
        failures.require_some(0)
    assert str(failure({"a": "x", "b": "y"}, "out")) == (
        "2 images could not be used, the others are in out: x (and 1 more, see above)"
    )
