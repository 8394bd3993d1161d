"""One image through a network in blocks, and at a scale of its own, against the same image at once."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage import metrics

from cellflax.data.resample import ScaleConfig
from cellflax.errors import UserError
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.models import Geometry
from cellflax.models.patch_net import PatchNetConfig
from cellflax.prediction.segment import find_nuclei, segment
from cellflax.prediction.trained import TrainedModel
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.refine.whole_cell import WholeCellConfig
from cellflax.training.config import TrainConfig, TrainerConfig
from tests.refine.drawing import disc

BORDER = 2


def brightness(tiles: np.ndarray, members: int) -> np.ndarray:
    """A "network": what is brighter than its image's median, over a box and a little to the right, is inside."""
    edge = 2 * BORDER + 1
    windows = np.lib.stride_tricks.sliding_window_view(tiles[..., 0], (edge, edge), axis=(1, 2))
    outputs = []
    for member in range(members):
        interior = 1 / (1 + np.exp(-4 * (windows[..., 1:].mean((3, 4)) - 1.6 - 0.1 * member)))
        outputs += [np.zeros_like(interior), interior, 1 - interior]
    return np.stack(outputs, -1).astype(np.float32)


def model(members: int = 1, scale: ScaleConfig | None = None, seed_channel: str | None = None) -> TrainedModel:
    config = TrainConfig(
        model=PatchNetConfig(),
        refine=ThresholdConfig(),
        scale=scale or ScaleConfig(),
        seed_channel=seed_channel,
        trainer=TrainerConfig(ensemble=members),
    )
    config.normalize.subtract_local_mean = False
    config.seeds.diameter_px = 12
    record = {"data": {"channels": ["stain"], "class_names": ["edge", "interior", "background"]}}
    return TrainedModel(
        config=config,
        record=record,
        step=0,
        path=Path("run"),
        geometry=Geometry(receptive_field=2 * BORDER + 1, border=BORDER),
        probabilities=lambda tiles: brightness(tiles, members),
    )


def field(shape: tuple[int, int] = (210, 330), zoom: int = 1, pixel_size_um: float | None = None) -> Image:
    """Bright cells, some of them touching, on a noisy background, uint16."""
    rng = np.random.default_rng(0)
    pixels = np.ones(shape)
    for y, x in zip(rng.uniform(0, shape[0], 150), rng.uniform(0, shape[1], 150), strict=True):
        pixels[disc(shape, y, x, rng.uniform(3, 9))] = rng.uniform(1.8, 3)
    pixels = ndimage.gaussian_filter(pixels, 1) + 0.03 * rng.normal(size=shape)
    pixels = ndimage.zoom(pixels, zoom, order=1, grid_mode=True, mode="nearest")
    return Image((1000 * pixels)[..., None].astype(np.uint16), ("stain",), pixel_size_um, Path("field.tif"))


