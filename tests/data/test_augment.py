"""Random transforms: which occur, how often, and that image and annotation stay together."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.data.augment import AugmentConfig, augment
from cellflax.data.example import IGNORE
from cellflax.errors import UserError

SIZE, BORDER, DRAWS = 6, 3, 800


def coordinates(edge: int) -> np.ndarray:
    """(edge, edge, 2) rows and columns, counted from the first labelled pixel."""
    return np.stack(np.indices((edge, edge)), -1).astype(np.float32) - (edge - SIZE) / 2


def draw(config: AugmentConfig, image: np.ndarray, classes: np.ndarray, weight: np.ndarray, draws: int = DRAWS):
    """Many transforms of one image: arrays with a leading axis of draws."""
    keys = jax.random.split(jax.random.key(0), draws)
    drawn = jax.jit(jax.vmap(lambda key: augment(key, *map(jnp.asarray, (image, classes, weight)), config)))(keys)
    return tuple(np.asarray(x) for x in drawn[:3])


def assert_uniform(values: np.ndarray, limit: float) -> None:
    """Every draw is within the limit either way, and every quarter of that range is drawn equally often."""
    assert np.abs(values).max() <= limit + 1e-4
    shares = np.histogram(values, bins=4, range=(-limit, limit))[0]
    assert np.all(np.abs(shares - DRAWS / 4) < 4 * np.sqrt(DRAWS / 4))


def dihedral(config: AugmentConfig, image: np.ndarray) -> list[np.ndarray]:
    """The transforms that should occur, by NumPy."""
    turned = [np.rot90(image, k) for k in range(4 if config.rotate else 1)]
    return turned + [x[:, ::-1] for x in turned] if config.reflect else turned


@pytest.mark.parametrize(
    ("rotate", "reflect", "count"), [(True, True, 8), (True, False, 4), (False, True, 2), (False, False, 1)]
)
def test_every_transform_occurs_equally_often_and_no_other(rotate, reflect, count):
    config = AugmentConfig(rotate=rotate, reflect=reflect)
    image = coordinates(SIZE + 2 * BORDER)
    annotation = image[BORDER:-BORDER, BORDER:-BORDER]
    classes = (10 * annotation[..., 0] + annotation[..., 1]).astype(np.int8)
    images, drawn, weights = draw(config, image, classes, classes.astype(np.float32))

    expected = dihedral(config, image)
    same = np.array([(images == e).all((1, 2, 3)) for e in expected])
    assert len(expected) == count
    np.testing.assert_array_equal(same.sum(0), 1)
    assert np.all(np.abs(same.sum(1) - DRAWS / count) <= 4 * np.sqrt(DRAWS / count))
    # Classes and weights went the same way, and lie in the middle of the image.
    middle = images[:, BORDER:-BORDER, BORDER:-BORDER]
    np.testing.assert_array_equal(drawn, 10 * middle[..., 0] + middle[..., 1])
    np.testing.assert_array_equal(weights, drawn)
    assert drawn.dtype == np.int8


@pytest.mark.parametrize("border", [3, 4])
@pytest.mark.parametrize("rotate", [False, True])
def test_shear_keeps_the_annotation_on_the_image(border, rotate):
    """Intensities and classes both count columns, or rows: they must agree to half a pixel wherever valid."""
    size = 12
    columns = np.broadcast_to(np.arange(size + 2 * border, dtype=np.float32) - border, (size + 2 * border,) * 2)
    classes = columns[border:-border, border:-border].astype(np.int8)
    config = AugmentConfig(rotate=rotate, reflect=rotate, shear_degrees=20)
    image, drawn, weight = draw(config, columns[..., None], classes, np.ones((size, size), np.float32), 50)
    middle = image[:, border:-border, border:-border, 0]
    valid = drawn != IGNORE
    assert np.abs(middle - drawn)[valid].max() <= 0.5 + 1e-4
    assert np.all((middle < -0.5 + 1e-4) | (middle > size - 0.5 - 1e-4) | valid)
    assert 0.7 < valid.mean() < 0.99
    np.testing.assert_array_equal(weight, valid)


def test_shear_angles_are_uniform_up_to_the_limit():
    size, limit = 21, 30
    columns = np.broadcast_to(np.arange(size, dtype=np.float32), (size, size))
    config = AugmentConfig(rotate=False, reflect=False, shear_degrees=limit)
    ones = np.ones((size, size), np.float32)
    image, _, _ = draw(config, columns[..., None], ones.astype(np.int8), ones)
    slope = image[:, size // 2 + 1, size // 2, 0] - image[:, size // 2, size // 2, 0]
    assert_uniform(slope, np.tan(np.deg2rad(limit)))


def test_a_single_pixel_annotation_stays_on_the_centre():
    image = coordinates(SIZE + 1)
    config = AugmentConfig(shear_degrees=45)
    images, classes, weights = draw(config, image, np.full((1, 1), 2, np.int8), np.ones((1, 1), np.float32), 50)
    np.testing.assert_allclose(images[:, 3, 3], np.broadcast_to(image[3, 3], (50, 2)), atol=1e-5)
    np.testing.assert_array_equal(classes, 2)
    np.testing.assert_array_equal(weights, 1)


def _draw_distances(**settings) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
    """Crops, drawn without right angles and reflections, of an image of the distances from its centre; and its centre.

    All pixels are annotated with class 1 and weight 1.
    """
    size = 21
    image = coordinates(size) - (SIZE - 1) / 2
    ones = np.ones((size, size), np.float32)
    config = AugmentConfig(rotate=False, reflect=False, **settings)
    return draw(config, image, ones.astype(np.int8), ones), size // 2


@pytest.mark.parametrize("scale", [1.2, 2.0])
def test_zooms_are_log_uniform_about_the_centre(scale):
    (images, classes, weights), middle = _draw_distances(scale=scale)
    step = images[:, middle + 1, middle] - images[:, middle, middle]
    np.testing.assert_allclose(images[:, middle, middle], 0, atol=1e-5)
    np.testing.assert_allclose(step[:, 1], 0, atol=1e-5)
    assert_uniform(-np.log(step[:, 0]) / np.log(scale), 1)
    # Zoomed out, what lies beyond the image is not annotated.
    reach = middle * step[:, 0]
    np.testing.assert_array_equal((classes == IGNORE).any(axis=(1, 2)), reach > middle + 0.5)
    np.testing.assert_array_equal(weights, classes != IGNORE)


@pytest.mark.parametrize("limit", [20.0, 45.0])
def test_turns_are_uniform_about_the_centre(limit):
    (images, classes, weights), middle = _draw_distances(rotate_degrees=limit)
    down, right = (images[:, middle + i, middle + j] - images[:, middle, middle] for i, j in ((1, 0), (0, 1)))
    np.testing.assert_allclose(images[:, middle, middle], 0, atol=1e-5)
    # One pixel down and one to the right stay as long and as square to each other: a turn, and nothing else.
    np.testing.assert_allclose(np.linalg.norm([down, right], axis=-1), 1, atol=1e-4)
    np.testing.assert_allclose(down[:, 0] * right[:, 1] - down[:, 1] * right[:, 0], 1, atol=1e-4)
    angle = np.rad2deg(np.arctan2(down[:, 1], down[:, 0]))
    assert_uniform(angle, limit)
    np.testing.assert_array_equal(weights, classes != IGNORE)
    turned = np.abs(angle) > 10
    assert (classes[turned][:, 0, 0] == IGNORE).all()  # the corner comes from beyond the image


def test_gains_are_log_normal_and_each_channel_has_its_own():
    image = np.stack([np.full((4, 4), 2.0), np.full((4, 4), -3.0)], -1).astype(np.float32)
    config = AugmentConfig(rotate=False, reflect=False, gain=0.2)
    images, _, _ = draw(config, image, np.zeros((4, 4), np.int8), np.ones((4, 4), np.float32))
    assert np.ptp(images, axis=(1, 2)).max() == 0
    gains = np.log(images[:, 0, 0] / image[0, 0])
    np.testing.assert_allclose(gains.std(axis=0), 0.2, rtol=0.1)
    np.testing.assert_allclose(gains.mean(axis=0), 0, atol=0.03)
    assert abs(np.corrcoef(gains.T)[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("key", "value", "limits"),
    [
        ("rotate_degrees", -1.0, "[0, 45]"),
        ("rotate_degrees", 90.0, "[0, 45]"),
        ("shear_degrees", -1.0, "[0, 45]"),
        ("shear_degrees", 46.0, "[0, 45]"),
        ("scale", 0.9, "[1, 2]"),
        ("scale", 2.5, "[1, 2]"),
        ("gain", -0.1, "[0, 1]"),
    ],
)
def test_values_out_of_range_are_refused(key, value, limits):
    with pytest.raises(UserError, match=re.escape(f"sampler.augment.{key} must be in {limits}, got {value}")):
        AugmentConfig(**{key: value})
