"""Checkpoints: the only user of Orbax.

A checkpoint is a directory with one numbered folder per kept step, each holding the arrays of a `TrainState`
under readable names ("params.stages.0.1.transform.kernel", with a first axis for the members of the ensemble)
and a JSON record: the configuration, where the data came from, the progress of training, and a checksum of every
array. Loading (`trained.load_model`) builds the network from the record's own configuration, so a copied folder
is all that prediction needs, and nothing in it can run code.
"""

import contextlib
import gc
import logging
import math
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from orbax.checkpoint import v1 as ocp

from cellflax.errors import UserError
from cellflax.jsonfile import MOST_JSON_BYTES
from cellflax.training.record import DIRECTORY, FORMAT, finite, read_record
from cellflax.training.state import TrainState
from cellflax.wholefile import require_plain_files

_ABANDONED_READS_S = 0.2
# Values of a training: parameters, their averages and those of the optimiser; counters besides.
_MOST_STATES = 8
_MOST_OTHERS = 1 << 20

_policies = ocp.training.preservation_policies


class Checkpoints:
    """The checkpoints of one run: the newest and the best are kept.

    Args:
        run: the run's directory.

    Raises:
        UserError: if there are checkpoints whose metrics cannot be read.
    """

    def __init__(self, run: Path):
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax narrates every save
        self.directory = (run / DIRECTORY).resolve()
        keep = [
            _policies.LatestN(1),
            _policies.BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False),
        ]
        require_plain_files(self.directory, "remove the damaged checkpoint")
        try:
            self._checkpointer = ocp.training.Checkpointer(
                self.directory,  # pyright: ignore[reportArgumentType]
                preservation_policy=_policies.AnyPreservationPolicy(keep),  # pyright: ignore[reportArgumentType]
                cleanup_tmp_directories=True,
            )
        except Exception as error:  # Orbax raises many types for a damaged checkpoint
            raise UserError(
                f"{self.directory} cannot be read ({_first_line(error)}); remove the damaged checkpoint, or give "
                "another directory as run=..."
            ) from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._checkpointer.close()

    def save(self, state: TrainState, record: dict[str, Any], score: float | None) -> None:
        """Write one checkpoint; a half-written one is never mistaken for a complete one.

        Args:
            state: what to save, under its own step.
            record: JSON to keep with it.
            score: larger is better; None for a checkpoint that was not validated.
        """
        self._save(int(state.step), state, record, score)

    def _save(self, step: int, tree: Any, record: dict[str, Any], score: float | None) -> None:
        arrays = named_leaves(tree)
        sums = {name: zlib.crc32(np.ascontiguousarray(value)) for name, value in jax.device_get(arrays).items()}
        self._checkpointer.save(
            step,
            arrays,
            force=True,
            overwrite=True,
            metrics=None if score is None else {"score": score},
            custom_metadata=finite({"format": FORMAT, "crc32": sums, "score": score, **record}),
        )

    def latest(self) -> int | None:
        """The newest step, or None in a new directory."""
        newest = self._checkpointer.latest
        return None if newest is None else newest.step

    def restore(self, template: TrainState, step: int | None = None) -> tuple[TrainState, dict[str, Any]]:
        """Read a checkpoint onto the devices of `template`.

        Args:
            template: a state of the same structure; its values are not used.
            step: a step that is kept; None for the newest.

        Raises:
            UserError: if it is damaged, or belongs to another network or optimiser.
        """
        step = self.latest() if step is None else step
        assert step is not None, "no checkpoint to restore"
        path = self.directory / str(step)
        record = read_record(path)
        return restore_arrays(path, template, record), record


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]


