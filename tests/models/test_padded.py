"""In prediction, the expanding path computes a part of the window: the outputs are those of all of it."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from cellflax.config import config_directory
from cellflax.models.padded import Extent, PaddedConfig, PaddedNetwork
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig
from tests.models.networks import load_config, normal, trained_like

FILES = sorted(
    path.stem for kind in ("unet*", "skip_fcn*") for path in Path(config_directory() / "model").glob(f"{kind}.yaml")
)


def network_of(name: str) -> PaddedNetwork:
    schema: type[PaddedConfig] = UNetConfig if name.startswith("unet") else SkipFcnConfig
    network = trained_like(load_config(name, schema))
    assert isinstance(network, PaddedNetwork)
    return network


@partial(nnx.jit, static_argnames="outputs")
def from_all_of_the_window(network: PaddedNetwork, x: jax.Array, outputs: tuple[int, int]) -> jax.Array:
    border = network.geometry.border
    everything = network.parts(x.shape[1:3], Extent((0, 0), x.shape[1:3]))
    assert everything[-1] == Extent((0, 0), x.shape[1:3])
    features = network.features(x, everything, train=False, key=None)
    return network.output(features[:, border : border + outputs[0], border : border + outputs[1]])


@pytest.mark.parametrize("outputs", [(16, 48), (1, 9)])
@pytest.mark.parametrize("name", FILES)
def test_outputs_are_those_of_the_whole_window(name, outputs):
    network = network_of(name)
    border, multiple = network.geometry.border, network.geometry.multiple
    window = [2 * border + size for size in outputs]
    x = normal(0, 1, *(size + -size % multiple for size in window), 2)
    expected = from_all_of_the_window(network, x, outputs)
    outside = np.ones(x.shape, bool)
    outside[:, : window[0], : window[1]] = False
    x = x * ~outside  # as a window of another size is filled up
    actual = nnx.jit(lambda network, x: network(x))(network, x[:, : window[0], : window[1]])
    assert actual.shape == (1, *outputs, 3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_parts_by_hand():
    """A tile of Al-Kofahi 2018. Each convolution of 3 x 3 reaches 1 px; bounds are even, and half of them below."""
    network = network_of("unet_alkofahi")
    border = network.geometry.border
    assert (border, network.geometry.multiple, network.up_reach) == (96, 32, (1, 1, 1, 2, 2))
    parts = network.parts((1216, 1216), Extent((96, 96), (1120, 1120)))
    assert [(part.first[0], part.stop[0]) for part in parts] == [(2, 74), (8, 144), (20, 284), (44, 564), (94, 1122)]
    assert all(part.first[0] == part.first[1] and part.stop[0] == part.stop[1] for part in parts)


@pytest.mark.parametrize("name", FILES)
def test_the_last_level_computes_little_more_than_is_returned(name):
    network = network_of(name)
    border = network.geometry.border
    shape = 2 * (2 * border + 256,)
    last = network.parts(shape, Extent(2 * (border,), 2 * (border + 256,)))[-1]
    reach = network.up_reach[-1]
    assert 256 <= last.stop[0] - last.first[0] <= 256 + 2 * reach + 2
