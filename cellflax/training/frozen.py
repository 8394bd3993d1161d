"""Parts of a network that training leaves as they are."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from cellflax.errors import UserError
from cellflax.models import Network
from cellflax.models.layers import Normalization
from cellflax.training.checkpoint import named_leaves
from cellflax.training.config import TrainConfig


def frozen_parts(config: TrainConfig, network: Network) -> tuple[str, ...]:
    """Paths of the parts of a network that a configuration freezes, as in the names of its arrays.

    Raises:
        UserError: if a part is none of the network, it has fewer levels, or nothing is left to train.
    """
    names = list(named_leaves(nnx.split(network, nnx.Param, ...)[1]))
    levels = _children(network.levels, names)
    if config.freeze_levels > len(levels):
        raise UserError(f"freeze_levels={config.freeze_levels}: the network has {len(levels)} levels; lower it")
    frozen = tuple(dict.fromkeys([*levels[: config.freeze_levels], *config.freeze]))
    for part in config.freeze:
        if not any(is_in(name, [part]) for name in names):
            heads = dict.fromkeys(name.partition(".")[0] for name in names)
            known = [part for head in heads for part in _children(head, names)]
            raise UserError(f"freeze={part} is no part of the network; its parts are {', '.join(known)}")
    if frozen and all(is_in(name, frozen) for name in names):
        raise UserError(f"freeze={','.join(frozen)} leaves nothing to train; leave some parts out")
    return frozen


def _children(head: str, names: Sequence[str]) -> list[str]:
    """The elements of a list of parts, in order; the part itself if it is no list."""
    inside = [name.split(".") for name in names if name.startswith(f"{head}.")]
    numbers = sorted({int(parts[1]) for parts in inside if parts[1].isdigit()})
    return [f"{head}.{number}" for number in numbers] or ([head] if inside else [])


def is_in(name: str, parts: Sequence[str]) -> bool:
    """Whether an array, by its path below the network, belongs to one of these parts."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def hold(network: Network, frozen: Sequence[str]) -> None:
    """Let the batch normalisations of frozen parts use and keep their running statistics in training."""
    for path, module in nnx.iter_modules(network):
        if isinstance(module, Normalization) and is_in(".".join(map(str, path)), frozen):
            module.held = True


def without_updates(optimizer: optax.GradientTransformation, frozen: Sequence[str]) -> optax.GradientTransformation:
    """An optimiser that changes no frozen parameter, and whose clipping does not count their gradients."""
    if not frozen:
        return optimizer
    inner = optax.with_extra_args_support(optimizer)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        updates, state = inner.update(_still(updates, frozen), state, params, **extra)
        return _still(updates, frozen), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _still(tree: Any, frozen: Sequence[str]) -> Any:
    """Zeros in place of frozen arrays."""
    return _mapped(lambda name, leaf: jnp.zeros_like(leaf) if is_in(name, frozen) else leaf, tree)


def _mapped(function: Callable[[str, Any], Any], tree: Any) -> Any:
    leaves = [function(name, leaf) for name, leaf in named_leaves(tree).items()]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(tree), leaves)
