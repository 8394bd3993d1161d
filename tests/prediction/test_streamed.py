"""An image larger than memory: the same cells whatever the blocks, the workers and what was killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.inference.settings import Inference
from cellflax.io.images import Image, read_labels
from cellflax.predict import PredictConfig
from cellflax.prediction import streamed
from cellflax.prediction.calibration import Sureness
from cellflax.prediction.networks import Networks
from cellflax.prediction.segment import segment
from cellflax.prediction.streamed import predict_streamed
from cellflax.prediction.streamed_blocks import BlockSegmenter
from cellflax.refine.active_contour import ActiveContourConfig
from cellflax.refine.base import RefineConfig
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from tests.io.zarr_files import write
from tests.prediction.test_segment import field, model, one_to_one
from tests.refine.drawing import disc

WATERSHED = WatershedConfig(min_area_px=10, smoothing_px=1, outline_px=1, expand_px=2, seed_smoothing_px=1)
THRESHOLD = ThresholdConfig(interior=0.5, min_area_px=10)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_LEAST_CHUNK_PX", 16)


def networks(how: RefineConfig, block: int, halo: int, members: int = 1, transforms: int = 1) -> Networks:
    trained = model(members)
    trained.record["crc32"] = {}
    trained.record["data"] |= {"source": "a test", "simulated": False}
    inference = Inference(tile=64, transforms=transforms, block=block, largest_cell_px=halo)
    return Networks(trained, None, how, inference, Sureness(None, ()))


def configured(folder: Path, image: Path, used: Networks, **options) -> PredictConfig:
    config = PredictConfig(checkpoint="run", input=str(image), output=str(folder), streamed=True, **options)
    config.block, config.largest_cell_px = used.inference.block, used.inference.largest_cell_px
    return config


def predicted(folder: Path, image: Path, used: Networks, shards: int = 1) -> tuple[np.ndarray, pd.DataFrame]:
    """Labels and table of an image, by several shares one after the other."""
    for shard in reversed(range(shards if shards > 1 else 0)):
        predict_streamed(configured(folder, image, used, block_shard=shard, block_shards=shards), used)
    predict_streamed(configured(folder, image, used), used)
    return read_labels(folder / f"{image.stem}_labels.zarr"), pd.read_csv(folder / "cells.csv")


def stored(folder: Path, image: Image, chunk: int = 50) -> Path:
    """An image as an OME-Zarr of (c, y, x)."""
    planes = np.moveaxis(image.pixels, -1, 0)
    return write(folder, planes, "cyx", scale_factors=[], storage_options={"chunks": (1, chunk, chunk)})


@pytest.mark.parametrize(
    ("how", "members", "transforms", "runs"),
    [
        (WATERSHED, 1, 1, ((512, 1), (208, 1), (96, 4))),
        (THRESHOLD, 2, 1, ((512, 1), (208, 1), (64, 1), (64, 4))),
    ],
    ids=["watershed", "threshold"],
)
def test_the_same_cells_from_any_block_size_and_number_of_workers(tmp_path, how, members, transforms, runs):
    image = field((209, 321), pixel_size_um=0.2)
    slide = stored(tmp_path / "slide.zarr", image)
    whole = segment(model(members), image, None, how, Inference(tile=64, transforms=transforms))
    assert len(whole.cells) > 40
    results = [
        predicted(tmp_path / f"{block}_{shards}", slide, networks(how, block, 100, members, transforms), shards)
        for block, shards in runs
    ]
    labels, cells = results[0]
    assert one_to_one(labels, whole.labels)
    firsts = np.unique(labels, return_index=True)[1][1:]
    assert (np.diff(firsts) > 0).all()  # numbered by position
    for other, table in results[1:]:
        np.testing.assert_array_equal(other, labels)
        pd.testing.assert_frame_equal(table, cells, rtol=1e-9, atol=1e-9)
    if runs[-1][0] == runs[-2][0]:  # only the number of workers differs
        assert results[-1][1].equals(results[-2][1])
    # The table is that of the image in memory.
    places = ["centroid-0_px", "centroid-1_px"]
    tables = [table.sort_values(places, ignore_index=True) for table in (cells.drop(columns="image"), whole.cells)]
    columns = list(tables[0].columns)
    assert set(columns) == set(tables[1].columns)
    for name in columns[1:]:
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=1e-5, atol=1e-5, err_msg=name)


def rods() -> Image:
    """Cells larger than a block and its surroundings, one on a corner of four blocks, and one in the last pixel."""
    pixels = np.full((193, 257), 1000.0)
    pixels[20:26, 10:250] = pixels[20:180, 200:206] = 3000  # two rods that cross
    pixels[100:105, 3:190] = pixels[150:190, 30:34] = 3000
    for y, x, radius in ((64, 64, 6), (128, 128, 7), (64, 130, 4), (190, 128, 5), (191, 255, 4), (90, 256, 6)):
        pixels[disc(pixels.shape, y, x, radius)] = 3000
    noise = np.random.default_rng(0).integers(0, 20, pixels.shape)
    return Image((pixels + noise)[..., None].astype(np.uint16), ("stain",), None, Path("rods.tif"))


def test_a_cell_larger_than_its_block_is_one_cell(tmp_path):
    image, how = rods(), ThresholdConfig(interior=0.5, min_area_px=0)
    slide = stored(tmp_path / "slide.zarr", image)
    whole = segment(model(), image, None, how, Inference(tile=64))
    assert len(whole.cells) == 9
    for block, halo in ((64, 1), (32, 40), (128, 8)):
        labels, cells = predicted(tmp_path / f"{block}_{halo}", slide, networks(how, block, halo))
        assert one_to_one(labels, whole.labels)
        order = whole.labels.ravel()[np.unique(labels, return_index=True)[1][1:]] - 1
        large = cells["solidity"].isna().to_numpy()
        for name in ("area_px", "touches_border", "probability_mean_interior"):
            np.testing.assert_allclose(cells[name], whole.cells[name].to_numpy()[order], rtol=1e-6, err_msg=name)
        for name in ("centroid-0_px", "perimeter_px", "solidity", "intensity_std_stain"):
            expected = whole.cells[name].to_numpy()[order][~large]
            np.testing.assert_allclose(cells[name][~large], expected, rtol=1e-6, err_msg=name)
        # Only cells whose bounds exceed a block with its surroundings are not measured.
        spans = [np.ptp(np.nonzero(labels == n), axis=1) + 1 for n in cells["label"]]
        np.testing.assert_array_equal(large, np.prod(spans, axis=1) > (block + 2 * halo) ** 2)
        assert 0 < large.sum() < 4


def test_a_killed_worker_loses_the_block_it_was_at(tmp_path, monkeypatch):
    slide, used = stored(tmp_path / "slide.zarr", field()), networks(THRESHOLD, 96, 60)
    expected = predicted(tmp_path / "expected", slide, used)
    segment_block, made = BlockSegmenter.segment, []

    def until_the_third(self, block):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append((block.row, block.column))
        return segment_block(self, block)

    folder = tmp_path / "killed"
    monkeypatch.setattr(BlockSegmenter, "segment", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        predicted(folder, slide, used)
    assert not (folder / "cells.csv").exists()
    again = []
    monkeypatch.setattr(BlockSegmenter, "segment", lambda self, b: again.append(b) or segment_block(self, b))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:  # killed while the blocks are joined
        context.setattr(streamed.LabelPyramid, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            predicted(folder, slide, used)
    assert {(b.row, b.column) for b in again}.isdisjoint(made)
    assert len(again) + len(made) == 12
    assert not (folder / "slide_labels.zarr").exists()
    labels, cells = predicted(folder, slide, used)
    assert len(again) + len(made) == 12
    np.testing.assert_array_equal(labels, expected[0])
    assert cells.equals(expected[1])
    assert sorted(file.name for file in folder.iterdir()) == ["cells.csv", "provenance.json", "slide_labels.zarr"]


def test_lost_chunks_and_facts_are_noticed(tmp_path):
    slide, used = stored(tmp_path / "slide.zarr", field((209, 321))), networks(THRESHOLD, 96, 60)
    for shard in (0, 1):
        config = configured(tmp_path / "out", slide, used, block_shard=shard, block_shards=2)
        predict_streamed(config, used)
    work = tmp_path / "out/.blocks.slide"
    chunk, facts = work / "labels/c/4/4", work / "facts/1_1.npz"
    for file, damage, line in (
        (chunk, b"", "1_1.npz: damaged .its labels are not those that it counts.; remove this file"),
        (chunk, b"0", "labels: cannot be read"),
        (facts, b"0", "1_1.npz: damaged .no facts of a block"),
    ):
        content = file.read_bytes()
        file.write_bytes(content[:-9] + bytes(9) if damage else b"")
        if not damage:
            file.unlink()
        with pytest.raises(UserError, match=line):
            predict_streamed(configured(tmp_path / "out", slide, used), used)
        assert not (tmp_path / "out/cells.csv").exists()
        file.write_bytes(content)
    facts.unlink()  # what the message says
    predict_streamed(configured(tmp_path / "out", slide, used), used)
    assert (tmp_path / "out/cells.csv").exists()
    with pytest.raises(UserError, match="holds the results of an earlier run"):  # at once, not after all blocks
        predict_streamed(config, used)
    assert not work.exists()


def test_blocks_of_another_run_are_not_mixed(tmp_path):
    slide, used = stored(tmp_path / "slide.zarr", field()), networks(THRESHOLD, 96, 60)
    share = {"block_shard": 0, "block_shards": 4}
    predict_streamed(configured(tmp_path / "out", slide, used, **share), used)
    others = replace(used, how=ThresholdConfig(interior=0.7, min_area_px=10))
    with pytest.raises(UserError, match=r"blocks of another run \(refine.interior\)"):
        predict_streamed(configured(tmp_path / "out", slide, others), others)
    (tmp_path / "b").mkdir()
    same_name = stored(tmp_path / "b/slide.zarr", field())
    with pytest.raises(UserError, match=r"blocks of another run \(image.place, image.metadata\)"):
        predict_streamed(configured(tmp_path / "out", same_name, used), used)


@pytest.mark.parametrize(
    ("options", "how", "line"),
    [
        ({}, ActiveContourConfig(), "refine=active_contour takes levels from its whole input"),
        ({"scene": "1"}, THRESHOLD, "scene=1: is not supported"),
        ({"z": "max"}, THRESHOLD, "z=max: streamed=true takes one focal plane"),
        ({"z": "3"}, THRESHOLD, "z=3: .* has 1 focal planes"),
        ({"export": ["rois"]}, THRESHOLD, "export: has no meaning"),
        ({"channels": ["green"]}, THRESHOLD, "no channel green"),
        ({"input": "nowhere.zarr"}, THRESHOLD, "no image in OME-Zarr"),
        ({"input": "ftp://x/y"}, THRESHOLD, "no place that can be used"),
    ],
)
def test_what_needs_the_whole_image_is_refused(tmp_path, options, how, line):
    slide, used = stored(tmp_path / "slide.zarr", field((40, 50))), networks(how, 96, 60)
    config = configured(tmp_path / "out", slide, used)
    for key, value in options.items():
        setattr(config, key, value)
    with pytest.raises(UserError, match=line):
        predict_streamed(config, used)
    assert not (tmp_path / "out").exists()


def test_nothing_but_our_labels_is_replaced(tmp_path):
    slide, used = stored(tmp_path / "slide.zarr", field((40, 50))), networks(THRESHOLD, 96, 60)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    for overwrite in (False, True):
        config = configured(tmp_path / "out", slide, used, labels_at=str(tmp_path / "mine"), overwrite=overwrite)
        with pytest.raises(UserError, match="holds files that cellflax did not write"):
            predict_streamed(config, used)
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"
    at = str(tmp_path / "there.zarr")
    predict_streamed(configured(tmp_path / "out", slide, used, labels_at=at), used)
    with pytest.raises(UserError, match="holds the labels of an earlier run"):
        predict_streamed(configured(tmp_path / "other", slide, used, labels_at=at), used)
    predict_streamed(configured(tmp_path / "other", slide, used, labels_at=at, overwrite=True), used)
    assert read_labels(tmp_path / "there.zarr").shape == (40, 50)


def test_shares_are_numbered_from_0():
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"block_shard": 4, "block_shards": 4}, "shares are numbered from 0"),
        ({"block_shards": 4}, "add block_shard=0"),
        ({"block_shard": 0, "streamed": False}, "without streamed=true"),
    )
    for options, line in cases:
        with pytest.raises(UserError, match=line):
            PredictConfig(**({"streamed": True} | options))
