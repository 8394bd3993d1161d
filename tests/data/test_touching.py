"""Weights that grow between cells that are near: against their definition, and in the batches."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from cellflax.data.augment import AugmentConfig
from cellflax.data.example import IGNORE
from cellflax.data.sampler import CropsConfig, Sampler
from cellflax.data.touching import touching_weights
from tests.data.test_cell_draw import SIZE, drawn, examples, objective

PLAIN = AugmentConfig(rotate=False, reflect=False)


def by_definition(cells: np.ndarray, factor: float, sigma: float) -> np.ndarray:
    distances = [ndimage.distance_transform_edt(cells != k) for k in np.unique(cells[cells > 0])]
    first, second = np.sort([*map(np.asarray, distances), *[np.full(cells.shape, np.inf)] * 2], axis=0)[:2]
    return 1 + factor * np.exp(-((first + second) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("sigma", [0.7, 3.0, 12.0])
def test_weights_are_those_of_the_definition(sigma):
    rng = np.random.default_rng(0)
    blobs = measure.label(ndimage.gaussian_filter(rng.normal(size=(90, 70)), 2.5) > 0.05)
    cells = np.where(blobs == 3, 70_000, blobs)  # any numbers
    assert len(np.unique(cells)) > 10
    np.testing.assert_allclose(touching_weights(cells, 5.0, sigma), by_definition(cells, 5.0, sigma), rtol=1e-5)


def test_cells_that_touch_and_single_cells():
    cells = np.zeros((9, 12), int)
    cells[:, 2:5], cells[:, 5:8] = 1, 2
    weights = touching_weights(cells, 10.0, 1.0)
    np.testing.assert_allclose(weights[4, 4:6], 1 + 10 * np.exp(-0.5), rtol=1e-6)  # 0 to one's own, 1 to the other
    assert np.argmax(weights[4]) in (4, 5)
    for few in (cells * 0, np.where(cells == 2, 0, cells)):
        np.testing.assert_array_equal(touching_weights(few, 10.0, 1.0), 1)


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("by_cell", [0.0, 0.5])
def test_batches_have_these_weights_with_mean_1(hidden, by_cell):
    data = examples(hidden)
    config = CropsConfig(batch=3000, size=SIZE, by_cell=by_cell, augment=PLAIN)
    image, _, plain = drawn(config, data, 4)
    same, _, weight = drawn(replace(config, touching=6.0, touching_px=3.0), data, 4)
    np.testing.assert_array_equal(image, same)
    np.testing.assert_array_equal(plain > 0, weight > 0)
    known = [np.where(e.classes == IGNORE, 0, e.annotated_cells) for e in data]
    maps = [by_definition(cells, 6.0, 3.0) for cells in known]
    mean = sum(np.sum(m * p) for m, p in zip(maps, objective(data, 1.0, by_cell), strict=True))
    row, column, _, number = np.moveaxis(image[weight > 0].astype(int), -1, 0)
    expected = np.array([maps[n][y, x] for y, x, n in zip(row, column, number, strict=True)]) / mean
    np.testing.assert_allclose(weight[weight > 0] / plain[plain > 0], expected, rtol=1e-4)
    assert np.ptp(expected) > 1
    assert weight.mean() == pytest.approx(1, rel=0.05)


def test_weights_turn_with_the_classes():
    data = examples()
    config = CropsConfig(batch=500, size=SIZE, touching=6.0, touching_px=3.0)
    weights = np.asarray(Sampler(config, data, border=2, multiple=4, classes=3).data.touching)
    image, _, weight = drawn(config, data, 1)
    _, _, plain = drawn(replace(config, touching=0.0), data, 1)
    used = weight > 0
    row, column, _, number = np.moveaxis(image[used].astype(int), -1, 0)
    np.testing.assert_allclose(weight[used] / plain[used], weights[number, row + 6, column + 6], rtol=1e-5)
