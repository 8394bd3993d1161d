"""`cellflax.quantify` on drawn cells, nuclei and markers, end to end."""

import json
import shutil
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.quantification.cell_type import CellTypeConfig
from cellflax.quantify import QuantifyConfig, main, quantify
from tests.commands import run_command

CELL_PX, GAP_PX, ROWS, COLUMNS = 26, 4, 2, 4
SHAPE = (ROWS * (CELL_PX + GAP_PX), COLUMNS * (CELL_PX + GAP_PX))
# By cell label: marker in its nucleus, and predicted score for type a. Nucleus 7 lies in no cell, cell 8 has none.
MARKERS = {1: "a", 2: "b", 3: "a", 4: "", 5: "b", 6: "ab", 7: "a"}
SCORE_A = {1: 0.9, 2: 0.2, 3: 0.4, 4: 0.8, 5: 0.0, 6: 0.7, 7: 0.95, 8: 0.3}


def _corners():
    places = [(row, column) for row in range(ROWS) for column in range(COLUMNS)]
    return {i + 1: (row * (CELL_PX + GAP_PX), column * (CELL_PX + GAP_PX)) for i, (row, column) in enumerate(places)}


def _field(seed: int) -> dict[str, np.ndarray]:
    """Cells, nuclei (numbered backwards), and the images of two markers and DAPI, one field."""
    rng = np.random.default_rng(seed)
    labels, nuclei = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    images = {name: rng.normal(300, 5, SHAPE) for name in ("a", "b", "dapi")}
    for label, (y, x) in _corners().items():
        if label != 7:
            labels[y : y + CELL_PX, x : x + CELL_PX] = label
        if label in MARKERS:
            inside = (slice(y + 8, y + 18), slice(x + 8, x + 18))
            nuclei[inside] = 20 - label
            images["dapi"][inside] += 2000
            for name in MARKERS[label]:
                images[name][inside] += 1000
    labels[labels == 8] = 11  # labels need not be consecutive
    return {"labels": labels, "nuclei": nuclei, **{name: image.astype(np.float32) for name, image in images.items()}}


def _cells(name: str) -> pd.DataFrame:
    labels = [1, 2, 3, 4, 5, 6, 11]
    score = np.array([SCORE_A[min(label, 8)] for label in labels])
    kind = np.where(score > 0.5, "a", "b")
    columns = {"image": name, "label": labels, "area_px": CELL_PX**2, "cell_type": kind}
    return pd.DataFrame({**columns, "score_a": score, "score_b": 1 - score})


@pytest.fixture
def folder(tmp_path):
    """Predictions, nuclei and markers of two alike fields, `f1` and `f2`."""
    for name in ("predicted", "nuclei", "marker_a", "marker_b", "dapi"):
        (tmp_path / name).mkdir()
    for i in (1, 2):
        field = _field(i)
        tifffile.imwrite(tmp_path / f"predicted/f{i}_labels.tif", field["labels"])
        tifffile.imwrite(tmp_path / f"nuclei/f{i}_nuclei.tif", field["nuclei"])
        for name in ("a", "b"):
            tifffile.imwrite(tmp_path / f"marker_{name}/f{i}_{name}.tif", field[name])
        tifffile.imwrite(tmp_path / f"dapi/f{i}_DAPI.tif", field["dapi"])
    cells = pd.concat([_cells("f1"), _cells("f2")]).sample(frac=1, random_state=0)
    cells.to_csv(tmp_path / "predicted/cells.csv", index=False)
    return tmp_path


def _config(folder, **changes):
    markers = {name: str(folder / f"marker_{name}") for name in "ab"}
    options = {
        "predicted": str(folder / "predicted"),
        "nuclei": str(folder / "nuclei"),
        "cell_type": CellTypeConfig(markers=markers),
        "output": str(folder / "out"),
    }
    return QuantifyConfig(**{**options, **changes})


