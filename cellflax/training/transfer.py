"""Weights of a trained network in a new one: what fits by path and shape is taken, first and last layer are adapted.

- Channels are matched by name. A channel that the source does not know starts at zero where the source knows others, so
  that the network begins as it was. If no name agrees, as many channels as in the source are taken in order. Another
  number of channels starts as the mean of the source's, scaled so that the layer's sums keep their size.
- Classes are matched by name. The others, and every layer without a counterpart of its shape, keep random weights.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cellflax.errors import UserError
from cellflax.models import ModelConfig, Network
from cellflax.schemas import kind_of
from cellflax.training.checkpoint import named_leaves
from cellflax.training.weights import TrainedWeights


@dataclass
class Transfer:
    """What a network took from another.

    Attributes:
        taken: arrays that were taken as they are, by name.
        adapted: arrays that were taken in part or in another order, with what was done.
        fresh: arrays that keep their random weights, with the reason.
        new_channels: whether some channels of the first layer start at zero.
    """

    taken: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    new_channels: bool = False


@dataclass(frozen=True)
class _Match:
    """Where the entries of an axis come from.

    Attributes:
        order: for each entry of the new axis, the entry of the source; None for a new one.
        words: what that means, for the screen and the record.
        mean: whether every entry is the mean of the source's, scaled.
    """

    order: tuple[int | None, ...]
    words: str
    mean: bool = False

    @property
    def is_identity(self) -> bool:
        return not self.mean and self.order == tuple(range(len(self.order)))


def transfer(
    source: TrainedWeights, model: ModelConfig, channels: Sequence[str], classes: Sequence[str], members: list[Network]
) -> Transfer:
    """Put the weights of a trained network into new ones; member i takes those of the source's member i, cyclically.

    Args:
        source: the trained networks.
        model: settings of the new ones.
        channels: names of their channels.
        classes: names of their outputs.
        members: the new networks, which are changed.

    Raises:
        UserError: if the source is of another kind, or nothing of it fits.
    """
    ours, theirs = kind_of("model", model), kind_of("model", source.config.model)
    if ours != theirs:
        raise UserError(
            f"start_from: {source.path} holds model={theirs}, the training has model={ours}; leave model out to take "
            "the source's"
        )
    inputs = _match_channels(source.channels, channels)
    outputs = _match_classes(source.outputs.names, classes)
    axes = _axes(model, len(channels), len(classes))
    stored = {
        name: np.asarray(values)
        for name, values in named_leaves({"params": source.params, "stats": source.stats}).items()
    }
    found = Transfer()
    for index, member in enumerate(members):
        _, *states = nnx.split(member, nnx.Param, ...)
        tree = dict(zip(("params", "stats"), states, strict=True))
        new = {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}
        found = Transfer(new_channels=not inputs.mean and None in inputs.order)
        values = {}
        for name, leaf in new.items():
            given = stored[name][index % len(stored[name])] if name in stored else None
            values[name] = _fitted(found, name, leaf, given, axes.get(name, {}), inputs, outputs)
        for name in _followers(found.fresh, new):
            found.fresh[name] = "its kernel is not from the source"
            found.taken = [other for other in found.taken if other != name]
            found.adapted.pop(name, None)
        leaves = [jnp.asarray(leaf if name in found.fresh else values[name]) for name, leaf in new.items()]
        state = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(tree), leaves)
        nnx.update(member, state["params"], state["stats"])
    if not any(name.endswith(".kernel") for name in (*found.taken, *found.adapted)):
        raise UserError(
            f"start_from: no layer of {source.path} has the shape of one of this network; leave model out to take the "
            "source's"
        )
    return found


def _fitted(
    found: Transfer,
    name: str,
    new: np.ndarray,
    given: np.ndarray | None,
    axes: dict[str, int],
    inputs: _Match,
    outputs: _Match,
) -> np.ndarray:
    """The source's array as the new network needs it, or the new one; with a note of which it is."""
    if given is None:
        found.fresh[name] = "not in the source"
        return new
    other = [axis for axis in range(new.ndim) if axis not in axes.values()]
    if new.ndim != given.ndim or any(new.shape[axis] != given.shape[axis] for axis in other):
        found.fresh[name] = f"shape {new.shape}, the source has {given.shape}"
        return new
    words = []
    for kind, match in (("channels", inputs), ("classes", outputs)):
        if kind not in axes:
            continue
        if kind == "classes" and set(match.order) == {None}:
            found.fresh[name] = match.words
            return new
        if not match.is_identity or given.shape[axes[kind]] != len(match.order):
            given = _along(axes[kind], given, np.zeros_like(new) if kind == "channels" else new, match)
        if match.words:
            words.append(match.words)
    if words:
        found.adapted[name] = "; ".join(words)
    else:
        found.taken.append(name)
    return given.astype(new.dtype)


