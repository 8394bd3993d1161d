"""Experiments of conf/ without their data: typed configurations and untrained networks."""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from cellflax.config import config_directory
from cellflax.data.example import Example
from cellflax.data.sampler import Sampler
from cellflax.losses import Loss
from cellflax.models.ensemble import stack_members
from cellflax.models.patch_net import PatchNet
from cellflax.models.skip_fcn import SkipFcn
from cellflax.models.unet import UNet
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.schemas import GROUPS, group_types, to_json
from cellflax.training.checkpoint import save_model
from cellflax.training.config import TrainConfig

NOISE_PX = 1024


def load_config(*overrides: str) -> TrainConfig:
    """The typed configuration of `python -m cellflax.train <overrides>`."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    for group in GROUPS:
        for kind, schema in group_types(group).items():
            store.store(group=group, name=f"{kind}_schema", node=schema)
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        # The default run directory is named after the time, which only a running command knows.
        config = OmegaConf.to_object(compose("train", ["run=none", *overrides]))
    assert isinstance(config, TrainConfig)
    return config


@dataclass(frozen=True)
class Experiment:
    """A configuration, with the channels and classes that training would read from the data."""

    config: TrainConfig
    channels: tuple[str, ...]
    class_names: tuple[str, ...]

    @cached_property
    def network(self) -> PatchNet | SkipFcn | UNet:
        """The network at step 0."""
        channels, classes = len(self.channels), len(self.class_names)
        return self.config.model.build(channels=channels, classes=classes, seed=self.config.seed)

    @property
    def loss(self) -> Loss:
        """The cost, for classes of equal size."""
        return self.config.loss.build(self.class_names, np.ones(len(self.class_names)))

    @cached_property
    def sampler(self) -> Sampler:
        """A sampler over one image of noise, fully annotated; its content does not change the time."""
        rng, network, classes = np.random.default_rng(0), self.network, len(self.class_names)
        image = rng.standard_normal((NOISE_PX, NOISE_PX, len(self.channels)), np.float32)
        annotation = rng.integers(0, classes, (NOISE_PX, NOISE_PX), np.int8)
        example = Example("noise", image, annotation, cells=np.zeros((NOISE_PX, NOISE_PX), np.int32))
        return Sampler(
            self.config.sampler,
            (example,),
            border=network.geometry.train_border,
            multiple=network.geometry.multiple,
            classes=classes,
        )

    def save(self, run: Path) -> None:
        """Write the network as a run directory."""
        _, params, stats = stack_members([self.network])
        record = {
            "config": {key: value for key, value in to_json(self.config).items() if key != "run"},
            "data": {
                "source": "made up for a benchmark",
                "simulated": True,
                "channels": list(self.channels),
                "class_names": list(self.class_names),
                "pixel_size_um": None,
            },
        }
        save_model(run, params, stats, record)

    def load(self) -> TrainedModel:
        """The network as `cellflax.predict` loads it."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "run")
            return load_model(Path(folder) / "run")