def one_to_one(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label images differ in nothing but their numbers."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) and tuple(pairs[:, 0]) == (0, 0)


@pytest.mark.parametrize(
    ("members", "transforms", "how", "seeded"),
    [(1, 1, ThresholdConfig(), False), (1, 4, WatershedConfig(expand_px=2), True), (2, 1, ThresholdConfig(), False)],
)
def test_blocks_give_the_cells_of_the_whole_image(members, transforms, how, seeded):
    image, network = field(), model(members, seed_channel="stain" if seeded else None)
    results, maps = [], []
    seeds = find_nuclei(network, image, how, Inference())
    assert (seeds is not None) == seeded
    for block in (2048, 120):
        inference = Inference(tile=64, transforms=transforms, block=block, largest_cell_px=60)
        probability, uncertainty = np.full((210, 330, 3), np.nan), np.full((210, 330), np.nan)

        def keep(window, p, u, probability=probability, uncertainty=uncertainty):
            probability[window] = p
            if u is not None:
                uncertainty[window] = u

        results.append(segment(network, image, seeds, how, inference, keep))
        maps.append((probability, uncertainty))
    whole, blocks = results
    assert len(whole.cells) > 40
    assert whole.seeds is seeds
    assert one_to_one(whole.labels, blocks.labels)
    np.testing.assert_allclose(maps[0][0], maps[1][0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(maps[0][1], maps[1][1], rtol=0, atol=1e-6)
    assert np.isnan(maps[0][1]).all() == (members * transforms == 1)
    # Row by row the same cells: each measured once, by the block that has it.
    places = ["centroid-0_px", "centroid-1_px"]
    tables = [result.cells.sort_values(places).drop(columns="label").reset_index(drop=True) for result in results]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6, atol=1e-6)
    assert ("uncertainty" in tables[0]) == (members * transforms > 1)
    assert list(blocks.cells["label"]) == list(range(1, len(whole.cells) + 1))
    assert list(blocks.cells["area_px"]) == list(np.bincount(blocks.labels.ravel())[1:])


def test_nuclei_are_the_same_in_blocks():
    """Thresholds are those of each block, so a few may differ; here none may be lost or doubled."""
    image, how = field(), WatershedConfig()
    network = model(seed_channel="stain")
    whole, blocks = (find_nuclei(network, image, how, Inference(block=block)) for block in (2048, 170))
    by_network = [find_nuclei(network, image, how, Inference(block=block), model()) for block in (2048, 170)]
    assert one_to_one(*by_network)
    assert abs(int(whole.max()) - int(blocks.max())) <= 0.05 * whole.max()
    assert metrics.adapted_rand_error(whole, blocks)[0] < 0.05


def test_nuclei_that_the_network_shows_seed_the_cells():
    def compartments(tiles: np.ndarray) -> np.ndarray:
        inside = brightness(tiles, 1)[..., 1]
        nucleus = np.where(inside > 0.8, inside, 0)
        return np.stack([nucleus, inside - nucleus, 1 - inside], -1)

    record = {"data": {"channels": ["stain"], "class_names": ["nucleus", "cytoplasm", "background"]}}
    network = replace(model(), record=record, probabilities=compartments)
    whole, blocks = (
        segment(network, field(), None, WatershedConfig(), Inference(block=block, largest_cell_px=60))
        for block in (2048, 120)
    )
    assert one_to_one(whole.seeds, blocks.seeds)
    assert one_to_one(whole.labels, blocks.labels)
    cells_of = [np.unique(whole.labels[whole.seeds == n]) for n in range(1, whole.seeds.max() + 1)]
    assert len(cells_of) > 20
    assert sorted(int(cells[0]) for cells in cells_of) == list(range(1, whole.labels.max() + 1))


@pytest.mark.parametrize("block", [2048, 100])
def test_the_network_sees_its_own_pixel_size_and_results_are_on_the_grid_of_the_image(block):
    """The same field at 0.65 and at 0.325 um per pixel, through a network of 0.65 um."""
    how, inference = ThresholdConfig(min_area_px=20), Inference(block=block, largest_cell_px=60)
    network = model(scale=ScaleConfig(pixel_size_um=0.65))
    coarse = segment(network, field(pixel_size_um=0.65), None, how, inference)
    fine_image = field(zoom=2, pixel_size_um=0.325)
    maps = np.full((420, 660, 3), np.nan)
    fine = segment(network, fine_image, None, how, inference, lambda window, p, _: maps.__setitem__(window, p))
    assert fine.labels.shape == (420, 660)
    assert not np.isnan(maps).any()
    assert len(fine.cells) == pytest.approx(len(coarse.cells), abs=2)
    inside = np.mean((fine.labels[::2, ::2] > 0) == (coarse.labels > 0))
    assert inside > 0.98
    assert fine.cells["area_um2"].sum() == pytest.approx(coarse.cells["area_um2"].sum(), rel=0.03)
    assert list(fine.cells["area_px"]) == list(np.bincount(fine.labels.ravel())[1:])
    cell = fine.labels == 1
    assert fine.cells["intensity_mean_stain"][0] == pytest.approx(fine_image.pixels[cell].mean())


def test_memory_is_that_of_a_block():
    image, peaks = field((600, 800)), []
    for block in (2048, 150):
        tracemalloc.start()
        segment(model(), image, None, ThresholdConfig(), Inference(tile=64, block=block, largest_cell_px=30))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.4 * peaks[0]


def test_a_missing_pixel_size_is_asked_for():
    network = model(scale=ScaleConfig(pixel_size_um=0.65))
    with pytest.raises(UserError, match=r"field.tif: its pixel size is unknown, .* add pixel_size_um=\.\.\."):
        segment(network, field(), None, ThresholdConfig(), Inference())


def test_a_refinement_in_micrometres_asks_for_the_pixel_size_before_anything_is_predicted():
    def predicted(tiles: np.ndarray) -> np.ndarray:
        raise AssertionError("a network ran")

    network, whole_cell = replace(model(), probabilities=predicted), WholeCellConfig()
    message = r"^field.tif: its pixel size is unknown, and refine=whole_cell measures in .*; add pixel_size_um=\.\.\.$"
    with pytest.raises(UserError, match=message):
        segment(network, field(), None, whole_cell, Inference())
    nuclei_network = replace(network, config=replace(network.config, refine=whole_cell))
    with pytest.raises(UserError, match=message):
        find_nuclei(network, field(), WatershedConfig(), Inference(), nuclei_network)


def test_a_network_of_one_channel_takes_the_seed_channel():
    """Where the image lacks a channel of its name: that of the nuclei is known by its use, not by its name."""
    stain = field()
    other = np.zeros_like(stain.pixels)
    image = Image(np.concatenate([other, stain.pixels], axis=-1), ("phase", "dapi"), None, stain.path)
    network, nuclei_network = model(seed_channel="dapi"), model()
    network.record["data"]["channels"] = ["phase", "dapi"]
    expected = find_nuclei(model(), stain, WatershedConfig(), Inference(), nuclei_network)
    assert expected is not None
    assert expected.max() > 40
    found = find_nuclei(network, image, WatershedConfig(), Inference(), nuclei_network)
    np.testing.assert_array_equal(found, expected)
    named = Image(image.pixels, ("dapi", "stain"), None, stain.path)  # a channel of its name comes first
    np.testing.assert_array_equal(find_nuclei(network, named, WatershedConfig(), Inference(), nuclei_network), expected)
    network.config.seed_channel = None
    with pytest.raises(UserError, match="nuclei_checkpoint needs the channel stain"):
        find_nuclei(network, image, WatershedConfig(), Inference(), nuclei_network)
