"""P2's two blended passes against their definition, pixel by pixel."""

import numpy as np
import pytest

from cellflax.inference.blended import predict_blended
from cellflax.models import Geometry

BORDER = 3


def box_sums(x: np.ndarray) -> np.ndarray:
    """Sums over a (2 BORDER + 1)^2 box of every channel, as a network of that border."""
    edge = 2 * BORDER + 1
    return np.lib.stride_tricks.sliding_window_view(x, (edge, edge), axis=(1, 2)).sum((4, 5)).astype(np.float32)


def transcription(image: np.ndarray, tile: int, passes: int) -> np.ndarray:
    """For every pixel, the tile of each pass that holds it, alone and mirrored, and that tile's weight there."""
    far = np.pad(image, ((tile, tile), (tile, tile), (0, 0)), mode="reflect")  # pixel 0 is at `tile`
    profile = np.exp(-0.5 * ((np.arange(tile) - (tile - 1) / 2) / (tile / 4)) ** 2)
    out = np.empty(image.shape)
    for y, x in np.ndindex(image.shape[:2]):
        values, weights = [], []
        for shift in (0, tile // 2)[:passes]:
            top, left = ((p + tile - shift) // tile * tile + shift for p in (y, x))
            window = np.pad(
                far[top : top + tile, left : left + tile], ((BORDER,) * 2, (BORDER,) * 2, (0, 0)), mode="reflect"
            )
            dy, dx = y + tile - top, x + tile - left
            values.append(window[dy : dy + 2 * BORDER + 1, dx : dx + 2 * BORDER + 1].sum((0, 1)))
            weights.append(profile[dy] * profile[dx])
        out[y, x] = np.average(values, axis=0, weights=weights)
    return out


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize(("shape", "tile", "multiple"), [((16, 16), 8, 1), ((21, 13), 8, 4), ((9, 30), 13, 6)])
def test_equals_the_definition(shape, tile, multiple, passes):
    image = np.random.default_rng(0).normal(size=(*shape, 2))
    before = image.copy()
    actual = predict_blended(box_sums, image, Geometry(border=BORDER, multiple=multiple), tile=tile, passes=passes)
    assert actual.dtype == np.float32
    expected = transcription(image, tile // multiple * multiple, passes)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(50, 70), (5, 3), (24, 1)])
def test_where_nothing_depends_on_neighbours_there_is_no_seam(shape):
    image = np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)
    actual = predict_blended(lambda x: x, image, Geometry(), tile=24)
    np.testing.assert_allclose(actual, image, rtol=0, atol=1e-6)
