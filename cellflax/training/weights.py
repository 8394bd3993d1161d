"""Weights of trained networks with the record that says what they are: from a run, or from a file of networks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cellflax.device import devices_of_jax
from cellflax.errors import UserError
from cellflax.home import expand_home
from cellflax.models import Geometry, Network
from cellflax.networks import SUFFIX, among_networks, shipped_network
from cellflax.networks.file import read_network_file
from cellflax.progress import say
from cellflax.refine import RefineConfig
from cellflax.schemas import from_json
from cellflax.targets import Outputs
from cellflax.training.checkpoint import named_leaves, require_arrays, restore_arrays
from cellflax.training.config import TrainConfig
from cellflax.training.record import DIRECTORY, has_record, read_record, require_record


@dataclass(frozen=True)
class TrainedWeights:
    """Networks of one architecture with their weights.

    Attributes:
        path: the checkpoint, or the file of a network.
        step: training step of the weights.
        record: JSON record of the checkpoint.
        config: the configuration they were trained with; with the refinement that was tuned afterwards, if it was.
        graph: structure of one network.
        params: parameters, with a leading member axis.
        stats: other variables, with a leading member axis.
        geometry: geometry of each network.
    """

    path: Path
    step: int
    record: dict[str, Any]
    config: TrainConfig
    graph: nnx.GraphDef
    params: nnx.State
    stats: nnx.State
    geometry: Geometry

    @property
    def channels(self) -> list[str]:
        """Names of the image channels, in order."""
        return self.record["data"]["channels"]

    @property
    def outputs(self) -> Outputs:
        """What each network's outputs are."""
        return outputs_of(self.config, self.record)


def read_weights(path: str | Path, step: str = "best") -> TrainedWeights:
    """Rebuild trained networks from a checkpoint alone.

    Args:
        path: a run directory, its `checkpoints` folder, one numbered checkpoint in it, the file of a network, or the
            name of a network that comes with cellflax.
        step: "best", "last" or a number; not used if `path` is one checkpoint.

    Raises:
        UserError: if there is no checkpoint, it is damaged, this version cannot read it, or JAX has no device.
    """
    found = find_weights(path, step)
    devices_of_jax()
    arrays: dict[str, np.ndarray] | None = None
    if found.suffix == SUFFIX:
        record, arrays = read_network_file(found)
        require_record(found, record)
    else:
        record = read_record(found)
    config = _config_of(found, record)
    channels, classes = len(record["data"]["channels"]), len(outputs_of(config, record).names)

    def build() -> Network:
        return config.model.build(channels=channels, classes=classes, seed=0)

    # The configuration is a claim; the arrays that are there bound the memory.
    model, graph, abstract = _abstract(found, build, config.trainer.ensemble)
    if arrays is None:
        require_arrays(found, abstract)
        weights = restore_arrays(found, abstract, record)
    else:
        _require_same(found, arrays, abstract)
        weights = _filled(abstract, arrays)
    at = record.get("step", 0) if arrays is not None else int(found.name)
    return TrainedWeights(found, at, record, config, graph, weights["params"], weights["stats"], model.geometry)


def find_weights(path: str | Path, step: str = "best") -> Path:
    """The numbered checkpoint, or the file of a network, that `read_weights` reads.

    Raises:
        UserError: if there is none.
    """
    named = shipped_network(str(path))
    place = Path(expand_home(str(path)))
    if named is not None:
        if not place.exists():
            return _only_step(named, step)
        say(f"{path}: the one in this directory is taken, not the network of this name that comes with cellflax")
    if place.is_file() and place.suffix == SUFFIX:
        return _only_step(place, step)
    return _in_run(place, step)


def _only_step(path: Path, step: str) -> Path:
    if step != "best":
        raise UserError(f"step={step}: {path.name} holds the weights of one step; leave step out")
    return path.resolve()


def outputs_of(config: TrainConfig, record: dict[str, Any]) -> Outputs:
    """What the outputs of the networks of a checkpoint are, by its configuration and record."""
    return Outputs(tuple(record["data"]["class_names"]), config.target.map_names)


