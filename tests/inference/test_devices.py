"""Tiles over the four devices of the tests: each computes its share, and the result is that of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.inference.dense import predict_tiles
from cellflax.inference.devices import over_devices
from cellflax.models import Geometry


def smoothed(weights: tuple[jax.Array, jax.Array], tiles: np.ndarray) -> jax.Array:
    """A convolution and a sum over channels, tile by tile."""
    kernel, bias = weights

    def one(tile: jax.Array) -> jax.Array:
        dimensions = ("NHWC", "HWIO", "NHWC")
        convolved = jax.lax.conv_general_dilated(tile[None], kernel, (1, 1), "VALID", dimension_numbers=dimensions)
        return jnp.tanh(convolved[0]) + bias

    return jax.lax.map(one, tiles)


@pytest.fixture
def weights() -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.normal(size=(5, 5, 2, 3)), jnp.float32), jnp.asarray(rng.normal(size=(1, 1, 3)), jnp.float32)


@pytest.mark.parametrize(("tiles", "devices"), [(8, 4), (4, 4), (3, 1), (1, 1)])
def test_each_device_computes_whole_tiles(weights, tiles, devices):
    assert jax.local_device_count() == 4
    images = np.random.default_rng(0).normal(size=(tiles, 20, 24, 2)).astype(np.float32)
    result = over_devices(smoothed, weights)(images)
    assert len(result.sharding.device_set) == devices
    assert {shard.data.shape for shard in result.addressable_shards} == {(tiles // devices, 16, 20, 3)}
    np.testing.assert_array_equal(result, jax.jit(smoothed)(weights, images))


def test_an_image_is_the_same_on_one_device_and_on_four(weights, monkeypatch):
    image, geometry = np.random.default_rng(0).normal(size=(300, 150, 2)).astype(np.float32), Geometry(border=2)
    used: list[int] = []
    apply = over_devices(smoothed, weights)

    def counted(tiles: np.ndarray) -> jax.Array:
        used.append(len(tiles))
        return apply(tiles)

    on_four = predict_tiles(counted, image, geometry, tile=64)
    assert used == [8, 4, 1, 1, 1]  # 5 x 3 tiles
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    on_one = predict_tiles(over_devices(smoothed, weights), image, geometry, tile=64)
    np.testing.assert_array_equal(on_four, on_one)