def save_model(run: Path, params: nnx.State, stats: nnx.State, record: dict[str, Any]) -> None:
    """Write networks that were not trained here as step 0, for `load_model`; they cannot be resumed.

    Args:
        run: directory to write to.
        params: parameters, with a leading member axis.
        stats: other variables, with a leading member axis.
        record: JSON with `config` and `data`, as training writes it.

    Raises:
        UserError: if there are checkpoints in `run` already.
    """
    with Checkpoints(run) as checkpoints:
        if checkpoints.latest() is not None:
            raise UserError(f"{run} holds a checkpoint already; give another directory as output=...")
        checkpoints._save(0, {"params": params, "stats": stats}, record, None)


def require_arrays(path: Path, template: Any) -> None:
    """Check that a checkpoint holds the arrays of a template, before memory is claimed for them.

    Args:
        path: checkpoint folder.
        template: arrays, or what `jax.eval_shape` gives in their place.

    Raises:
        UserError: if they cannot be read, or differ in names or shapes.
    """
    _stored_arrays(path, named_leaves(template))


def _stored_arrays(path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    require_plain_files(path, "copy it again")
    for file in path.rglob("*"):
        if not file.parent.name == "d" and file.is_file() and file.stat().st_size > MOST_JSON_BYTES:
            raise UserError(f"checkpoint {path} is damaged: {file.name} has {file.stat().st_size} bytes; copy it again")
    stored = _read_by_orbax(path, lambda: dict(ocp.metadata(path, checkpointable_name="state").metadata))  # pyright: ignore[reportArgumentType]
    for name, leaf in expected.items():
        if name not in stored or tuple(stored[name].shape) != tuple(leaf.shape):
            found = tuple(stored[name].shape) if name in stored else "nothing"
            raise UserError(
                f"checkpoint {path} is of another network: {name} should be {tuple(leaf.shape)}, found {found}"
            )
    sizes = {name: math.prod(leaf.shape) for name, leaf in stored.items()}
    needed = sum(sizes[name] for name in expected)
    if sum(sizes.values()) > _MOST_STATES * needed + _MOST_OTHERS:
        raise UserError(f"checkpoint {path} is damaged: it declares more arrays than a training has; copy it again")
    return stored


def restore_arrays[T](path: Path, template: T, record: dict[str, Any]) -> T:
    """Read the arrays of a template's structure, checking names, shapes and checksums."""
    expected = named_leaves(template)
    stored = _stored_arrays(path, expected)
    abstract = {
        name: jax.ShapeDtypeStruct(stored[name].shape, stored[name].dtype, sharding=_any_sharding(expected))
        for name in stored
    }
    arrays = _read_by_orbax(path, lambda: ocp.load(path, abstract, checkpointable_name="state"))  # pyright: ignore[reportArgumentType]
    for name in expected:
        if zlib.crc32(np.ascontiguousarray(arrays[name])) != record["crc32"].get(name):
            raise UserError(f"checkpoint {path} is damaged: {name} differs from its checksum; copy it again")
    _, structure = jax.tree_util.tree_flatten(template)
    return jax.tree_util.tree_unflatten(structure, [arrays[name] for name in expected])


def _read_by_orbax[T](path: Path, read: Callable[[], T]) -> T:
    """Call a function that reads a checkpoint; turn any failure into one UserError.

    When one of its reads fails, Orbax closes the event loop under the others, which print errors as they end; wait
    briefly and suppress that output.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with contextlib.suppress(Exception):  # Orbax raises many types for a damaged checkpoint
            return read()
        time.sleep(_ABANDONED_READS_S)
        gc.collect()
    finally:
        sys.unraisablehook = hook
    raise UserError(f"checkpoint {path} is damaged: its arrays cannot be read; copy it again")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _any_sharding(arrays: dict[str, jax.Array]) -> jax.sharding.Sharding:
    return next(iter(arrays.values())).sharding


def named_leaves(tree: Any) -> dict[str, jax.Array]:
    """Leaves by name, in the order of the flattened tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    return {name.removesuffix(".value"): leaf for name, (_, leaf) in zip(names, leaves, strict=True)}
