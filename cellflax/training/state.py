"""The training state and its compiled, data-parallel step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from cellflax.data.sampler import Batch, BatchSource
from cellflax.losses import Loss, l2_penalty
from cellflax.losses.distances import MapsLoss
from cellflax.models.ensemble import map_members, stack_members
from cellflax.targets import split_planes
from cellflax.training.optimizers import Optimizer

# Separates the random stream of dropout masks from that of the batches, which have the same seed.
_DROPOUT = 0xD0


@jax.tree_util.register_dataclass
@dataclass
class TrainState:
    """Everything that training changes; all of it is checkpointed.

    Attributes:
        step: number of updates done, int32.
        params: variables of the networks that prediction uses, with a leading axis for the members of the ensemble.
        stats: other variables (running statistics of batch normalisation), with the same leading axis.
        opt_state: state of the optimisers, with the same leading axis.
        trained: where `params` and `stats` are moving averages (`optimizer.average`), those that the optimiser updates,
            as `{"params": ..., "stats": ...}`; else None: `params` and `stats` themselves are trained.
    """

    step: jax.Array
    params: nnx.State
    stats: nnx.State
    opt_state: Any
    trained: dict[str, nnx.State] | None = None


class StepSums(NamedTuple):
    """Sums over the steps since the last report, of means over the members of the ensemble.

    Attributes:
        steps: number of steps.
        loss: sum of costs, without the penalty.
        penalty: sum of weight penalties.
        correct: (K,) weight of correctly classified pixels of each class.
        total: (K,) weight of all pixels of each class.
    """

    steps: jax.Array
    loss: jax.Array
    penalty: jax.Array
    correct: jax.Array
    total: jax.Array

    @classmethod
    def zero(cls, classes: int) -> "StepSums":
        """No step yet."""
        return cls(*(jnp.zeros(()) for _ in range(3)), *(jnp.zeros(classes) for _ in range(2)))


# State, what the batch source feeds to this step, sums so far, position on the schedule -> state and sums after it.
TrainStep = Callable[[TrainState, Any, StepSums, np.float32], tuple[TrainState, StepSums]]


def data_mesh(devices: int | Sequence[Any] | None = None) -> Mesh:
    """A mesh over which the batch is split: over these devices, or the first so many; None takes all."""
    if not isinstance(devices, Sequence):
        devices = jax.devices()[: devices or jax.device_count()]
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def create_state(members: Sequence[nnx.Module], optimizer: Optimizer) -> tuple[nnx.GraphDef, TrainState]:
    """Split new networks of one architecture into their structure and the state at step 0."""
    graph, params, stats = stack_members(members)
    state = TrainState(jnp.zeros((), jnp.int32), params, stats, jax.vmap(optimizer.init)(params))
    if optimizer.average:  # copies: all arrays of a state are donated, none may be there twice
        state.trained = jax.tree.map(jnp.copy, {"params": params, "stats": stats})
    return graph, state


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a copy of every array on every device of the mesh."""
    return put_on(tree, NamedSharding(mesh, PartitionSpec()))


