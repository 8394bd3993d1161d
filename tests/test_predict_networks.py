"""How `cellflax.predict` runs the network: tiles and blocks, averages, pixels of another size."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import predict
from cellflax.errors import UserError
from tests.predictions import CHANNELS, labels_of, one_file, predicting


@pytest.fixture
def run(trained, tmp_path):
    """Predict with the shared training into tmp_path/out."""
    return predicting(trained.path, tmp_path / "out")


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
        assert "um per pixel, training had" not in result.err
        found[size] = labels_of(tmp_path / "out" / "a_labels.tif")[::2, ::2]
    agreement = {size: np.mean((labels > 0) == (expected > 0)) for size, labels in found.items()}
    assert agreement[1.3] > 0.97 > agreement[0.65]
    assert found[1.3].max() == pytest.approx(expected.max(), abs=1)


@pytest.mark.parametrize(("key", "least"), [("tile", 64), ("block", 256), ("largest_cell_px", 1)])
def test_sizes_that_cannot_work_are_refused(key, least):
    with pytest.raises(UserError, match=f"{key} must be {least} or more.*, got {least - 1}"):
        predict.PredictConfig(**{key: least - 1})
