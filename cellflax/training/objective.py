"""The cost of a batch and its gradient, computed at once or part by part."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from cellflax.data.sampler import Batch
from cellflax.losses import Loss, l2_penalty
from cellflax.losses.distances import MapsLoss
from cellflax.targets import split_planes

# Cost; new statistics, cost without penalty, logits of the classes.
Value = tuple[jax.Array, tuple[nnx.State, jax.Array, jax.Array]]


def objective(
    graph: nnx.GraphDef,
    loss: Loss,
    l2: float,
    maps_loss: MapsLoss | None = None,
    compute_type: DTypeLike = jnp.float32,
) -> Callable[[nnx.State, nnx.State, Batch, jax.Array], Value]:
    """The cost of one batch as a function of the parameters.

    Args:
        graph: structure of the network.
        loss: cost of its classes.
        l2: factor of the penalty on its weights.
        maps_loss: cost of its maps, if the batches have any.
        compute_type: type of the activations, float32 or bfloat16; logits, costs and gradients are float32.

    Returns:
        function of (params, stats, batch, dropout key) -> (cost, (new stats, cost without penalty, logits of the
        classes)).
    """

    def cost(params, stats, batch, key):
        outputs, stats = _run(graph, params, stats, batch.image.astype(compute_type), key)
        fit, logits = _fit(loss, maps_loss, outputs, batch)
        return fit + _penalty(l2, params), (stats, fit, logits)

    return cost


def gradient_in_parts(
    graph: nnx.GraphDef,
    loss: Loss,
    l2: float,
    maps_loss: MapsLoss | None = None,
    compute_type: DTypeLike = jnp.float32,
    *,
    parts: int,
) -> Callable[[nnx.State, nnx.State, Batch, jax.Array], tuple[Value, nnx.State]]:
    """Value and gradient of `objective`, with the activations of one part of the batch in memory at a time.

    The network runs over the parts once for its outputs, of which the cost of the whole batch and its slopes are taken,
    and again for the gradient. So the cost is that of the whole batch, although it need not be a mean over crops
    (`losses.weighted_softmax` divides by the annotated pixels of the batch). Batch normalisation, however, takes its
    statistics from each part; the running ones move once, by their mean over the parts. Dropout draws a mask for each
    part.

    Args:
        graph: as for `objective`, and so are the next four.
        loss: cost of the classes.
        l2: factor of the penalty.
        maps_loss: cost of the maps.
        compute_type: type of the activations.
        parts: number of parts; it divides the crops of a batch on each device.
    """

    def value_and_gradient(params, stats, batch, key):
        images = _divided(batch.image.astype(compute_type), parts)
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(parts))
        outputs, new = jax.lax.map(lambda part: _run(graph, params, stats, *part), (images, keys))
        of_fit = jax.value_and_grad(lambda outputs: _fit(loss, maps_loss, outputs, batch), has_aux=True)
        (fit, logits), slopes = of_fit(_joined(outputs))

        def add(total: Any, part: Any) -> tuple[Any, None]:
            image, key, slope = part
            _, pull_back = jax.vjp(lambda params: _run(graph, params, stats, image, key)[0], params)
            return jax.tree.map(jnp.add, total, pull_back(slope)[0]), None

        penalty, start = jax.value_and_grad(partial(_penalty, l2))(params)
        gradient, _ = jax.lax.scan(add, start, (images, keys, _divided(slopes, parts)))
        stats = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), new)
        return (fit + penalty, (stats, fit, logits)), gradient

    return value_and_gradient


def _run(
    graph: nnx.GraphDef, params: nnx.State, stats: nnx.State, image: jax.Array, key: jax.Array
) -> tuple[jax.Array, nnx.State]:
    """Outputs of the network, and its new statistics."""
    model = nnx.merge(graph, params, stats, copy=True)
    outputs = model(image, train=True, key=key)
    _, _, stats = nnx.split(model, nnx.Param, ...)
    return outputs, stats


def _fit(loss: Loss, maps_loss: MapsLoss | None, outputs: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """The cost without penalty, and the logits of the classes."""
    logits, maps = split_planes(outputs, 0 if batch.maps is None else batch.maps.shape[-1])
    fit = loss(logits, batch.target, batch.weight)
    if batch.maps is not None:
        assert maps_loss is not None, "maps without a cost"
        fit += maps_loss(maps, batch.maps)
    return fit, logits


def _penalty(l2: float, params: nnx.State) -> jax.Array:
    return l2 * l2_penalty(params) if l2 else jnp.zeros(())


def _divided(x: jax.Array, parts: int) -> jax.Array:
    """(B, ...) -> (parts, B / parts, ...); where B is split over devices, each keeps its crops."""
    return jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)


def _joined(x: jax.Array) -> jax.Array:
    """Undo `_divided`."""
    return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])
