"""Training batches from crop stores, read ahead of the steps that need them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cellflax.data.crop_store import CropStore, PendingCrops
from cellflax.data.sampler import Batch, CropsConfig, Sampler, cycle_indices

# Number of steps whose crops are read ahead.
_AHEAD = 8


class StoredBatches:
    """Like `Sampler` with the same `stored_crops`, but reads its crops from disk.

    Args:
        stores: one for each member of the ensemble; the members' seeds count up from `seed`.
        seed: seed of the first member.
        batch: crops per step.
        mesh: devices that share them. Where they are of several processes, each reads its crops only.
    """

    # The first axis is the members, the second their crops, which are divided among the devices.
    partition = PartitionSpec(None, "data")

    def __init__(self, stores: Sequence[CropStore], *, seed: int, batch: int, mesh: Mesh | None = None):
        self.stores, self.seed, self.batch = stores, seed, batch
        self._rows, self._sharding = slice(None), None
        if mesh is not None and mesh.is_multi_process:
            self._sharding = NamedSharding(mesh, self.partition)
            places = self._sharding.addressable_devices_indices_map((len(stores), batch)).values()
            rows = [range(batch)[place[1]] for place in places if place is not None]
            self._rows = slice(min(r.start for r in rows), max(r.stop for r in rows))
        self._pending: dict[int, list[PendingCrops]] = {}

    def feed(self, step: int) -> Batch:
        """The batches of one step of all members, (M, B, ...); it is fast if steps follow one another.

        Raises:
            UserError: if a store is damaged.
        """
        ahead = range(step, step + _AHEAD)
        self._pending = {i: self._pending.get(i) or self._start(i) for i in ahead}
        members = [crops.result() for crops in self._pending.pop(step)]
        own = jax.tree.map(lambda *arrays: np.stack(arrays), *members)
        if self._sharding is None:
            return own
        return jax.tree.map(partial(jax.make_array_from_process_local_data, self._sharding), own)

    def __call__(self, data: Batch, seed: jax.Array, step: jax.Array) -> Batch:
        """The batch of the member with this seed, within the compiled step."""
        return jax.tree.map(lambda leaf: leaf[seed - self.seed], data)

    def _start(self, step: int) -> list[PendingCrops]:
        return [
            store.read(np.asarray(cycle_indices(step, self.batch, store.crops))[self._rows]) for store in self.stores
        ]


def stored_batches(
    config: CropsConfig, sampler: Sampler, seed: int, members: int, mesh: Mesh | None = None
) -> StoredBatches:
    """Open a configuration's stores, `<store>/seed_<seed>` for each member; write them first if they are missing.

    Raises:
        UserError: if one of them cannot be used.
    """
    assert config.store is not None, "no store configured"
    directory = Path(config.store).expanduser()
    stores = [CropStore(directory / f"seed_{member}", sampler, member) for member in range(seed, seed + members)]
    return StoredBatches(stores, seed=seed, batch=config.batch, mesh=mesh)