def _followers(fresh: Collection[str], names: Collection[str]) -> list[str]:
    """Biases and normalisations of layers whose kernel is fresh: those of the source belong to its kernel."""
    found = []
    for kernel in (name for name in fresh if name.endswith(".kernel")):
        layer = part_of_network(kernel)
        block, _, last = layer.rpartition(".")
        inside = [layer, f"{block}.normalization"] if last in ("convolution", "transform") else [layer]
        found += [name for name in names if part_of_network(name) in inside and name not in fresh]
    return list(dict.fromkeys(found))


def _along(axis: int, given: np.ndarray, fill: np.ndarray, match: _Match) -> np.ndarray:
    """Entries of an axis in a new order, with those of `fill` where the source has none."""
    if match.mean:
        mean = given.mean(axis=axis, keepdims=True) * given.shape[axis] / len(match.order)
        return np.repeat(mean, len(match.order), axis=axis)
    parts = [
        np.take(fill, [to], axis=axis) if at is None else np.take(given, [at], axis=axis)
        for to, at in enumerate(match.order)
    ]
    return np.concatenate(parts, axis=axis)


def _match_channels(theirs: Sequence[str], ours: Sequence[str]) -> _Match:
    order = _by_name(theirs, ours)
    if all(at is not None for at in order):
        unused = [name for i, name in enumerate(theirs) if i not in order]
        words = f"without the source's channels {', '.join(unused)}" if unused else ""
        if not words and order != tuple(range(len(order))):
            words = f"channels in the order {', '.join(ours)}"
        return _Match(order, words)
    if any(at is not None for at in order):
        new = [name for name, at in zip(ours, order, strict=True) if at is None]
        return _Match(order, f"new channel{'s' * (len(new) > 1)} {', '.join(new)} from zero, the others by name")
    if len(theirs) == len(ours):
        pairs = ", ".join(f"{new} as {old}" for old, new in zip(theirs, ours, strict=True))
        return _Match(tuple(range(len(ours))), f"channels in order: {pairs}")
    words = f"channels {', '.join(ours)} from the mean of the source's {', '.join(theirs)}"
    return _Match((None,) * len(ours), words, mean=True)


def _match_classes(theirs: Sequence[str], ours: Sequence[str]) -> _Match:
    order = _by_name(theirs, ours)
    new = [name for name, at in zip(ours, order, strict=True) if at is None]
    if new:
        return _Match(order, f"new class{'es' * (len(new) > 1)} {', '.join(new)} at random")
    unused = len(theirs) > len(ours)
    same = order == tuple(range(len(order))) and not unused
    return _Match(order, "" if same else f"classes {', '.join(ours)} by name")


def _by_name(theirs: Sequence[str], ours: Sequence[str]) -> tuple[int | None, ...]:
    places = {name.casefold(): i for i, name in enumerate(theirs)}
    return tuple(places.get(name.casefold()) for name in ours)


def _axes(model: ModelConfig, channels: int, classes: int) -> dict[str, dict[str, int]]:
    """By array, the axis that has the length of the channels and that of the classes, found by adding one of each."""
    usual = _shapes(model, channels, classes)
    axes: dict[str, dict[str, int]] = {}
    for kind, more in (
        ("channels", _shapes(model, channels + 1, classes)),
        ("classes", _shapes(model, channels, classes + 1)),
    ):
        for name, shape in usual.items():
            for axis, (size, larger) in enumerate(zip(shape, more[name], strict=True)):
                if size != larger:
                    axes.setdefault(name, {})[kind] = axis
    return axes


def _shapes(model: ModelConfig, channels: int, classes: int) -> dict[str, tuple[int, ...]]:
    _, *states = nnx.split(
        nnx.eval_shape(lambda: model.build(channels=channels, classes=classes, seed=0)), nnx.Param, ...
    )
    tree = dict(zip(("params", "stats"), states, strict=True))
    return {name: tuple(leaf.shape) for name, leaf in named_leaves(tree).items()}


def part_of_network(name: str) -> str:
    """Path of the layer that an array belongs to: without its collection and its own name."""
    return name.partition(".")[2].rpartition(".")[0]


def parts(names: Collection[str], of: Collection[str]) -> list[str]:
    """The fewest parts of a network that hold just these of its arrays, in the network's order.

    Args:
        names: some arrays.
        of: all arrays of the network.
    """
    chosen = {name.partition(".")[2] for name in names}
    every = [name.partition(".")[2] for name in of]
    return _parts("", chosen, every)


def _parts(prefix: str, chosen: set[str], every: list[str]) -> list[str]:
    inside = [name for name in every if name.startswith(prefix)]
    if all(name in chosen for name in inside):
        return [prefix.removesuffix(".")] if prefix else ["all"]
    found: list[str] = []
    heads = dict.fromkeys(name[len(prefix) :].partition(".")[0] for name in inside)
    for head in sorted(heads, key=_natural):
        if f"{prefix}{head}" in every:
            found += [f"{prefix}{head}"] if f"{prefix}{head}" in chosen else []
        elif any(name.startswith(f"{prefix}{head}.") for name in chosen):
            found += _parts(f"{prefix}{head}.", chosen, every)
    return found


def _natural(text: str) -> tuple[int, str]:
    return (int(text), "") if re.fullmatch(r"\d+", text) else (-1, text)
