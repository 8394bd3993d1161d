"""Crops around random cells: which are drawn, what each pixel weighs, and that nothing changes without them.

Channels of the images: row, column, class, number of the image, as in test_sampler.
"""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cellflax.data.augment import AugmentConfig
from cellflax.data.cell_draw import MOST
from cellflax.data.example import IGNORE, Example
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.data.sampler import CropsConfig, Sampler
from cellflax.data.stored_batches import stored_batches
from cellflax.errors import UserError
from cellflax.ignored import PAINTED
from cellflax.training.state import data_mesh

PLAIN = AugmentConfig(rotate=False, reflect=False)
SIZE = 8


def example(number: int, cells: list[tuple[int, int]], shape: tuple[int, int], hidden: int = 0) -> Example:
    """Cells of 3 x 3 pixels with these corners; the first `hidden` columns are not annotated."""
    labels = np.zeros(shape, np.int32)
    for k, (y, x) in enumerate(cells):
        labels[y : y + 3, x : x + 3] = 10 * (k + 1)
    ignored = None
    if hidden:
        ignored = np.zeros(shape, np.uint8)
        ignored[:, :hidden] = PAINTED
    classes = pixel_classes(Annotation.boundaries, labels, None, 1, ignored)
    rows, columns = np.indices(shape)
    image = np.stack([rows, columns, classes, np.full(shape, number)], -1).astype(np.float32)
    return Example(f"image{number}", image, classes, labels, ignored=ignored)


def examples(hidden: int = 0) -> tuple[Example, ...]:
    """Six cells, one cell, and no cell."""
    six = [(2, 2), (2, 8), (8, 2), (8, 9), (14, 14), (3, 19)]
    return (
        example(0, six, (20, 26), hidden),
        example(1, [(4, 5)], (13, 11), hidden),
        example(2, [], (16, 16)),
    )


def sampler(config: CropsConfig, data: tuple[Example, ...]) -> Sampler:
    return Sampler(config, data, border=2, multiple=4, classes=3)


def drawn(config: CropsConfig, data: tuple[Example, ...], steps: int) -> tuple[np.ndarray, ...]:
    drawing = sampler(config, data)
    batches = [jax.device_get(drawing(drawing.data, 0, step))[:3] for step in range(steps)]
    image, target, weight = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return image[:, 2:-2, 2:-2], target, weight


def objective(data: tuple[Example, ...], balance: float, by_cell: float) -> list[np.ndarray]:
    """By definition: an image, by its cells or uniformly, one of its classes, a pixel of it; (H, W) each."""
    numbers = np.array([len(np.unique(e.annotated_cells[e.classes != IGNORE])) - 1 for e in data], float)
    shares = (1 - by_cell) / len(data) + by_cell * numbers / numbers.sum()
    maps = []
    for item, image in zip(data, shares, strict=True):
        counts = np.array([np.sum(item.classes == k) for k in range(3)])
        share = np.array([float(count) ** (1 - balance) if count else 0.0 for count in counts])
        of_class = image * share / share.sum() / np.maximum(counts, 1)
        maps.append(np.where(item.classes == IGNORE, 0, of_class[np.maximum(item.classes, 0)]))
    return maps


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize(("balance", "by_cell"), [(1.0, 0.5), (0.0, 0.3)])
def test_pixels_weigh_as_the_objective_says(balance, by_cell, hidden):
    """An image by its cells, a class by `balance`, a pixel of it uniformly: near cells, far from them, at borders."""
    crops, steps, data = 3000, 10, examples(hidden)
    config = CropsConfig(batch=crops, size=SIZE, balance=balance, by_cell=by_cell, augment=PLAIN)
    image, target, weight = drawn(config, data, steps)
    used = weight > 0
    row, column, kind, number = np.moveaxis(image[used].astype(int), -1, 0)
    np.testing.assert_array_equal(target[used], kind)
    squares = []
    plain = Sampler(replace(config, by_cell=0.0), data, border=2, multiple=4, classes=3).data.crop_weight
    assert (plain is None) == (hidden == 0)
    for i, probability in enumerate(objective(data, balance, by_cell)):
        here, shape = number == i, probability.shape
        visits, weights = np.zeros(shape), np.zeros(shape)
        np.add.at(visits, (row[here], column[here]), 1)
        np.add.at(weights, (row[here], column[here]), weight[used][here])
        expected = probability * crops * steps * SIZE**2
        taught = probability > 0
        assert weights[~taught].sum() == 0
        assert visits[taught].min() > 30
        spread = expected[taught] / np.sqrt(visits[taught])
        squares.append(((weights - expected)[taught] / spread) ** 2)
    squares = np.concatenate(squares)
    assert squares.max() < 5.5**2
    assert squares.mean() < 1.3
    assert weight.mean() == pytest.approx(1, rel=0.02)


