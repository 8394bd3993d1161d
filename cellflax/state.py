"""The training state and its compiled, data-parallel step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cellflax.data.sampler import Batch, Sampler, SamplerData
from cellflax.losses import Loss, l2_penalty


@jax.tree_util.register_dataclass
@dataclass
class TrainState:
    """All that training changes: the whole of it is checkpointed.

    Attributes:
        step: number of updates done, int32.
        params: trained variables.
        stats: other variables (running statistics of batch normalisation).
        opt_state: the optimiser's.
    """

    step: jax.Array
    params: nnx.State
    stats: nnx.State
    opt_state: Any


class StepSums(NamedTuple):
    """Sums over the steps since the last report; means are taken when it is fetched.

    Attributes:
        steps: number of steps.
        loss: sum of costs, without the penalty.
        penalty: sum of weight penalties.
        correct: (K,) weight of rightly classified pixels of each class.
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


TrainStep = Callable[[TrainState, SamplerData, StepSums], tuple[TrainState, StepSums]]


def data_mesh(devices: int | None = None) -> Mesh:
    """A mesh over which the batch is split; None takes all devices."""
    count = devices or jax.device_count()
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def create_state(model: nnx.Module, optimizer: optax.GradientTransformation) -> tuple[nnx.GraphDef, TrainState]:
    """Split a new model into its structure and the state at step 0."""
    graph, params, stats = nnx.split(model, nnx.Param, ...)
    return graph, TrainState(jnp.zeros((), jnp.int32), params, stats, optimizer.init(params))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a copy of every array on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def objective(
    graph: nnx.GraphDef, loss: Loss, l2: float
) -> Callable[[nnx.State, nnx.State, Batch, jax.Array], tuple[jax.Array, tuple[nnx.State, jax.Array, jax.Array]]]:
    """The cost of one batch as a function of the parameters.

    Returns:
        function of (params, stats, batch, dropout key) -> (cost, (new stats, cost without penalty, logits)).
    """

    def cost(params, stats, batch, key):
        model = nnx.merge(graph, params, stats, copy=True)
        logits = model(batch.image, train=True, key=key)
        _, _, stats = nnx.split(model, nnx.Param, ...)
        fit = loss(logits, batch.target, batch.weight)
        penalty = l2 * l2_penalty(params) if l2 else jnp.zeros(())
        return fit + penalty, (stats, fit, logits)

    return cost


def make_train_step(
    graph: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    l2: float,
    sampler: Sampler,
    seed: int,
    mesh: Mesh,
) -> TrainStep:
    """Compile one update: draw the batch of this step, differentiate, apply.

    The batch is a function of (seed, step) alone, so that resuming needs only the state. The state is
    donated. Under the mesh the batch is split over the devices, and so are the statistics of batch
    normalisation reduced over all of it: one device and several agree.
    """
    cost = objective(graph, loss, l2)
    split = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())

    def step(state: TrainState, data: SamplerData, sums: StepSums) -> tuple[TrainState, StepSums]:
        batch = jax.lax.with_sharding_constraint(sampler(data, seed, state.step), split)
        key = jax.random.fold_in(jax.random.key(seed + 1), state.step)
        (total, (stats, fit, logits)), gradient = jax.value_and_grad(cost, has_aux=True)(
            state.params, state.stats, batch, key
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        hits = jax.nn.one_hot(batch.target, logits.shape[-1]) * batch.weight[..., None]
        right = (logits.argmax(-1) == batch.target)[..., None]
        axes = tuple(range(hits.ndim - 1))
        sums = StepSums(
            sums.steps + 1,
            sums.loss + fit,
            sums.penalty + total - fit,
            sums.correct + jnp.sum(hits * right, axes),
            sums.total + jnp.sum(hits, axes),
        )
        return TrainState(state.step + 1, params, stats, opt_state), sums  # pyright: ignore[reportArgumentType]

    return jax.jit(step, in_shardings=(whole, whole, whole), out_shardings=(whole, whole), donate_argnums=0)
