"""Trained networks, rebuilt from a checkpoint alone."""

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
from cellflax.io.reading import ReadingOptions
from cellflax.losses import output_activation
from cellflax.models import Geometry
from cellflax.models.ensemble import member_probabilities, stack_members
from cellflax.refine import RefineConfig
from cellflax.schemas import from_json
from cellflax.targets import Outputs
from cellflax.training.checkpoint import DIRECTORY, has_record, read_record, require_arrays, restore_arrays
from cellflax.training.config import TrainConfig


@dataclass(frozen=True)
class TrainedModel:
    """An ensemble of networks with its weights and the settings that prediction shares with training.

    Attributes:
        config: the configuration it was trained with; where its refinement was tuned on the held-out regions
            afterwards, with that refinement.
        record: the checkpoint's JSON record.
        step: training step of the weights.
        path: the checkpoint it was read from.
        geometry: geometry of each network.
        probabilities: compiled (T, H, W, C) -> (T, H - 2 border, W - 2 border, M K): the `outputs` of each member,
            tile by tile.
    """

    config: TrainConfig
    record: dict[str, Any]
    step: int
    path: Path
    geometry: Geometry
    probabilities: Callable[[np.ndarray], jax.Array]

    @property
    def members(self) -> int:
        """Number of networks."""
        return self.config.trainer.ensemble

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image channels, in order."""
        return tuple(self.record["data"]["channels"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the output classes, in order."""
        return self.outputs.class_names

    @property
    def outputs(self) -> Outputs:
        """What each network's outputs are."""
        return _outputs(self.config, self.record)

    @property
    def focal_planes(self) -> str | None:
        """What was read of the focal planes in training (`z` of the data); None where the data has no such option."""
        data = self.config.data
        return data.z if isinstance(data, ReadingOptions) else None

    @property
    def trained_refine(self) -> RefineConfig:
        """The refinement of the training, whether it was tuned afterwards or not."""
        return from_json(TrainConfig, self.record["config"]).refine

    @property
    def simulated(self) -> bool:
        """Whether it was trained on simulated images."""
        return bool(self.record["data"]["simulated"])


def load_model(path: str | Path, step: str = "best") -> TrainedModel:
    """Rebuild a trained network from a checkpoint alone.

    Args:
        path: a run directory, its `checkpoints` folder, or one numbered checkpoint in it.
        step: "best", "last" or a number; not used if `path` is one checkpoint.

    Raises:
        UserError: if there is no checkpoint, it is damaged, this version cannot read it, or JAX has no device.
    """
    path = _find(Path(expand_home(str(path))), step)
    devices_of_jax()
    record = read_record(path)
    config = _config_of(path, record)
    outputs = _outputs(config, record)
    channels, classes = len(record["data"]["channels"]), len(outputs.names)

    def build() -> nnx.Module:
        return config.model.build(channels=channels, classes=classes, seed=0)

    # The configuration is a claim; the arrays that are there bound the memory.
    require_arrays(path, _abstract(path, build, config.trainer.ensemble))
    model = config.model.build(channels=channels, classes=classes, seed=0)
    graph, params, stats = stack_members([model] * config.trainer.ensemble)
    activation = output_activation(config.loss, outputs)
    weights = restore_arrays(path, {"params": params, "stats": stats}, record)

    @jax.jit
    def compiled(weights, tiles):
        def predict(tile):
            members = member_probabilities(graph, activation, weights["params"], weights["stats"], tile[None])
            return jnp.concatenate(list(members[:, 0]), axis=-1)

        return jax.lax.map(predict, tiles)

    return TrainedModel(
        config=config,
        record=record,
        step=int(path.name),
        path=path,
        geometry=model.geometry,
        probabilities=lambda tiles: compiled(weights, tiles),
    )


def _outputs(config: TrainConfig, record: dict[str, Any]) -> Outputs:
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


def _abstract(path: Path, build: Callable[[], nnx.Module], members: int) -> dict[str, nnx.State]:
    """Shapes of an ensemble's parameters and other variables, without their memory."""
    try:
        _, *states = nnx.split(nnx.eval_shape(build), nnx.Param, ...)
    except UserError as error:
        raise UserError(f"checkpoint {path}: {error}") from error
    except Exception as error:  # sizes that no array can have
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"checkpoint {path} is damaged: it describes no network ({reason}); copy it again") from error
    params, stats = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), states)
    return {"params": params, "stats": stats}


def _find(path: Path, step: str) -> Path:
    if not path.exists():
        raise UserError(f"checkpoint {path} does not exist; give a run directory, which training prints at its end")
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
        best = max(scored, key=lambda s: scored[s]) if scored else steps[-1]
        return (directory / str(best)).resolve()
    if not step.isdigit() or int(step) not in steps:
        raise UserError(f"step={step} is not in {directory}; use best, last or one of {', '.join(map(str, steps))}")
    return (directory / step).resolve()