def put_on(tree: Any, sharding: Sharding) -> Any:
    """Put arrays on devices; where those are of several processes, each has the whole arrays and puts its part."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    # Without a look at what the others have, which `device_put` would take of every array.
    return jax.tree.map(
        lambda leaf: jax.make_array_from_callback(leaf.shape, sharding, np.asarray(leaf).__getitem__), tree
    )


def on_one_device(tree: Any) -> Any:
    """Replicated arrays as this process has them; one of several can compute with them alone."""
    return jax.tree.map(lambda leaf: leaf if leaf.is_fully_addressable else leaf.addressable_data(0), tree)


def objective(
    graph: nnx.GraphDef, loss: Loss, l2: float, maps_loss: MapsLoss | None = None
) -> Callable[[nnx.State, nnx.State, Batch, jax.Array], tuple[jax.Array, tuple[nnx.State, jax.Array, jax.Array]]]:
    """The cost of one batch as a function of the parameters.

    Args:
        graph: structure of the network.
        loss: cost of its classes.
        l2: factor of the penalty on its weights.
        maps_loss: cost of its maps, if the batches have any.

    Returns:
        function of (params, stats, batch, dropout key) -> (cost, (new stats, cost without penalty, logits of the
        classes)).
    """

    def cost(params, stats, batch, key):
        model = nnx.merge(graph, params, stats, copy=True)
        outputs = model(batch.image, train=True, key=key)
        logits, maps = split_planes(outputs, 0 if batch.maps is None else batch.maps.shape[-1])
        _, _, stats = nnx.split(model, nnx.Param, ...)
        fit = loss(logits, batch.target, batch.weight)
        if batch.maps is not None:
            assert maps_loss is not None, "maps without a cost"
            fit += maps_loss(maps, batch.maps)
        penalty = l2 * l2_penalty(params) if l2 else jnp.zeros(())
        return fit + penalty, (stats, fit, logits)

    return cost


def make_train_step(
    graph: nnx.GraphDef,
    optimizer: Optimizer,
    loss: Loss,
    l2: float,
    source: BatchSource,
    seed: int,
    mesh: Mesh,
    maps_loss: MapsLoss | None = None,
) -> TrainStep:
    """Compile one update of every member: take its batch of this step, differentiate, apply.

    Member i is trained as a network of its own with the seed `seed` + i. Its batches are a function of (that
    seed, step) alone, so that resuming needs only the state. The state is donated. Under the mesh each batch is
    split over the devices, but the statistics of batch normalisation are those of the whole batch, so that one
    device and several agree. The position on the learning-rate schedule is an argument (`pace`), so that a new plan
    compiles nothing.
    """
    cost = objective(graph, loss, l2, maps_loss)
    split = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    fed = NamedSharding(mesh, source.partition)

    def step(state: TrainState, data: Any, sums: StepSums, position: jax.Array) -> tuple[TrainState, StepSums]:
        def update(member, params, stats, opt_state):
            batch = jax.lax.with_sharding_constraint(source(data, member, state.step), split)
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(member), _DROPOUT), state.step)
            (total, (stats, fit, logits)), gradient = jax.value_and_grad(cost, has_aux=True)(params, stats, batch, key)
            updates, opt_state = optimizer.update(gradient, opt_state, params, position)
            done = _sums(batch, logits, fit, total - fit)
            return optax.apply_updates(params, updates), stats, opt_state, done

        members = jax.tree.leaves(state.params)[0].shape[0]
        seeds = jnp.arange(seed, seed + members, dtype=jnp.uint32)
        used = {"params": state.params, "stats": state.stats}
        weights = used if state.trained is None else state.trained
        params, stats, opt_state, done = map_members(
            update, seeds, weights["params"], weights["stats"], state.opt_state
        )
        sums = jax.tree.map(lambda total, new: total + jnp.mean(new, axis=0), sums, done)
        if state.trained is None:
            return TrainState(state.step + 1, params, stats, opt_state), sums
        trained = {"params": params, "stats": stats}
        used = optimizer.averaged(used, trained, state.step)
        return TrainState(state.step + 1, used["params"], used["stats"], opt_state, trained), sums

    return jax.jit(step, in_shardings=(whole, fed, whole, whole), out_shardings=(whole, whole), donate_argnums=0)


def _sums(batch: Batch, logits: jax.Array, fit: jax.Array, penalty: jax.Array) -> StepSums:
    """What one step of one member adds to the report."""
    hits = jax.nn.one_hot(batch.target, logits.shape[-1]) * batch.weight[..., None]
    right = (logits.argmax(-1) == batch.target)[..., None]
    axes = tuple(range(hits.ndim - 1))
    return StepSums(jnp.ones(()), fit, penalty, jnp.sum(hits * right, axes), jnp.sum(hits, axes))
