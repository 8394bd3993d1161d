"""Tiles that lie where they would whatever the window: the outputs of the whole image, to the last bit."""

import numpy as np
import pytest

from cellflax.inference.dense import predict_transforms
from cellflax.inference.fixed_tiles import FixedTiles
from cellflax.models import Geometry
from tests.inference.test_blocks import pooled_sums

NETWORK = Geometry(border=2, multiple=4)


@pytest.mark.parametrize("transforms", [1, 8])
@pytest.mark.parametrize("shape", [(230, 171), (129, 64), (40, 3)])
def test_any_window_has_the_outputs_of_the_whole_image(shape, transforms):
    image = np.random.default_rng(0).normal(size=(*shape, 1))
    tiles = FixedTiles(pooled_sums, NETWORK, shape, tile=64, transforms=transforms)

    def read(window):
        assert all(0 <= span.start < span.stop <= size for span, size in zip(window, shape, strict=True))
        return image[window]

    everything = slice(0, shape[0]), slice(0, shape[1])
    whole = tiles.predict(everything, read)
    expected = list(predict_transforms(pooled_sums, image, transforms, NETWORK, tile=64))
    # A mirrored image whose size is no multiple has its poolings elsewhere, so that only what is seen alike is equal.
    for ours, theirs in zip(whole[:1], expected[:1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
    rng = np.random.default_rng(1)
    for _ in range(4):
        rows, columns = (slice(*sorted(rng.choice(size + 1, 2, replace=False).tolist())) for size in shape)
        seen = tiles.seen((rows, columns))

        def read_seen(window, seen=seen):
            assert all(
                outer.start <= span.start < span.stop <= outer.stop for span, outer in zip(window, seen, strict=True)
            )
            return image[window]

        for part, of_whole in zip(tiles.predict((rows, columns), read_seen), whole, strict=True):
            np.testing.assert_array_equal(part, of_whole[rows, columns])


def test_transforms_are_those_of_whole_images():
    image = np.random.default_rng(0).normal(size=(96, 64, 1))
    tiles = FixedTiles(pooled_sums, NETWORK, (96, 64), tile=64, transforms=8)
    ours = tiles.predict((slice(0, 96), slice(0, 64)), lambda window: image[window])
    for a, b in zip(ours, predict_transforms(pooled_sums, image, 8, NETWORK, tile=64), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3)
