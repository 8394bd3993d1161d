"""Random blur, noise and brightness: their distributions, and that the annotation stays as it is."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cellflax.data.augment import AugmentConfig, augment
from cellflax.data.photometry import median
from cellflax.errors import UserError

DRAWS = 600
OPTIMISED = {"xla_backend_optimization_level": 3}  # as commands are, in which roundings differ from those of tests
STILL = {"rotate": False, "reflect": False}


def draw(image: np.ndarray, **settings) -> np.ndarray:
    """(DRAWS, H, W, C) random changes of one image; classes and weights must stay."""
    edge = len(image) - 2
    classes = np.arange(edge**2).reshape(edge, edge).astype(np.int32)
    config = AugmentConfig(**STILL, **settings)

    @jax.vmap
    def change(key):
        return augment(key, jnp.asarray(image), jnp.asarray(classes), jnp.asarray(classes, jnp.float32), config)[:3]

    compiled = jax.jit(change, compiler_options=OPTIMISED)
    images, kinds, weights = (np.asarray(x) for x in compiled(jax.random.split(jax.random.key(0), DRAWS)))
    assert (kinds == classes).all()
    assert (weights == classes).all()
    assert images.dtype == np.float32
    return images


def noise(edge: int = 12, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(edge, edge, channels)).astype(np.float32)


def test_offsets_are_normal_and_each_channel_has_its_own():
    image = noise()
    shifts = draw(image, offset=0.3) - image
    assert np.ptp(shifts, axis=(1, 2)).max() < 1e-5
    shifts = shifts[:, 0, 0]
    np.testing.assert_allclose(shifts.std(axis=0), 0.3, rtol=0.1)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.05)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.15


def test_noise_is_white_and_its_level_uniform():
    image = noise(20)
    added = (draw(image, noise=0.2) - image).reshape(DRAWS, -1)
    levels = added.std(axis=1)
    assert levels.max() < 0.22
    shares = np.histogram(levels, bins=4, range=(0, 0.2))[0]
    assert np.abs(shares - DRAWS / 4).max() < 5 * np.sqrt(DRAWS / 4)
    assert np.abs(np.corrcoef(added.T)[0, 1:]).max() < 0.25
    assert len(np.unique(levels)) == DRAWS


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_blur_is_gaussian_up_to_its_limit(limit):
    """A point becomes a Gaussian, whose sigma is uniform; a sum does not change."""
    image = np.zeros((41, 41, 1), np.float32)
    image[20, 20] = 1
    blurred = draw(image, blur_px=limit)
    np.testing.assert_allclose(blurred.sum(axis=(1, 2)), 1, rtol=1e-5)
    rows = np.arange(41) - 20
    sigmas = np.sqrt((blurred[..., 0].sum(axis=2) * rows**2).sum(axis=1))
    assert sigmas.max() <= limit * 1.01
    assert sigmas.max() > 0.9 * limit
    widest = blurred[np.argmax(sigmas), ..., 0]
    if limit > 1:
        expected = ndimage.gaussian_filter(image[..., 0], sigmas.max(), truncate=10)
        np.testing.assert_allclose(widest, expected, atol=2e-3)
        quarters = np.histogram(sigmas, bins=2, range=(0, limit))[0]
        assert abs(quarters[0] - DRAWS / 2) < 5 * np.sqrt(DRAWS / 4)


def test_blur_of_a_crop_that_is_smaller_than_its_reach():
    image = np.full((4, 4, 1), 3.0, np.float32)
    np.testing.assert_allclose(draw(image, blur_px=5.0), 3, rtol=1e-5)


def test_gamma_keeps_range_and_order():
    image = np.stack([noise()[..., 0], np.full((12, 12), -2.0)], -1).astype(np.float32)
    changed = draw(image, gamma=0.4)
    np.testing.assert_array_equal(changed[..., 1], -2)
    first = changed[..., 0].reshape(DRAWS, -1)
    np.testing.assert_allclose(first.min(axis=1), image[..., 0].min(), atol=1e-5)
    np.testing.assert_allclose(first.max(axis=1), image[..., 0].max(), atol=1e-5)
    assert (np.diff(first[:, np.argsort(image[..., 0].ravel())], axis=1) >= -1e-5).all()
    place = np.unravel_index(np.argsort(image[..., 0].ravel())[72], (12, 12))
    low, high = image[..., 0].min(), image[..., 0].max()
    exponents = np.log((changed[:, *place, 0] - low) / (high - low)) / np.log((image[*place, 0] - low) / (high - low))
    np.testing.assert_allclose(np.log(exponents).std(), 0.4, rtol=0.1)
    np.testing.assert_allclose(np.log(exponents).mean(), 0, atol=0.08)


def test_all_together_are_a_function_of_the_key_and_finite():
    settings = {"gamma": 0.3, "blur_px": 1.5, "offset": 0.1, "noise": 0.1, "gain": 0.1}
    first, again = draw(noise(), **settings), draw(noise(), **settings)
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    assert len({one.tobytes() for one in first}) == DRAWS
    np.testing.assert_array_equal(draw(noise()), np.broadcast_to(noise(), (DRAWS, 12, 12, 2)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (5, 5, 2), (7, 6, 1), (40, 41, 3)])
def test_median_is_that_of_numpy(shape):
    rng = np.random.default_rng(0)
    crops = [
        rng.normal(0, 3, shape),
        rng.integers(-2, 3, shape),  # many of a kind, on both sides of 0
        np.full(shape, -4.5),
        rng.choice([0.0, -0.0, 1e-20, -1e20, 3e38], shape),
        np.where(rng.random(shape) < 0.4, np.inf, rng.normal(size=shape)),
    ]
    crops = np.asarray(crops, np.float32)
    found = jax.jit(jax.vmap(median))(crops)
    expected = np.median(crops.astype(np.float64), axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    np.testing.assert_array_equal(found, jnp.median(crops, axis=(1, 2), keepdims=True))


def test_a_channel_with_nan_has_no_median():
    crop = np.zeros((3, 3, 2), np.float32)
    crop[1, 1, 0] = np.nan
    assert np.asarray(median(jnp.asarray(crop))).tolist() == [[[pytest.approx(np.nan, nan_ok=True), 0]]]


@pytest.mark.parametrize(
    ("key", "value", "limits"),
    [("gamma", -0.1, "[0, 1]"), ("blur_px", 11.0, "[0, 10]"), ("offset", 1.5, "[0, 1]"), ("noise", -1.0, "[0, 1]")],
)
def test_values_out_of_range_are_refused(key, value, limits):
    with pytest.raises(UserError, match=re.escape(f"sampler.augment.{key} must be in {limits}, got {value}")):
        AugmentConfig(**{key: value})