def test_cell_types(folder):
    metrics = quantify(_config(folder))
    assert json.loads((folder / "out/metrics.json").read_text()) == metrics
    assert metrics["notes"] == []
    assert list(metrics["images"]) == ["f1", "f2"]
    # Scored: 1, 2 and 5 right, 3 wrong; 4 shows no marker, 6 both.
    assert metrics["images"]["f1"] == {
        "n_cells": 7,
        "n_cells_with_nucleus": 6,
        "n_nuclei": 7,
        "n_nuclei_without_cell": 1,
        "n_undetermined": {"no_marker": 1, "several_markers": 1},
        "n_scored": 4,
        "accuracy": 3 / 4,
        "accuracy_if_undetermined_were_wrong": 3 / 6,
        "types": {"a": {"n": 2, "accuracy": 0.5}, "b": {"n": 2, "accuracy": 1.0}},
        "confusion": {"a": {"a": 1, "b": 1}, "b": {"b": 2}},
    }
    assert metrics["pooled"]["n_scored"] == 8
    assert metrics["pooled"]["confusion"] == {"a": {"a": 2, "b": 2}, "b": {"b": 4}}

    table = pd.read_csv(folder / "out/cell_types.csv")
    assert list(table) == [
        "image", "label", "cell_type", "score_a", "score_b", "nucleus", "marker_intensity_a", "marker_intensity_b",
        "reference_type",
    ]  # fmt: skip
    assert list(table["image"]) == ["f1"] * 7 + ["f2"] * 7
    first = table[:7]
    assert list(first["label"]) == [1, 2, 3, 4, 5, 6, 11]
    assert list(first["nucleus"]) == [19, 18, 17, 16, 15, 14, 0]
    assert list(first["reference_type"]) == ["a", "b", "a", "no_marker", "b", "several_markers", "no_nucleus"]
    np.testing.assert_allclose(first["score_a"], [SCORE_A[min(label, 8)] for label in first["label"]])
    np.testing.assert_allclose(first["marker_intensity_a"], [1000, 0, 1000, 0, 0, 1000, np.nan], atol=3)
    np.testing.assert_allclose(first["marker_intensity_b"], [0, 1000, 0, 0, 1000, 1000, np.nan], atol=3)
    assert matplotlib.image.imread(folder / "out/scores.png").ndim == 3


def test_nuclei_are_found_in_the_nuclear_image(folder):
    config = _config(folder, nuclei=None, nuclear=str(folder / "dapi"), output=str(folder / "found"))
    config.seeds.diameter_px = 11.0
    given, found = quantify(_config(folder))["pooled"], quantify(config)["pooled"]
    assert found == given


def test_a_nucleus_image_without_nuclei_scores_nothing(folder):
    tifffile.imwrite(folder / "nuclei/f2_nuclei.tif", np.zeros(SHAPE, np.uint8))
    metrics = quantify(_config(folder))
    assert metrics["images"]["f2"]["accuracy"] is None
    assert metrics["images"]["f2"]["n_cells"] == 7
    assert metrics["pooled"]["n_scored"] == 4


def test_a_prediction_without_a_type_is_wrong(folder):
    cells = pd.read_csv(folder / "predicted/cells.csv")
    cells.loc[cells["label"] == 1, ["cell_type", "score_a", "score_b"]] = ["undetermined", 0.5, 0.5]
    cells.to_csv(folder / "predicted/cells.csv", index=False)
    metrics = quantify(_config(folder))["images"]["f1"]
    assert metrics["accuracy"] == 2 / 4
    assert metrics["confusion"]["a"] == {"undetermined": 1, "b": 1}


def test_command_and_simulated_note(folder):
    (folder / "predicted/provenance.json").write_text('{"simulated": true}')
    arguments = (
        "method=cell_type", f"predicted={folder}/predicted", f"nuclei={folder}/nuclei", f"output={folder}/out",
        f"+cell_type.markers.a={folder}/marker_a/*_a.tif", f"+cell_type.markers.b={folder}/marker_b",
    )  # fmt: skip
    result = run_command(main, *arguments)
    assert result.status == 0, result.err
    assert "12 of 14 cells have a nucleus, 4 of them without a clear marker; 2 of 14 nuclei lie in no" in result.out
    assert "a: 50.0% of 4 right" in result.out
    assert "accuracy: 75.0% of 8 cells" in result.out
    assert "simulated: the model behind" in result.err
    assert "no marker for the cell type b" in run_command(main, *arguments[:-1], "overwrite=true").error


def _drop_columns(*names):
    def spoil(folder):
        path = folder / "predicted/cells.csv"
        pd.read_csv(path).drop(columns=list(names)).to_csv(path, index=False)

    return spoil


def _write(path, array):
    return lambda folder: tifffile.imwrite(folder / path, array)


def _markers(folder, **changes) -> dict[str, Any]:
    paths = {"a": str(folder / "marker_a"), "b": str(folder / "marker_b"), **changes}
    return {"cell_type": CellTypeConfig(markers={name: path for name, path in paths.items() if path})}


def _other_labels(folder):
    shutil.copy(folder / "nuclei/f1_nuclei.tif", folder / "predicted/f1_labels.tif")


def _another_network(folder):
    (folder / "more").mkdir()
    shutil.move(folder / "predicted/f2_labels.tif", folder / "more/f2_labels.tif")
    _cells("f2").rename(columns={"score_b": "score_c"}).to_csv(folder / "more/cells.csv", index=False)