def test_every_cell_is_drawn_equally_often():
    data = examples()
    config = CropsConfig(batch=4000, size=SIZE, by_cell=1.0, augment=PLAIN)
    image, _, _ = drawn(config, data, 1)
    middle = image[:, SIZE // 2, SIZE // 2].astype(int)
    assert (middle[:, 2] == 1).mean() > 0.1  # the middle pixels of cells of 3 x 3 px are interior
    numbers = [data[n].cells[y, x] + 1000 * n for y, x, _, n in middle]
    found, counts = np.unique(numbers, return_counts=True)
    assert found.tolist() == [10, 20, 30, 40, 50, 60, 1010]
    assert np.abs(counts - 4000 / 7).max() < 5 * np.sqrt(4000 / 7)
    pixels = {tuple(row) for row in middle[:, [0, 1, 3]].tolist()}
    assert len(pixels) == 7 * 9  # every pixel of every cell


def test_a_pixel_far_from_cells_has_a_limited_weight():
    data = (example(0, [(2, 2)], (40, 40)), example(1, [(20, 20), (24, 20)], (40, 40)))
    config = CropsConfig(batch=2, size=SIZE, by_cell=0.98, augment=PLAIN)
    weights = np.asarray(sampler(config, data).data.crop_weight)[:, 6:-6, 6:-6]
    assert weights[0, 20, 20] == pytest.approx(MOST * 41 / 40 * 41 / 40, rel=1e-6)
    assert weights.max() < 1.01 * MOST * (41 / 40 * 8 / 4.0) ** 2
    assert weights[0, 3, 3] < 0.1


@pytest.mark.parametrize("case", ["held out", "not annotated", "none"])
def test_cells_that_are_not_trained_on_are_not_drawn(case):
    data = examples(hidden=5 if case == "not annotated" else 0)
    if case == "held out":
        data = (replace(data[0], classes=np.where(data[0].cells == 10, IGNORE, data[0].classes).astype(np.int8)),)
    if case == "none":
        with pytest.raises(UserError, match=r"sampler.by_cell needs a cell .*set sampler.by_cell=0"):
            sampler(CropsConfig(size=SIZE, by_cell=0.1), data[2:])
        return
    cells = sampler(CropsConfig(size=SIZE, by_cell=0.1), data).data.cells
    assert cells is not None
    assert len(cells.counts) == {"held out": 5, "not annotated": 5}[case]


EVERYTHING = CropsConfig(
    batch=4,
    size=SIZE,
    by_cell=0.5,
    touching=4.0,
    touching_px=2.0,
    compose=0.4,
    stored_crops=10,
    augment=AugmentConfig(scale=1.2, gain=0.1, gamma=0.2, blur_px=1.0, offset=0.1, noise=0.1),
)


def test_one_and_four_devices_agree():
    data = examples()
    drawing = sampler(EVERYTHING, data)

    @partial(jax.jit, static_argnums=0)
    def split(mesh, data, step):
        return jax.lax.with_sharding_constraint(drawing(data, 5, step), NamedSharding(mesh, PartitionSpec("data")))

    first, again = drawing(drawing.data, 5, 7), split(data_mesh(4), drawing.data, jnp.asarray(7))
    np.testing.assert_array_equal(first.target, again.target)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # compiled otherwise, they are rounded otherwise
    assert not np.array_equal(first.image, drawing(drawing.data, 6, 7).image)


def test_stores_keep_what_the_sampler_draws(tmp_path: Path):
    data = examples(hidden=5)
    drawing = sampler(EVERYTHING, data)
    stores = stored_batches(replace(EVERYTHING, store=str(tmp_path)), drawing, 5, 2)
    fed = stores.feed(3)
    for member in (5, 6):
        expected = drawing(drawing.data, member, 3)
        for a, b in zip(stores(fed, jnp.asarray(member), jnp.asarray(3)), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    other = replace(EVERYTHING, by_cell=0.6, store=str(tmp_path))
    with pytest.raises(UserError, match=r"a training with sampler.by_cell=0.5, not 0.6"):
        stored_batches(other, sampler(other, data), 5, 1)


# Of the batches before crops were drawn by cell: every image is an integer, so that these hold on any machine.
BEFORE = {
    (0, 0.0): ("cc0cfae780373618", 706.9207),
    (0, 0.5): ("873a417067cb22cd", 494.3764),
    (5, 0.5): ("6cc6a206882da237", 352.4856),
}


@pytest.mark.parametrize(("hidden", "compose"), BEFORE)
def test_without_them_batches_are_as_before(hidden, compose):
    drawing = sampler(CropsConfig(batch=8, size=SIZE, compose=compose), examples(hidden))
    assert drawing.data.cells is None
    assert drawing.data.touching is None
    batch = drawing(drawing.data, 1, 2)
    digest = hashlib.sha256(np.asarray(batch.image).tobytes() + np.asarray(batch.target).tobytes())
    expected, weight = BEFORE[hidden, compose]
    assert digest.hexdigest()[:16] == expected
    assert float(batch.weight.sum()) == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by_cell": 1.5}, r"sampler.by_cell must be in \[0, 1\], got 1.5"),
        ({"touching": -1.0}, "sampler.touching must be 0 or more, got -1"),
        ({"touching_px": 0.0}, "sampler.touching_px must be above 0, got 0"),
    ],
)
def test_values_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CropsConfig(**settings)
