"""Checkpoints: the only user of Orbax.

A checkpoint is a directory with one numbered folder per kept step, each holding the arrays of a `TrainState`
under readable names ("params.stages.0.1.transform.kernel", with a first axis for the members of the ensemble)
and a JSON record: the configuration, where the data came from, the progress of training, and a checksum of every
array. Loading (`trained.load_model`) builds the network from the record's own configuration, so a copied folder
is all that prediction needs, and nothing in it can run code.
"""

import contextlib
import logging
import math
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as ocp

from cellflax.errors import OutputError, UserError
from cellflax.jsonfile import MOST_JSON_BYTES
from cellflax.training.failed_writes import (
    end_abandoned_work,
    system_error_of,
    without_unraisable,
)
from cellflax.training.record import (
    DIRECTORY,
    FORMAT,
    DamagedError,
    add_to_record,
    complete_checkpoints,
    read_record,
    sealed,
)
from cellflax.training.state import TrainState, put_on
from cellflax.wholefile import require_plain_files

# Values of a training: parameters, their averages and those of the optimiser; counters besides.
_MOST_STATES = 8
_MOST_OTHERS = 1 << 20

_UNFINISHED = ".orbax-checkpoint-tmp"  # what Orbax writes is called so until it is complete
_DELETED = ".deleted."


class Checkpoints:
    """The checkpoints of one run: the newest and the best are kept.

    What a training that was killed left half written or half deleted is removed; only one process at a time may have
    the checkpoints of a run, or the processes of one training, which save together.

    Args:
        run: the run's directory.

    Raises:
        UserError: if there are checkpoints whose record is damaged.
        OSError: if its folder cannot be made.
    """

    def __init__(self, run: Path):
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax narrates every save, and errors that it raises
        self._run, self.directory = run, (run / DIRECTORY).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        require_plain_files(self.directory, "remove the damaged checkpoint")
        for left in (*self.directory.glob(f"*{_UNFINISHED}*"), *self.directory.glob(f"{_DELETED}*")):
            shutil.rmtree(left, ignore_errors=True)
        self._scores = {int(path.name): self._score(path) for path in complete_checkpoints(run)}

    def _score(self, path: Path) -> float | None:
        with self._without(path):
            return read_record(path).get("score")

    @contextlib.contextmanager
    def _without(self, path: Path) -> Iterator[None]:
        """Say how a run can be resumed that has a damaged checkpoint."""
        try:
            yield
        except DamagedError as error:
            others = [int(other.name) for other in complete_checkpoints(self._run) if other.name != path.name]
            rest = f"resumes at step {max(others)}" if others else "begins anew"
            raise DamagedError(f"{error}, or remove that folder, and the training {rest}") from error

    def save(self, state: TrainState, record: dict[str, Any], score: float | None) -> None:
        """Write one checkpoint; a half-written one is never mistaken for a complete one.

        Of a step that is saved already, which was not validated then, the record alone is replaced.

        Args:
            state: what to save, under its own step.
            record: JSON to keep with it.
            score: larger is better; None for a checkpoint that was not validated.

        Raises:
            OutputError: if it cannot be written, on a full disk, say; the checkpoints before stay.
        """
        self._save(int(state.step), state, record, score, self._how_it_resumes)

    def _save(
        self, step: int, tree: Any, record: dict[str, Any], score: float | None, way_on: Callable[[], str]
    ) -> None:
        arrays, path = named_leaves(tree), self.directory / str(step)
        sums = {name: zlib.crc32(np.ascontiguousarray(value)) for name, value in jax.device_get(arrays).items()}
        content = {"format": FORMAT, "crc32": sums, "score": score, **record}
        reason = None
        with without_unraisable():
            try:
                if step not in self._scores or read_record(path)["crc32"] != sums:
                    ocp.save(path, arrays, checkpointable_name="state", overwrite=True, custom_metadata=sealed(content))  # pyright: ignore[reportArgumentType]
                elif _leads():
                    add_to_record(path, **content)
            except Exception as error:  # Orbax raises many types
                if (reason := system_error_of(error)) is None:
                    raise
            if reason is not None:
                end_abandoned_work()
        if reason is not None:
            for left in self.directory.glob(f"{step}{_UNFINISHED}*"):  # it takes room that others need
                shutil.rmtree(left, ignore_errors=True)
            raise OutputError(f"{path}: cannot be written ({reason}); make room, and {way_on()}")
        self._scores[step] = None if score is None or math.isnan(score) else score
        self._prune()

    def _how_it_resumes(self) -> str:
        latest = self.latest()
        rest = "begins anew" if latest is None else f"resumes at step {latest}"
        return f"the same command with run={self._run} {rest}"

    def _prune(self) -> None:
        """Delete all but the newest and the best, of equal ones the last. A half-deleted one is none."""
        scored = [(score, step) for step, score in self._scores.items() if score is not None]
        kept = {max(self._scores), *(step for _, step in sorted(scored)[-1:])}
        for step in self._scores.keys() - kept:
            deleted = self.directory / f"{_DELETED}{step}"
            if _leads():
                (self.directory / str(step)).rename(deleted)
                shutil.rmtree(deleted, ignore_errors=True)
            del self._scores[step]

    def latest(self) -> int | None:
        """The newest step, or None in a new directory."""
        return max(self._scores, default=None)

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
        with self._without(path):
            record = read_record(path)
            return restore_arrays(path, template, record), record


