"""`cellflax.predict` as a command: images in every form, labels, tables and provenance out; then `evaluate`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import evaluate, predict
from cellflax.errors import OutputError
from cellflax.io.images import write_labels
from cellflax.prediction import files
from tests.commands import run_command
from tests.predictions import CHANNELS, labels_of, one_file, predicting


@pytest.fixture
def run(trained, tmp_path):
    """Predict with the shared training into tmp_path/out."""
    return predicting(trained.path, tmp_path / "out")


def test_folder_of_channel_files(run, fields, trained, tmp_path):
    result = run(fields / "images", CHANNELS)
    out = tmp_path / "out"
    assert result.status == 0, result.err
    assert result.out == ""
    assert result.err.splitlines()[-1] == f"results: {out}"
    names = ["field_0007", "field_0008"]
    assert sorted(path.name for path in out.iterdir()) == [
        "cells.csv", *(f"{name}_labels.tif" for name in names), "overlay.png", "provenance.json", "report.html",
    ]  # fmt: skip
    table = pd.read_csv(out / "cells.csv")
    assert list(table["image"].unique()) == names
    for name in names:
        labels = labels_of(out / f"{name}_labels.tif")
        assert (labels.shape, labels.dtype) == ((128, 128), np.uint16)
        cells = table[table["image"] == name]
        present, areas = np.unique(labels[labels > 0], return_counts=True)
        assert list(cells["label"]) == list(present) == list(range(1, len(present) + 1))
        assert list(cells["area_px"]) == list(areas)
        assert f"{name}: {len(present)} cells" in result.err
    assert len(table) > 10
    assert table["probability_mean_interior"].between(0, 1).all()
    phase = tifffile.imread(fields / "images" / "field_0007_phase.tif")
    labels = labels_of(out / "field_0007_labels.tif")
    assert table["intensity_mean_phase"][0] == pytest.approx(phase[labels == 1].mean())

    provenance = json.loads((out / "provenance.json").read_text())
    assert (provenance["complete"], provenance["images"]) == (True, names)
    assert provenance["settings"]["channels"] == ["phase", "nuclear"]
    used = Path(provenance["checkpoint"]["path"])
    assert used.parent == trained.path / "checkpoints"
    assert used.name == str(provenance["checkpoint"]["step"])


def test_simulated_training_is_announced_and_reaches_the_evaluation(run, fields, tmp_path):
    result = run(fields / "images", CHANNELS)
    assert "SIMULATED DATA" in result.err
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["simulated"] is True
    scored = run_command(
        evaluate.main, f"predicted={tmp_path / 'out'}", f"reference={fields / 'labels'}", f"output={tmp_path / 'score'}"
    )
    assert scored.status == 0, scored.err
    metrics = json.loads((tmp_path / "score" / "metrics.json").read_text())
    assert [note.split(":")[0] for note in metrics["notes"]] == ["simulated", "simulated"]
    assert metrics["pooled"]["jaccard_index"] > 0.3  # the network sees, on fields that it was not trained on
    assert "simulated" in scored.out


def test_one_file_a_glob_and_a_folder_agree(run, fields, tmp_path):
    assert run(fields / "images", CHANNELS).status == 0
    expected = {name: labels_of(tmp_path / "out" / f"{name}_labels.tif") for name in ("field_0007", "field_0008")}
    for source in (
        one_file(fields, tmp_path / "one.tif"),
        tmp_path / "o*.tif",
    ):
        assert run(source).status == 0
        np.testing.assert_array_equal(labels_of(tmp_path / "out" / "one_labels.tif"), expected["field_0007"])
    assert run(fields / "images" / "*8_*.tif", CHANNELS).status == 0
    assert list(pd.read_csv(tmp_path / "out" / "cells.csv")["image"].unique()) == ["field_0008"]


def test_given_nuclei_seed_the_cells(run, fields, tmp_path):
    assert run(fields / "images", CHANNELS, f"nuclei={fields / 'nuclei'}").status == 0
    for name in ("field_0007", "field_0008"):
        labels = labels_of(tmp_path / "out" / f"{name}_labels.tif")
        nuclei = labels_of(fields / "nuclei" / f"{name}.tif")
        cells_of = [np.unique(labels[(nuclei == n) & (labels > 0)]) for n in np.unique(nuclei[nuclei > 0])]
        hit = [int(cells[0]) for cells in cells_of if len(cells)]
        assert max(len(cells) for cells in cells_of) == 1  # no nucleus is cut
        assert sorted(hit) == list(range(1, labels.max() + 1))  # each cell has one
        assert len(hit) > len(cells_of) / 2


def test_own_channel_names_come_in_any_order(run, fields, tmp_path):
    labels = []
    for channels in (CHANNELS, "channels=[nuclear,phase]"):
        assert run(fields / "images", channels).status == 0
        labels.append(labels_of(tmp_path / "out" / "field_0007_labels.tif"))
    np.testing.assert_array_equal(*labels)


def test_nuclei_by_a_network_of_their_own(run, fields, trained, tmp_path):
    """The shared training serves as that network: what it segments alone seeds the cells."""
    assert run(fields / "images", CHANNELS).status == 0
    alone = labels_of(tmp_path / "out" / "field_0007_labels.tif")
    options = (f"nuclei_checkpoint={trained.path}", "save_probability=true", "refine=watershed", "refine.interior=0.2")
    assert run(fields / "images", CHANNELS, *options).status == 0
    np.testing.assert_array_equal(labels_of(tmp_path / "out" / "field_0007_seeds.tif"), alone)
    labels = labels_of(tmp_path / "out" / "field_0007_labels.tif")
    assert labels.max() == alone.max()
    assert np.sum(labels > 0) > np.sum(alone > 0)
    origin = json.loads((tmp_path / "out" / "provenance.json").read_text())["nuclei_checkpoint"]
    assert origin["path"].startswith(str(trained.path))


def test_probability_file(run, fields, tmp_path):
    assert run(one_file(fields, tmp_path / "a.tif"), "save_probability=true").status == 0
    with tifffile.TiffFile(tmp_path / "out" / "a_probability.tif") as tiff:
        (series,) = tiff.series
        probability = series.asarray()
        assert series.axes == "CYX"
    assert (probability.shape, probability.dtype) == ((3, 128, 128), np.float32)
    np.testing.assert_allclose(probability.sum(axis=0), 1, atol=1e-5)
    labels = labels_of(tmp_path / "out" / "a_labels.tif")
    assert probability[1][labels > 0].mean() > 0.5 > probability[1][labels == 0].mean()
    table = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert table["probability_mean_edge"][0] == pytest.approx(probability[0][labels == 1].mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("in_file", "option", "size"), [(1.3, None, 1.3), (None, 1.25, 1.25), (0.9, 1.3, 1.3), (None, None, None)]
)
def test_pixel_size_is_carried_through(run, fields, tmp_path, in_file, option, size):
    tags = {} if in_file is None else {"resolution": (1e4 / in_file,) * 2, "resolutionunit": "CENTIMETER"}
    source = one_file(fields, tmp_path / "a.tif", **tags)
    assert run(source, *([f"pixel_size_um={option}"] if option else [])).status == 0
    table = pd.read_csv(tmp_path / "out" / "cells.csv")
    with tifffile.TiffFile(tmp_path / "out" / "a_labels.tif") as tiff:
        assert tiff.ome_metadata is not None
        assert ("PhysicalSizeX" in tiff.ome_metadata) == (size is not None)
        if size is not None:
            assert f'PhysicalSizeX="{size}"' in tiff.ome_metadata
            width, per = tiff.pages[0].tags["XResolution"].value
            assert 1e4 * per / width == pytest.approx(size, rel=1e-4)
    assert ("area_um2" in table.columns) == (size is not None)
    if size is not None:
        np.testing.assert_allclose(table["area_um2"], table["area_px"] * size**2)


def test_another_refinement(run, fields, tmp_path):
    source = one_file(fields, tmp_path / "a.tif")
    counts = {}
    for name, options in {
        "checkpoint's": (),
        "threshold": ("refine=threshold",),
        "none": ("refine=threshold", "refine.min_area_px=16384"),
    }.items():
        assert run(source, *options).status == 0
        counts[name] = labels_of(tmp_path / "out" / "a_labels.tif")
    assert (counts["checkpoint's"] != counts["threshold"]).any()
    assert counts["none"].max() == 0
    empty = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert len(empty) == 0
    assert {"image", "label", "area_px", "intensity_mean_phase", "probability_mean_interior"} <= set(empty.columns)


def test_an_image_without_cells_among_others(run, fields, tmp_path):
    nuclei = tifffile.imread(fields / "nuclei" / "field_0007.tif")
    for name, seeds in (("a", 0 * nuclei), ("b", nuclei)):
        one_file(fields, tmp_path / "in" / f"{name}.tif")
        (tmp_path / "nuclei").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "nuclei" / f"{name}.tif", seeds)
    assert run(tmp_path / "in", f"nuclei={tmp_path / 'nuclei'}").status == 0
    assert labels_of(tmp_path / "out" / "a_labels.tif").max() == 0
    table = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert set(table["image"]) == {"b"}
    assert table["label"].dtype == np.int64


def test_one_bad_image_does_not_end_the_batch(run, fields, tmp_path):
    damaged, blank = (one_file(fields, tmp_path / "in" / f"{name}.tif") for name in "bd")
    for name in "ace":
        one_file(fields, tmp_path / "in" / f"{name}.tif")
    damaged.write_bytes(damaged.read_bytes()[:-5000])
    tifffile.imwrite(blank, np.full((2, 128, 128), 7, np.uint16), metadata={"axes": "CYX"}, photometric="minisblack")
    result = run(tmp_path / "in")
    assert result.status == 1
    assert "2 images or frames were not segmented, the others are in " in result.error
    assert f"{damaged}: damaged or incomplete" in result.error
    assert f"{blank}: channel " in result.err
    out = tmp_path / "out"
    files = [*(f"{name}_labels.tif" for name in "ace"), "cells.csv", "overlay.png", "report.html"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*files, "provenance.json"])
    assert set(pd.read_csv(out / "cells.csv")["image"]) == set("ace")
    provenance = json.loads((out / "provenance.json").read_text())
    assert (provenance["complete"], provenance["images"], provenance["files"]) == (False, list("ace"), sorted(files))
    assert list(provenance["failed"]) == ["b", "d"]


def full_disk(times: int):
    """`write_labels` on a disk that has no room left after some images."""
    left = iter(range(times))

    def write(path, *arguments):
        if next(left, None) is None:
            raise OutputError(f"{path}: cannot be written (No space left on device)")
        write_labels(path, *arguments)

    return write


def test_a_full_disk_leaves_a_partial_set_that_says_so(run, fields, tmp_path, monkeypatch):
    for name in "abc":
        one_file(fields, tmp_path / "in" / f"{name}.tif")
    monkeypatch.setattr(files, "write_labels", full_disk(1))
    result = run(tmp_path / "in")
    assert result.status == 1
    assert "b_labels.tif: cannot be written (No space left on device)" in result.error
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["a_labels.tif", "cells.partial.csv", "provenance.json"]
    assert set(pd.read_csv(out / "cells.partial.csv")["image"]) == {"a"}
    provenance = json.loads((out / "provenance.json").read_text())
    assert (provenance["complete"], provenance["images"]) == (False, ["a"])

    monkeypatch.setattr(files, "write_labels", write_labels)
    assert run(tmp_path / "in").status == 0
    assert not (out / "cells.partial.csv").exists()
    assert json.loads((out / "provenance.json").read_text())["complete"] is True

    monkeypatch.setattr(files, "write_labels", full_disk(2))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run(tmp_path / "in", "refine=threshold").status == 1
    (hidden,) = (path for path in out.iterdir() if path.is_dir())  # for resume=true
    assert {path.name: path.read_bytes() for path in out.iterdir() if path != hidden} == before


def test_results_are_never_mixed_with_an_earlier_run_s(trained, fields, tmp_path):
    one_file(fields, tmp_path / "1" / "a.tif")
    one_file(fields, tmp_path / "2" / "b.tif")
    out = tmp_path / "out"
    given = (f"checkpoint={trained.path}", f"output={out}")
    assert run_command(predict.main, *given, f"input={tmp_path / '1'}").status == 0
    (out / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = run_command(predict.main, *given, f"input={tmp_path / '2'}")
    assert result.status == 1
    assert result.error.startswith(f"output={out}: holds the results of an earlier run; ")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run_command(predict.main, *given, f"input={tmp_path / '2'}", "overwrite=true").status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "b_labels.tif", "cells.csv", "notes.txt", "overlay.png", "provenance.json", "report.html",
    ]  # fmt: skip


def test_results_beside_the_images_are_not_taken_for_images(trained, fields, tmp_path):
    for name in "ab":
        one_file(fields, tmp_path / f"{name}.tif")
    given = (f"checkpoint={trained.path}", f"input={tmp_path}", f"output={tmp_path}")
    assert run_command(predict.main, *given).status == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    table = (tmp_path / "cells.csv").read_text()
    assert run_command(predict.main, *given).status == 1
    assert (tmp_path / "cells.csv").read_text() == table
    assert run_command(predict.main, *given, "overwrite=true").status == 0
    assert (tmp_path / "cells.csv").read_text() == table
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_advice_that_prediction_takes(run, fields, tmp_path):
    """How images are normalised is the checkpoint's, so no such setting is advised."""
    pixels = np.zeros((2, 128, 128), np.uint16)
    pixels[:, :9, :9] = 5
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    result = run(tmp_path / "a.tif")
    assert result.status == 1
    assert "give raw (not background-subtracted) intensities" in result.error
    assert "normalize.intensity=" not in result.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nuclei=a.tif", "nuclei_checkpoint=b"], "nuclei=a.tif and nuclei_checkpoint=b: give one of them"),
        (["nuclei_checkpoint=nowhere"], "checkpoint nowhere does not exist"),
        (["nuclei_checkpoint={run}", "refine=threshold"], "has no use without seeds"),
    ],
)
def test_unusable_nuclei_in_one_line(run, fields, trained, options, message):
    options = [option.format(run=trained.path) for option in options]
    result = run(fields / "images", CHANNELS, *options)
    assert result.status == 1
    assert message in result.error
