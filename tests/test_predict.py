"""`cellflax.predict` as a command: images in every form, labels, tables and provenance out; then `evaluate`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import evaluate, predict
from cellflax.errors import UserError
from tests.commands import Result, run_command

CHANNELS = "channels=[phase,nuclear]"


@pytest.fixture
def run(trained, tmp_path):
    """Predict with the shared training into tmp_path/out."""

    def run(source: object, *arguments: object) -> Result:
        given = (f"checkpoint={trained.path}", f"input={source}", f"output={tmp_path / 'out'}")
        return run_command(predict.main, *given, *arguments)

    return run


def labels_of(path: Path) -> np.ndarray:
    return tifffile.imread(path)


def one_file(fields: Path, path: Path, name: str = "field_0007", **options: object) -> Path:
    """Both channels of a field in one TIFF."""
    planes = [tifffile.imread(fields / "images" / f"{name}_{channel}.tif") for channel in ("phase", "nuclear")]
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.stack(planes), metadata={"axes": "CYX"}, photometric="minisblack", **options)
    return path


def test_folder_of_channel_files(run, fields, trained, tmp_path):
    result = run(fields / "images", CHANNELS)
    out = tmp_path / "out"
    assert result.status == 0, result.err
    assert result.out == ""
    assert result.err.splitlines()[-1] == f"results: {out}"
    names = ["field_0007", "field_0008"]
    assert sorted(path.name for path in out.iterdir()) == [
        "cells.csv", *(f"{name}_labels.tif" for name in names), "overlay.png", "provenance.json",
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


def test_uncertainty_where_several_predictions_are_averaged(run, fields, tmp_path):
    out = tmp_path / "out"
    assert run(fields / "images", CHANNELS, "save_probability=true", "test_time_augmentation=1").status == 0
    assert "uncertainty" not in pd.read_csv(out / "cells.csv")
    assert not (out / "field_0007_uncertainty.tif").exists()
    assert run(fields / "images", CHANNELS, "save_probability=true", "test_time_augmentation=4").status == 0
    cells = pd.read_csv(out / "cells.csv")["uncertainty"]
    assert cells.between(0, 1).all()
    assert cells.nunique() > 3
    pixels = labels_of(out / "field_0007_uncertainty.tif").squeeze()
    assert (pixels.shape, pixels.dtype) == ((128, 128), np.float32)
    assert 0 < pixels.max() <= np.sqrt(0.5) + 1e-6


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


def test_tile_sizes_give_the_same_labels(run, fields, tmp_path):
    """An image that is no multiple of any tile, so that tiles overlap."""
    phase, nuclear = (tifffile.imread(fields / "images" / f"field_0007_{c}.tif") for c in ("phase", "nuclear"))
    wide = np.stack([np.hstack([plane, plane[:, ::-1]])[:101, :203] for plane in (phase, nuclear)])
    tifffile.imwrite(tmp_path / "wide.tif", wide, metadata={"axes": "CYX"}, photometric="minisblack")
    results = []
    for tile in (64, 512):
        assert run(tmp_path / "wide.tif", f"tile={tile}", "save_probability=true").status == 0
        out = tmp_path / "out"
        results.append((labels_of(out / "wide_labels.tif"), labels_of(out / "wide_probability.tif")))
    (labels, probability), (whole_labels, whole_probability) = results
    assert labels.shape == (101, 203)
    np.testing.assert_array_equal(labels, whole_labels)
    np.testing.assert_allclose(probability, whole_probability, atol=1e-5)


def test_an_image_in_blocks_and_by_the_passes_of_p2(run, fields, tmp_path):
    """Both from the command line; in blocks of half the image the cells are those of the whole."""
    planes = tifffile.imread(one_file(fields, tmp_path / "a.tif"))
    wide = np.concatenate([np.concatenate([planes, planes[..., ::-1]], axis=2)] * 2, axis=2)
    tifffile.imwrite(tmp_path / "wide.tif", wide, metadata={"axes": "CYX"}, photometric="minisblack")
    results = {}
    for name, options in {
        "whole": (),
        "blocks": ("block=256", "largest_cell_px=60"),
        "gaussian": ("tiling=gaussian", "tile=64"),
    }.items():
        assert run(tmp_path / "wide.tif", "refine=threshold", "save_probability=true", *options).status == 0
        out = tmp_path / "out"
        results[name] = (
            labels_of(out / "wide_labels.tif"), labels_of(out / "wide_probability.tif"), pd.read_csv(out / "cells.csv"),
        )  # fmt: skip
    whole, blocks, gaussian = results.values()
    pairs = np.unique(np.stack([whole[0].ravel(), blocks[0].ravel()]), axis=1)
    assert len(pairs[0]) == whole[0].max() + 1 == blocks[0].max() + 1
    np.testing.assert_allclose(blocks[1], whole[1], rtol=0, atol=1e-5)
    assert sorted(blocks[2]["area_px"]) == sorted(whole[2]["area_px"])
    difference = np.abs(gaussian[1] - whole[1])
    assert difference.max() > 1e-3
    assert difference.mean() < 0.02


def test_test_time_augmentation_sees_no_direction(run, fields, tmp_path):
    """Averaged over quarter turns, the prediction of a turned image is the turned prediction."""
    planes = tifffile.imread(one_file(fields, tmp_path / "a.tif"))[:, :101]
    results = {}
    for name, turns, transforms in (("plain", 0, 1), ("upright", 0, 4), ("turned", 1, 4)):
        image = np.rot90(planes, turns, axes=(1, 2))
        tifffile.imwrite(tmp_path / "a.tif", image, metadata={"axes": "CYX"}, photometric="minisblack")
        options = (f"test_time_augmentation={transforms}", "save_probability=true")
        assert run(tmp_path / "a.tif", *options).status == 0
        results[name] = labels_of(tmp_path / "out" / "a_probability.tif")
    turned_back = np.rot90(results["turned"], -1, axes=(1, 2))
    np.testing.assert_allclose(turned_back, results["upright"], atol=1e-5)
    assert np.abs(results["plain"] - results["upright"]).max() > 0.01


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


def test_another_pixel_size_than_in_training_is_warned_of(run, fields, tmp_path):
    result = run(one_file(fields, tmp_path / "a.tif"), "pixel_size_um=0.65")
    assert result.status == 0
    remedy = "network_pixel_size_um=1.3"
    assert f"warning: a has 0.65 um per pixel, training had 1.3; resample it with {remedy}" in result.err


def test_cells_are_shown_to_the_network_at_the_size_it_knows(run, fields, tmp_path):
    """An image of twice as many pixels per cell than in training gives the cells of the image itself."""
    assert run(one_file(fields, tmp_path / "a.tif")).status == 0
    expected = labels_of(tmp_path / "out" / "a_labels.tif")
    wide = tifffile.imread(tmp_path / "a.tif").repeat(2, axis=1).repeat(2, axis=2)
    tifffile.imwrite(tmp_path / "a.tif", wide, metadata={"axes": "CYX"}, photometric="minisblack")
    found = {}
    for size in (0.65, 1.3):
        result = run(tmp_path / "a.tif", "pixel_size_um=0.65", f"network_pixel_size_um={size}")
        assert result.status == 0, result.err
        assert "warning" not in result.err
        found[size] = labels_of(tmp_path / "out" / "a_labels.tif")[::2, ::2]
    agreement = {size: np.mean((labels > 0) == (expected > 0)) for size, labels in found.items()}
    assert agreement[1.3] > 0.97 > agreement[0.65]
    assert found[1.3].max() == pytest.approx(expected.max(), abs=1)


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


def test_a_damaged_image_keeps_the_results_before_it(run, fields, tmp_path):
    one_file(fields, tmp_path / "in" / "a.tif")
    b = one_file(fields, tmp_path / "in" / "b.tif")
    one_file(fields, tmp_path / "in" / "c.tif")
    out = tmp_path / "out"
    assert run(tmp_path / "in").status == 0
    whole = labels_of(out / "a_labels.tif")
    shutil.rmtree(out)
    b.write_bytes(b.read_bytes()[:-5000])
    result = run(tmp_path / "in")
    assert result.status == 1
    assert f"{b}: damaged or incomplete" in result.error
    assert sorted(path.name for path in out.iterdir()) == ["a_labels.tif", "cells.partial.csv", "provenance.json"]
    np.testing.assert_array_equal(labels_of(out / "a_labels.tif"), whole)
    assert set(pd.read_csv(out / "cells.partial.csv")["image"]) == {"a"}
    provenance = json.loads((out / "provenance.json").read_text())
    assert (provenance["complete"], provenance["images"]) == (False, ["a"])

    one_file(fields, b)
    assert run(tmp_path / "in").status == 0
    assert not (out / "cells.partial.csv").exists()
    assert json.loads((out / "provenance.json").read_text())["complete"] is True


@pytest.mark.parametrize(("key", "least"), [("tile", 64), ("block", 256), ("largest_cell_px", 1)])
def test_sizes_that_cannot_work_are_refused(key, least):
    with pytest.raises(UserError, match=f"{key} must be {least} or more.*, got {least - 1}"):
        predict.PredictConfig(**{key: least - 1})


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
