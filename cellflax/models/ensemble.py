"""Ensembles of networks of one architecture, stacked along a first axis (Van Valen 2016 (P1): the mean of five).

Every array of an ensemble has the member as its first axis, even if there is only one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def stack_members(members: Sequence[nnx.Module]) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """Split networks of one architecture into their structure, parameters and other variables.

    Returns:
        structure of one member; parameters and statistics with a leading member axis.
    """
    graph, *_ = nnx.split(members[0], nnx.Param, ...)
    states = [nnx.split(member, nnx.Param, ...)[1:] for member in members]
    params, stats = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return graph, params, stats


def map_members(function: Callable[..., Any], *trees: Any) -> Any:
    """Apply a function to every member and stack the results.

    They run one after another on a CPU, which a single network keeps busy, and side by side on accelerators, where
    small networks leave room.

    Args:
        function: function of one member's part of each tree.
        trees: pytrees whose leaves have a leading member axis.
    """
    members = len(jax.tree.leaves(trees)[0])
    if members == 1:  # a loop would keep XLA from fusing with what is around it
        alone = function(*jax.tree.map(lambda leaf: leaf[0], trees))
        return jax.tree.map(lambda leaf: leaf[None], alone)
    side_by_side = None if jax.default_backend() == "cpu" else members
    return jax.lax.map(lambda parts: function(*parts), trees, batch_size=side_by_side)


def member_probabilities(
    graph: nnx.GraphDef,
    activation: Callable[[jax.Array], jax.Array],
    params: nnx.State,
    stats: nnx.State,
    image: jax.Array,
) -> jax.Array:
    """Class probabilities of every member: (N, H, W, C) -> (M, N, H - 2 border, W - 2 border, K).

    Args:
        graph: structure of one member.
        activation: from logits to probabilities, as in training (`losses.activation_of`).
        params: parameters, with a leading member axis.
        stats: other variables, with a leading member axis.
        image: (N, H, W, C) normalised; the networks compute in its type.
    """
    return map_members(lambda p, s: activation(nnx.merge(graph, p, s)(image)), params, stats)


def disagreement(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Per-pixel uncertainty: standard deviation between predictions, over all classes together.

    sqrt(sum over k of Var p_k), between 0 (all agree) and sqrt(1/2) (halves are sure of different classes).

    Args:
        predictions: class probabilities (H, W, K) of networks or transforms.

    Returns:
        (H, W) float32.
    """
    mean = np.mean(predictions, axis=0)
    variance = sum(np.square(prediction - mean).sum(axis=-1) for prediction in predictions) / len(predictions)
    return np.sqrt(variance)
