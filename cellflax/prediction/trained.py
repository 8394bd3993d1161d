"""Trained networks, rebuilt from a checkpoint alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cellflax.inference.devices import over_devices
from cellflax.io.reading import ReadingOptions
from cellflax.losses import output_activation
from cellflax.models import Geometry
from cellflax.models.ensemble import member_probabilities
from cellflax.refine import RefineConfig
from cellflax.schemas import from_json
from cellflax.targets import Outputs
from cellflax.training.config import Precision, TrainConfig
from cellflax.training.starting import STARTED_FROM
from cellflax.training.weights import outputs_of, read_weights


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
            tile by tile, on all devices of the machine.
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
        return outputs_of(self.config, self.record)

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

    @property
    def started_from(self) -> dict[str, Any] | None:
        """Where the weights came from that its training started from, as `training.starting.start` records it."""
        return self.record.get(STARTED_FROM)


def load_model(path: str | Path, step: str = "best", precision: Precision | None = None) -> TrainedModel:
    """Rebuild a trained network from a checkpoint alone.

    Args:
        path: as for `training.weights.read_weights`.
        step: "best", "last" or a number; not used if `path` is one checkpoint.
        precision: what the networks compute in; None for that of their training.

    Raises:
        UserError: as `training.weights.read_weights`.
    """
    trained = read_weights(path, step)
    graph, activation = trained.graph, output_activation(trained.config.loss, trained.outputs)
    compute_type = (precision or trained.config.trainer.precision).compute_type

    def outputs(weights: tuple[nnx.State, nnx.State], tiles: np.ndarray) -> jax.Array:
        def predict(tile):
            members = member_probabilities(graph, activation, *weights, tile[None].astype(compute_type))
            return jnp.concatenate(list(members[:, 0]), axis=-1)

        return jax.lax.map(predict, tiles)

    return TrainedModel(
        config=trained.config,
        record=trained.record,
        step=trained.step,
        path=trained.path,
        geometry=trained.geometry,
        probabilities=over_devices(outputs, (trained.params, trained.stats)),
    )
