"""Both samplers, on images that say where each of their pixels came from.

Channels: row, column, class, number of the image. The two images differ in size, share of the classes and
annotation, and small crops reach over their borders.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cellflax.data.augment import AugmentConfig
from cellflax.data.example import IGNORE, Example
from cellflax.data.sampler import Batch, CropsConfig, PatchesConfig, Sampler, SamplerConfig
from cellflax.errors import UserError
from cellflax.training.state import data_mesh

BORDER, CLASSES, SIZE = 2, 3, 8
SHAPES = ((20, 26), (13, 9))
PLAIN = AugmentConfig(rotate=False, reflect=False)


def example(number: int, shape: tuple[int, int], class_shares: tuple[float, ...]) -> Example:
    rng = np.random.default_rng(number)
    classes = rng.choice([IGNORE, *range(CLASSES)], size=shape, p=class_shares).astype(np.int8)
    rows, columns = np.indices(shape)
    image = np.stack([rows, columns, classes, np.full(shape, number)], -1).astype(np.float32)
    return Example(f"image{number}", image, classes, np.zeros(shape, np.int32))


EXAMPLES = (example(0, SHAPES[0], (0.1, 0.1, 0.2, 0.6)), example(1, SHAPES[1], (0.3, 0.2, 0.5, 0.0)))


def sampler(config: SamplerConfig, examples=EXAMPLES, multiple: int = 4) -> Sampler:
    return Sampler(config, examples, border=BORDER, multiple=multiple, classes=CLASSES)


def batches(config: SamplerConfig, steps: int) -> Batch:
    """All pixels of some batches: image is cut to the labelled part."""
    drawing = sampler(config)
    drawn = [jax.device_get(drawing(drawing.data, 0, step)) for step in range(steps)]
    image, target, weight, _ = jax.tree.map(lambda *arrays: np.concatenate(arrays), *drawn)
    image = image[:, BORDER:-BORDER, BORDER:-BORDER]
    used = weight > 0
    np.testing.assert_array_equal(target[used], image[used][:, 2])  # never IGNORE, always the pixel's own class
    return Batch(image, target, weight)


def probabilities(balance: float) -> list[np.ndarray]:
    """By definition: an image, one of its classes ~ count^(1 - balance), a pixel of it; (H, W) each."""
    maps = []
    for item in EXAMPLES:
        probability = np.zeros(item.classes.shape)
        counts = np.array([np.sum(item.classes == k) for k in range(CLASSES)])
        share = np.array([float(count) ** (1 - balance) if count else 0.0 for count in counts])
        for k in np.flatnonzero(counts):
            probability[item.classes == k] = share[k] / share.sum() / counts[k] / len(EXAMPLES)
        maps.append(probability)
    return maps


def scatter(batch: Batch, values: np.ndarray) -> list[np.ndarray]:
    """Sum values over the pixels of the images that they were drawn from."""
    used = batch.weight > 0
    row, column, _, number = np.moveaxis(batch.image[used].astype(int), -1, 0)
    sums = [np.zeros(shape) for shape in SHAPES]
    for i, total in enumerate(sums):
        here = number == i
        np.add.at(total, (row[here], column[here]), values[used][here])
    return sums


def cost_of(image: np.ndarray) -> np.ndarray:
    """A fixed function of the pixel, unlike in all classes, images and places."""
    row, column, kind, number = np.moveaxis(image, -1, 0)
    return np.sin(row) + 0.1 * column + (kind - 0.5) ** 2 + number


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_patches_are_drawn_with_their_probability(balance):
    draws = 20_000
    batch = batches(PatchesConfig(batch=draws // 4, balance=balance), 4)
    assert batch.image.shape == (draws, 1, 1, 4)
    np.testing.assert_array_equal(batch.weight, 1)
    expected = np.concatenate([p.ravel() for p in probabilities(balance)]) * draws
    counts = np.concatenate([c.ravel() for c in scatter(batch, np.ones_like(batch.weight))])
    assert counts[expected == 0].sum() == 0
    drawn = expected > 0
    chi_square = np.sum((counts - expected)[drawn] ** 2 / expected[drawn]) / (drawn.sum() - 1)
    assert abs(chi_square - 1) < 5 * np.sqrt(2 / drawn.sum())
    # Class by class: equally often for balance 1, by area for balance 0.
    shares = np.bincount(batch.target[batch.image[..., 3] == 0]) / np.sum(batch.image[..., 3] == 0)
    counts = np.bincount(EXAMPLES[0].classes[EXAMPLES[0].classes != IGNORE])
    by_area = counts / counts.sum()
    if balance == 1:
        np.testing.assert_allclose(shares, 1 / CLASSES, atol=4 * 0.5 / np.sqrt(draws / 2))
    elif balance == 0:
        np.testing.assert_allclose(shares, by_area, atol=4 * 0.5 / np.sqrt(draws / 2))


@pytest.mark.parametrize(("balance", "size"), [(1.0, 8), (0.0, 16)])
def test_crops_weigh_each_pixel_by_its_probability(balance, size):
    """Also near the borders, where fewer crops reach, and in an image smaller than the crop."""
    crops, steps = 3000, 10
    batch = batches(CropsConfig(batch=crops, size=size, balance=balance, augment=PLAIN), steps)
    visits = scatter(batch, np.ones_like(batch.weight))
    weights = scatter(batch, batch.weight)
    squares = []
    for visited, weight, probability in zip(visits, weights, probabilities(balance), strict=True):
        expected = probability * crops * steps * size**2
        annotated = probability > 0
        assert weight[~annotated].sum() == 0
        assert visited[annotated].min() > 100
        spread = expected / np.sqrt(np.maximum(visited, 1))  # visits are nearly Poisson
        squares.append(((weight - expected)[annotated] / spread[annotated]) ** 2)
    squares = np.concatenate(squares)
    assert squares.max() < 5**2
    assert squares.mean() < 1.3
    assert batch.weight.mean() == pytest.approx(1, rel=0.01)
    if balance == 1:  # all classes weigh the same; the second image has two of the three
        shares = np.array([np.sum(batch.weight[batch.target == k]) for k in range(CLASSES)])
        np.testing.assert_allclose(shares / shares.sum(), [5 / 12, 5 / 12, 1 / 6], atol=0.01)


@pytest.mark.parametrize("balance", [0.7, 1.0])
def test_expected_cost_of_crops_is_that_of_patches(balance):
    def estimate(config: SamplerConfig, steps: int) -> tuple[float, float]:
        batch = batches(config, steps)
        costs = np.mean(batch.weight * cost_of(batch.image), axis=(1, 2))
        return costs.mean(), costs.std() / np.sqrt(len(costs))

    expected = sum(np.sum(p * cost_of(item.image)) for p, item in zip(probabilities(balance), EXAMPLES, strict=True))
    for config in (PatchesConfig(batch=5000, balance=balance), CropsConfig(batch=2500, size=SIZE, balance=balance)):
        mean, error = estimate(config, 4)
        assert error < 0.03 * expected
        assert abs(mean - expected) < 4 * error


def test_crops_are_windows_of_the_image_with_its_annotation():
    batch = batches(CropsConfig(batch=200, size=SIZE, augment=PLAIN), 1)
    used = batch.weight > 0
    np.testing.assert_array_equal(batch.target[~used], 0)
    inside = used[:, :, 1:] & used[:, :, :-1]
    assert np.all(np.diff(batch.image[..., 1], axis=2)[inside] == 1)
    assert np.all(np.diff(batch.image[..., 0], axis=2)[inside] == 0)


def test_composed_crops_show_two_images_on_the_two_sides_of_a_line():
    size = 32
    images = [
        Example(
            f"image{k}", np.full((40, 40, 1), k, np.float32), np.full((40, 40), k, np.int8), np.zeros((40, 40), int)
        )
        for k in range(2)
    ]
    drawing = sampler(CropsConfig(batch=200, size=size, compose=0.5, augment=PLAIN), images)
    image, target, weight, _ = jax.device_get(drawing(drawing.data, 0, 0))
    image = image[:, BORDER:-BORDER, BORDER:-BORDER, 0]
    np.testing.assert_array_equal(image[weight > 0], target[weight > 0])
    both = image.any(axis=(1, 2)) & ~image.all(axis=(1, 2))
    assert abs(both.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 200)  # divided in half the draws, the same image in half
    # What is beside the other image is not trained on, and the line is straight: both sides are half planes.
    rows, columns = np.indices((size, size))
    for one, used in zip(image[both], weight[both] > 0, strict=True):
        seam = np.zeros((size, size), bool)
        seam[1:] |= one[1:] != one[:-1]
        seam[:, 1:] |= one[:, 1:] != one[:, :-1]
        assert not used[seam].any()
        assert used.any()
        assert _separable(*(np.stack([rows[one == k], columns[one == k]], -1) for k in range(2)))


def _separable(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether some straight line has the first points on one side and the second on the other."""
    angles = np.linspace(0, 2 * np.pi, 1441)
    normals = np.stack([np.cos(angles), np.sin(angles)])
    between = (second @ normals).min(axis=0) - (first @ normals).max(axis=0)
    return bool(between.max() > -0.1)  # half a pixel would be a step; the angles are a quarter degree apart


