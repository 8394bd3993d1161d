import numpy as np
import pytest
from scipy import ndimage

from cellflax.refine.log_scale import blob_response, scales_of
from tests.refine.drawing import disc


@pytest.mark.parametrize("sigma", [1.6, 2.3, 9.0])
@pytest.mark.parametrize("shape", [(64, 64), (45, 97)])
def test_each_scale_is_that_of_scipy(sigma, shape):
    image = np.random.default_rng(0).random(shape)
    expected = -(sigma**2) * ndimage.gaussian_laplace(image, sigma, mode="reflect", truncate=12)
    np.testing.assert_allclose(blob_response(image, [sigma]), expected, atol=1e-4)


def test_the_largest_response_of_all_scales():
    image = np.random.default_rng(1).random((40, 50))
    sigmas = [2.0, 3.5, 6.0]
    expected = np.max([-(s**2) * ndimage.gaussian_laplace(image, s, truncate=12) for s in sigmas], axis=0)
    np.testing.assert_allclose(blob_response(image, sigmas), expected, atol=2e-5)


@pytest.mark.parametrize("radius", [6, 12, 24])
def test_a_disc_answers_most_at_its_own_radius_and_alike_whatever_that_is(radius):
    """Its centre with -sigma^2 LoG = (r / sigma)^2 exp(-(r / sigma)^2 / 2), in closed form."""
    image = disc((161, 161), 80, 80, radius)
    radii = radius * np.array([0.7, 1.0, 1.4])
    centre = [blob_response(image, [r / np.sqrt(2)])[80, 80] for r in radii]
    assert np.argmax(centre) == 1
    assert centre[1] == pytest.approx(2 / np.e, abs=0.02)


def test_scales_of_radii():
    np.testing.assert_allclose(scales_of(2, 8, 3), np.array([2, 4, 8]) / np.sqrt(2))


def test_a_flat_image_has_no_blobs():
    np.testing.assert_allclose(blob_response(np.full((32, 48), 7.0), [2, 4]), 0, atol=1e-5)
