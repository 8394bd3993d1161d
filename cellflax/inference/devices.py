"""Tiles spread over all devices of the machine, without being asked: each device computes whole tiles."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_TILES = "tiles"


def over_devices(outputs: Callable[[Any, np.ndarray], jax.Array], weights: Any) -> Callable[[np.ndarray], jax.Array]:
    """Compile a network for the devices of this process.

    A number of tiles that is a multiple of the number of devices is spread evenly; one that is not, such as a single
    tile, stays on the first device. Each tile is computed by the same operations wherever it is.

    Args:
        outputs: (weights, (T, h, w, C)) -> (T, ...), tile by tile.
        weights: arrays of the network.

    Returns:
        The function of the tiles alone.
    """
    devices, on_one = jax.local_devices(), jax.jit(outputs)
    if len(devices) == 1:
        return lambda tiles: on_one(weights, tiles)
    mesh = Mesh(np.array(devices), (_TILES,))
    whole, split = PartitionSpec(), PartitionSpec(_TILES)
    spread = jax.jit(jax.shard_map(outputs, mesh=mesh, in_specs=(whole, split), out_specs=split))
    everywhere = jax.device_put(weights, NamedSharding(mesh, whole))
    return lambda tiles: spread(everywhere, tiles) if len(tiles) % len(devices) == 0 else on_one(weights, tiles)