def test_whole_crop_is_reflected_at_the_borders():
    drawing = sampler(CropsConfig(batch=2000, size=SIZE, augment=PLAIN), EXAMPLES[1:])
    drawn = np.asarray(drawing(drawing.data, 0, 0).image)
    edge = SIZE + 2 * BORDER
    reach = SIZE // 2 + BORDER
    padded = np.pad(EXAMPLES[1].image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    windows = {
        padded[y : y + edge, x : x + edge].tobytes()
        for y in range(padded.shape[0] - edge + 1)
        for x in range(padded.shape[1] - edge + 1)
    }
    assert {crop.tobytes() for crop in drawn} == windows  # every position, and nothing else


@pytest.mark.parametrize("config", [PatchesConfig(batch=8), CropsConfig(batch=8, size=SIZE)])
def test_batch_is_a_function_of_seed_and_step_on_any_number_of_devices(config):
    drawing = sampler(config)
    first = drawing(drawing.data, 5, 7)
    for seed, step in ((5, 8), (6, 7)):
        assert not np.array_equal(first.image, drawing(drawing.data, seed, step).image)

    @partial(jax.jit, static_argnums=0)
    def split(mesh, data, step):
        batch = drawing(data, 5, step)
        return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))

    assert len(first.image.sharding.device_set) == 1
    again = split(data_mesh(4), sampler(config).data, jnp.asarray(7))
    assert len(again.image.sharding.device_set) == 4
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rescaled_crops_go_from_0_to_1_less_their_median():
    plain, rescaled = (sampler(CropsConfig(batch=50, size=SIZE, rescale=on, augment=PLAIN)) for on in (False, True))
    before, after = (np.asarray(s(s.data, 0, 0).image, float) for s in (plain, rescaled))
    for crop, result in zip(before, after, strict=True):
        for c in range(3):  # the fourth channel is the same everywhere
            expected = (crop[..., c] - crop[..., c].min()) / (crop[..., c].max() - crop[..., c].min())
            np.testing.assert_allclose(result[..., c], expected - np.median(expected), atol=1e-6)
    np.testing.assert_array_equal(after[..., 3], 0)


