"""Where the tiles lie does not show, whatever the network (acceptance C4)."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.inference.blended import predict_blended
from cellflax.inference.dense import predict_tiles
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig, UpLevel
from tests.models.networks import tiny_config, trained_like

NETWORKS = {
    "patch_net": tiny_config(),
    "unet": UNetConfig(down=[[4], [5]], bottom=[6], up=[UpLevel(4, [5]), UpLevel(3, [4])], context_px=4),
    "skip_fcn": SkipFcnConfig(filters=[4, 6], residual_blocks=[0, 1], context_px=4),
}
SHAPE = (100, 136)  # multiples of every network's


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_at_any_phase_give_the_whole_image(name):
    network = trained_like(NETWORKS[name])
    border, multiple = network.geometry.border, network.geometry.multiple
    image = np.random.default_rng(0).normal(size=(*SHAPE, 2)).astype(np.float32)
    call = nnx.jit(lambda network, x: network(x))

    def apply(tiles: np.ndarray) -> np.ndarray:
        return np.asarray(call(network, jnp.asarray(tiles)))

    whole = apply(image[None])[0]  # what lies `border` pixels or more inside
    for dy, dx in ((0, 0), (multiple, 5 * multiple), (3 * multiple, 7 * multiple)):
        tiled = predict_tiles(apply, image[dy:, dx:], network.geometry, tile=64)
        inside = tiled[border : -border or None, border : -border or None]
        np.testing.assert_allclose(inside, whole[dy:, dx:], rtol=0, atol=1e-5)

    # P2's tiles, for contrast: exact where they see enough of themselves, wrong at their edges.
    alone = predict_blended(apply, image, network.geometry, tile=48, passes=1)
    error = np.abs(alone[border:-border, border:-border] - whole).max(-1)
    assert error[: 48 - 2 * border, : 48 - 2 * border].max() < 1e-5
    assert error[:, 47 - border].max() > 1e-2