def save_model(run: Path, params: nnx.State, stats: nnx.State, record: dict[str, Any]) -> None:
    """Write networks that were not trained here as step 0, for `load_model`; they cannot be resumed.

    Args:
        run: directory to write to.
        params: parameters, with a leading member axis.
        stats: other variables, with a leading member axis.
        record: JSON with `config` and `data`, as training writes it.

    Raises:
        UserError: if there are checkpoints in `run` already, or it cannot be written to, as on a full disk.
    """
    checkpoints = Checkpoints(run)
    if checkpoints.latest() is not None:
        raise UserError(f"{run} holds a checkpoint already; give another directory as output=...")
    checkpoints._save(0, {"params": params, "stats": stats}, record, None, lambda: "run the command again")


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
            raise DamagedError(
                f"checkpoint {path} is damaged: {file.name} has {file.stat().st_size} bytes; copy it again"
            )
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
        raise DamagedError(f"checkpoint {path} is damaged: it declares more arrays than a training has; copy it again")
    return stored


def restore_arrays[T](path: Path, template: T, record: dict[str, Any]) -> T:
    """Read the arrays of a template's structure, checking names, shapes and checksums."""
    expected = named_leaves(template)
    stored = _stored_arrays(path, expected)
    sharding = next(iter(expected.values())).sharding
    here = sharding if sharding.is_fully_addressable else SingleDeviceSharding(jax.local_devices()[0])
    abstract = {name: jax.ShapeDtypeStruct(stored[name].shape, stored[name].dtype, sharding=here) for name in stored}
    arrays = _read_by_orbax(path, lambda: ocp.load(path, abstract, checkpointable_name="state"))  # pyright: ignore[reportArgumentType]
    for name in expected:
        if zlib.crc32(np.ascontiguousarray(arrays[name])) != record["crc32"].get(name):
            raise DamagedError(f"checkpoint {path} is damaged: {name} differs from its checksum; copy it again")
    _, structure = jax.tree_util.tree_flatten(template)
    read = [arrays[name] for name in expected]
    return jax.tree_util.tree_unflatten(structure, read if here is sharding else put_on(read, sharding))


def _read_by_orbax[T](path: Path, read: Callable[[], T]) -> T:
    """Call a function that reads a checkpoint; turn any failure into one UserError."""
    with without_unraisable():
        # Orbax raises many types for a damaged checkpoint.
        with contextlib.suppress(Exception), _without_others():
            return read()
        end_abandoned_work()
    raise DamagedError(f"checkpoint {path} is damaged: its arrays cannot be read; copy it again")


def _without_others() -> contextlib.AbstractContextManager[Any]:
    """Let Orbax wait for no other process of this training: every one reads the whole."""
    if jax.process_count() == 1:
        return contextlib.nullcontext()
    alone = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=alone, active_processes={alone}, barrier_sync_key_prefix=f"cellflax_{alone}"
    )
    return ocp.Context(multiprocessing_options=options)


def _leads() -> bool:
    """Whether this process changes what is written: of several, the first."""
    return jax.process_index() == 0


def named_leaves(tree: Any) -> dict[str, jax.Array]:
    """Leaves by name, in the order of the flattened tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    return {name.removesuffix(".value"): leaf for name, (_, leaf) in zip(names, leaves, strict=True)}
