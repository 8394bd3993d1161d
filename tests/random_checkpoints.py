"""Checkpoints of networks with random weights and statistics, without training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import cellflax
from cellflax.models import ModelConfig, Network
from cellflax.models.ensemble import stack_members
from cellflax.refine.threshold import ThresholdConfig
from cellflax.schemas import to_json
from cellflax.targets.base import ClassesTarget, TargetConfig
from cellflax.training.checkpoint import save_model
from cellflax.training.config import TrainConfig, TrainerConfig


def random_checkpoint(
    folder: Path,
    model: ModelConfig,
    *,
    channels: Sequence[str] = ("phase", "nuclear"),
    classes: Sequence[str] = ("edge", "interior", "background"),
    target: TargetConfig | None = None,
    members: int = 1,
    **settings: Any,
) -> Path:
    """Write a checkpoint; `settings` are further keys of `TrainConfig`."""
    config = TrainConfig(
        name=folder.name,
        model=model,
        target=target or ClassesTarget(),
        trainer=TrainerConfig(ensemble=members),
        **{"refine": ThresholdConfig(), **settings},
    )
    outputs = config.target.outputs(classes)
    networks = [
        randomised(model.build(channels=len(channels), classes=len(outputs.names), seed=seed), seed)
        for seed in range(members)
    ]
    _, params, stats = stack_members(networks)
    record = {
        "config": {key: value for key, value in to_json(config).items() if key != "run"},
        "data": {
            "source": "random weights",
            "simulated": False,
            "channels": list(channels),
            "class_names": list(outputs.class_names),
            "pixel_size_um": 0.65,
            "train": [],
            "validation": [],
        },
        "cellflax": cellflax.__version__,
    }
    folder.mkdir(parents=True)
    save_model(folder, params, stats, record)
    return folder


def randomised(network: Network, seed: int) -> Network:
    """The network with running statistics and biases as if it had been trained; new ones change nothing."""
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(network)

    def drawn(path: Any, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if "'var'" in name:
            return jnp.asarray(rng.uniform(0.5, 2, leaf.shape), jnp.float32)
        if "'mean'" in name or "'bias'" in name:
            return jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32)
        return leaf

    return nnx.merge(graph, jax.tree_util.tree_map_with_path(drawn, state))
