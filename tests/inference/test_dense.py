"""Tiled prediction: whatever the tile, the result is that of the whole image."""

import numpy as np
import pytest
from flax import nnx
from scipy import ndimage

from cellflax.inference.dense import predict_averaged, predict_tiles
from cellflax.models import Geometry
from tests.models.networks import tiny_config, trained_like

BORDER = 3


class BoxSums:
    """Sums over a (2 border + 1)^2 box, with a second output that is the pixel itself; counts its calls."""

    def __init__(self, border: int = BORDER):
        self.border = border
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.shapes.append(x.shape)
        edge = 2 * self.border + 1
        windows = np.lib.stride_tricks.sliding_window_view(x, (edge, edge), axis=(1, 2))
        middle = windows[..., self.border, self.border].sum(-1)
        return np.stack([windows.sum((3, 4, 5)), middle], -1).astype(np.float32)


def whole(image: np.ndarray) -> np.ndarray:
    """Both outputs of BoxSums, with the image mirrored at its borders."""
    edge = 2 * BORDER + 1
    box = ndimage.uniform_filter(image, (edge, edge, 1), mode="mirror") * edge**2
    return np.stack([box.sum(-1), image.sum(-1)], -1)


@pytest.mark.parametrize("tile", [64, 100, 128, 512])
@pytest.mark.parametrize("shape", [(64, 64), (128, 64), (65, 63), (30, 200), (130, 257), (7, 9), (4, 300), (200, 191)])
def test_tiles_join_to_the_whole_image(shape, tile):
    image = np.random.default_rng(0).normal(size=(*shape, 2))
    apply = BoxSums()
    result = predict_tiles(apply, image, Geometry(border=BORDER), tile=tile)
    assert result.shape == (*shape, 2)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, whole(image), rtol=0, atol=1e-5)
    # One shape to compile for, alone, in eights or for four devices, no larger than the tile allows, a whole number of
    # 64 pixels.
    assert len({shape[1:] for shape in apply.shapes}) == 1
    assert {shape[0] for shape in apply.shapes} <= {1, 4, 8}
    inner = [size - 2 * BORDER for size in apply.shapes[0][1:3]]
    assert all(size <= max(tile, 64) and size % 64 == 0 for size in inner)


def test_large_images_share_one_shape():
    apply = BoxSums()
    for shape in ((130, 257), (400, 300), (129, 128)):
        predict_tiles(apply, np.zeros((*shape, 1)), Geometry(border=BORDER), tile=128)
    assert len({shape[1:] for shape in apply.shapes}) == 1


@pytest.mark.parametrize("multiple", [1, 3, 8, 48])
def test_tiles_suit_the_network(multiple):
    apply = BoxSums()
    predict_tiles(apply, np.zeros((70, 90, 1)), Geometry(border=BORDER, multiple=multiple), tile=64)
    for shape in apply.shapes:
        assert (shape[1] - 2 * BORDER) % multiple == 0
        assert (shape[2] - 2 * BORDER) % multiple == 0


def test_image_smaller_than_the_border_is_mirrored_again():
    image = np.random.default_rng(0).normal(size=(2, 5, 1))
    result = predict_tiles(BoxSums(), image, Geometry(border=BORDER))
    np.testing.assert_allclose(result, whole(image), rtol=0, atol=1e-5)


def test_image_is_left_as_it_is():
    image = np.random.default_rng(0).normal(size=(20, 90, 1))
    before = image.copy()
    predict_tiles(BoxSums(), image, Geometry(border=BORDER), tile=64)
    np.testing.assert_array_equal(image, before)


class Slope:
    """The difference to the right-hand neighbour: as far from symmetric as can be."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x[:, 1:-1, 2:] - x[:, 1:-1, 1:-1]).astype(np.float32)


@pytest.mark.parametrize("transforms", [1, 4, 8])
def test_average_over_rotations_and_reflections_equals_its_definition(transforms):
    image = np.random.default_rng(0).normal(size=(70, 30, 1))
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    middle = padded[1:-1, 1:-1]
    right, left = padded[1:-1, 2:] - middle, padded[1:-1, :-2] - middle
    below, above = padded[2:, 1:-1] - middle, padded[:-2, 1:-1] - middle
    expected = right if transforms == 1 else (right + left + below + above) / 4
    actual = predict_averaged(Slope(), image, transforms, Geometry(border=1), tile=64)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(80, 131), (21, 40)])
def test_a_patch_network_gives_the_same_in_tiles_as_at_once(shape):
    network = trained_like(tiny_config())
    image = np.random.default_rng(1).normal(size=(*shape, 2)).astype(np.float32)
    border = network.geometry.border
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="reflect")
    apply = nnx.jit(lambda network, x: network(x))
    expected = np.asarray(apply(network, padded[None]))[0]
    for tile in (64, 512):
        result = predict_tiles(lambda x: np.asarray(apply(network, x)), image, network.geometry, tile=tile)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