def _nothing_in(path, names):
    def spoil(folder):
        for name in names:
            tifffile.imwrite(folder / path / name, np.zeros(SHAPE, np.uint8))

    return spoil


def _between_cells(folder):
    nuclei = np.zeros(SHAPE, np.uint8)
    nuclei[CELL_PX + 1 : CELL_PX + 3, 40:60] = 1
    for i in (1, 2):
        tifffile.imwrite(folder / f"nuclei/f{i}_nuclei.tif", nuclei)


def _no_marker_anywhere(folder):
    for i in (1, 2):
        for name in "ab":
            noise = np.random.default_rng(i).normal(300, 5, SHAPE).astype(np.float32)
            tifffile.imwrite(folder / f"marker_{name}/f{i}_{name}.tif", noise)


IMAGE = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (None, {"predicted": ""}, "predicted is not given; add predicted="),
        (None, {"predicted": "{}/nowhere"}, "nowhere: no such"),
        (None, {"nuclei": None}, "method=cell_type needs nuclei: add nuclear="),
        (None, {"nuclei": "{}/marker_a/f1_a.tif"}, "f1_labels.tif: nuclei={}/marker_a/f1_a.tif has no file named f1"),
        (None, lambda f: _markers(f, b=None), "no marker for the cell type b; add +cell_type.markers.b="),
        (None, lambda f: _markers(f, c="x"), "cell_type.markers.c: no such predicted type; there are a, b"),
        (None, lambda f: _markers(f, b=str(f / "no")), "{}/no: no such TIFF, PNG"),
        (lambda f: (f / "predicted/cells.csv").unlink(), {}, "cells.csv: no such file; predicted= must be the output"),
        (lambda f: (f / "predicted/cells.csv").write_text(""), {}, "cells.csv: cannot be read as a table"),
        (_drop_columns("label"), {}, "cells.csv: line 1 has no column label"),
        (_drop_columns("score_b"), {}, "cells.csv: has no cell_type and score_... columns: the network has a single"),
        (_drop_columns("cell_type"), {}, "cells.csv: has no cell_type and score_..."),
        (_other_labels, {}, "f1_labels.tif: its cells are not those of f1 in cells.csv; predict again"),
        (_another_network, {"predicted": "{}/*/*_labels.tif"}, "cells.csv: scores a, b, others a, c"),
        (_write("nuclei/f1_nuclei.tif", np.eye(9, dtype=np.uint8)), {}, "but its nuclei are (9, 9)"),
        (_write("marker_b/f1_b.tif", IMAGE[:9]), {}, "f1_b.tif: shape (9, 120, 1) differs from (60, 120, 1)"),
        (_write("marker_b/f1_b.tif", np.stack([IMAGE] * 2)), {}, "f1_b.tif: shape (60, 120, 2) differs"),
        (_write("marker_b/f1_b.tif", 0 * IMAGE), {}, "f1_b.tif: channel channel_0 is constant"),
        (_write("dapi/f1_DAPI.tif", np.stack([IMAGE] * 2)), {"nuclei": None, "nuclear": "{}/dapi"}, "has 2 channels"),
        (_nothing_in("nuclei", ("f1_nuclei.tif", "f2_nuclei.tif")), {}, "there is no nucleus in any image"),
        (_between_cells, {}, "none of the 2 nuclei lies in a cell"),
        (_no_marker_anywhere, {}, "no cell's nucleus shows only one marker"),
        (lambda f: (f / "predicted/provenance.json").write_text("[]"), {}, "not a provenance record"),
        (lambda f: (f / "out").write_text(""), {}, "cannot make this directory"),
    ],
)
def test_mistakes_end_in_one_line(folder, spoil, changes: Any, message):
    if spoil is not None:
        spoil(folder)
    options = changes if isinstance(changes, dict) else changes(folder)
    fill = {key: value.format(folder) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(UserError) as caught:
        quantify(_config(folder, **fill))
    assert message.format(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    one = any(name in message for name in ("its cells are not", "(9, 9)", "f1_b.tif: ", "has 2 channels"))
    assert (folder / "out/metrics.json").exists() == one
    if one:  # the other image is measured
        metrics = json.loads((folder / "out/metrics.json").read_text())
        assert (list(metrics["failed"]), list(metrics["images"]), metrics["n_images"]) == (["f1"], ["f2"], 1)
        assert set(pd.read_csv(folder / "out/cell_types.csv")["image"]) == {"f2"}


def test_nuclei_and_nuclear_exclude_each_other():
    with pytest.raises(UserError, match="nuclei=x and nuclear=y: give one of them"):
        QuantifyConfig(nuclei="x", nuclear="y")