def test_images_without_annotation_are_left_out():
    blank = replace(EXAMPLES[1], classes=np.full_like(EXAMPLES[1].classes, IGNORE))
    data = sampler(CropsConfig(size=SIZE), (blank, EXAMPLES[0])).data
    assert np.unique(data.images[..., 3]) == [0]


def test_nothing_annotated_is_refused():
    blank = replace(EXAMPLES[0], classes=np.full_like(EXAMPLES[0].classes, IGNORE))
    with pytest.raises(UserError, match="no training image has an annotated pixel"):
        sampler(PatchesConfig(), (blank,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchesConfig(batch=0), "sampler.batch must be 1 or more, got 0"),
        (lambda: CropsConfig(batch=-1), "sampler.batch must be 1 or more, got -1"),
        (lambda: CropsConfig(balance=1.5), r"sampler.balance must be in \[0, 1\], got 1.5"),
        (lambda: CropsConfig(size=31), "sampler.size must be even and 8 or more, got 31"),
        (lambda: CropsConfig(size=6), "sampler.size must be even and 8 or more, got 6"),
        (lambda: CropsConfig(compose=1.5), r"sampler.compose must be in \[0, 1\], got 1.5"),
        (lambda: CropsConfig(stored_crops=0), "sampler.stored_crops must be 1 or more, or null, got 0"),
        (
            lambda: CropsConfig(store="here"),
            "sampler.store=here needs to know how many crops: set ",
        ),
        (lambda: sampler(CropsConfig(size=20), multiple=8), "divisible by 8 for this network, got 20; use 16"),
        (lambda: sampler(CropsConfig(size=8), multiple=32), "divisible by 32 for this network, got 8; use 32"),
    ],
)
def test_unusable_samplers_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