def _config_of(path: Path, record: dict[str, Any]) -> TrainConfig:
    try:
        config = from_json(TrainConfig, record["config"])
    except UserError as error:
        raise UserError(f"checkpoint {path}: {error}") from error
    for group in ("model", "refine"):
        if getattr(config, group) is None:
            raise UserError(f"checkpoint {path} is damaged: its configuration has no {group}; copy it again")
    if record.get("tuning") is not None:
        config = replace(config, refine=_tuned(path, record["tuning"]))
    data = record["data"]
    size = data.get("pixel_size_um")
    names = [data.get("channels"), data.get("class_names")]
    if (
        not all(isinstance(part, list) and part and all(isinstance(name, str) for name in part) for part in names)
        or any(len(set(part)) < len(part) for part in names)
        or set(names[1]) & set(config.target.map_names)
        or not isinstance(data.get("simulated"), bool)
        or not (size is None or (type(size) in (int, float) and size > 0))
    ):
        raise UserError(f"checkpoint {path} is damaged: its record does not describe its data; copy it again")
    return config


@dataclass
class _Tuned:
    """What the record of a tuning must hold."""

    refine: Any


def _tuned(path: Path, tuning: dict[str, Any]) -> RefineConfig:
    """The refinement that was chosen after training."""
    try:
        tuned = from_json(_Tuned, {"refine": tuning.get("refine")}).refine
    except UserError as error:
        raise UserError(f"checkpoint {path}: the record of its tuning: {error}") from error
    if tuned is None:
        raise UserError(f"checkpoint {path} is damaged: the record of its tuning has no refine; copy it again")
    return tuned


def _abstract(
    path: Path, build: Callable[[], Network], members: int
) -> tuple[Network, nnx.GraphDef, dict[str, nnx.State]]:
    """A network with shapes in place of arrays, its structure, and the shapes of an ensemble of such networks.

    Nothing is initialised: that would compile a program for every kind of layer, and claim memory.
    """
    try:
        model = nnx.eval_shape(build)
        graph, *states = nnx.split(model, nnx.Param, ...)
    except UserError as error:
        raise UserError(f"checkpoint {path}: {error}") from error
    except Exception as error:  # sizes that no array can have
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"checkpoint {path} is damaged: it describes no network ({reason}); copy it again") from error
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    params, stats = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype, sharding=place), states
    )
    return model, graph, {"params": params, "stats": stats}


def _require_same(path: Path, arrays: dict[str, np.ndarray], template: Any) -> None:
    """Check that a file holds the arrays of a template, in names and shapes."""
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(template).items()}
    for name in expected | arrays:
        found = arrays[name].shape if name in arrays else "nothing"
        if found != expected.get(name):
            raise UserError(f"{path} is of another network: {name} should be {expected.get(name)}, found {found}")


def _filled(template: Any, arrays: dict[str, np.ndarray]) -> Any:
    leaves = [jnp.asarray(arrays[name], leaf.dtype) for name, leaf in named_leaves(template).items()]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(template), leaves)


def _in_run(path: Path, step: str) -> Path:
    """The numbered checkpoint of a run."""
    if not path.exists():
        raise UserError(
            f"checkpoint {path} does not exist; give a run directory, which training prints at its end"
            f"{among_networks()}"
        )
    for directory in (path / DIRECTORY, path):
        steps = sorted(int(p.name) for p in directory.glob("*") if p.name.isdigit() and has_record(p))
        if steps:
            break
    else:
        if path.name.isdigit() and has_record(path):
            return path.resolve()
        raise UserError(
            f"{path} holds no cellflax checkpoint; give a run directory, its {DIRECTORY} folder or one numbered "
            "folder in that"
        )
    if step == "last":
        return (directory / str(steps[-1])).resolve()
    if step == "best":
        scores = {s: (read_record(directory / str(s)).get("score")) for s in steps}
        scored = {s: score for s, score in scores.items() if score is not None}
        best = max(scored, key=lambda s: (scored[s], s)) if scored else steps[-1]
        return (directory / str(best)).resolve()
    if not step.isdigit() or int(step) not in steps:
        raise UserError(f"step={step} is not in {directory}; use best, last or one of {', '.join(map(str, steps))}")
    return (directory / step).resolve()
