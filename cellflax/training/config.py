"""The configuration of a training run: what `conf/train.yaml` composes and a checkpoint stores."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cellflax.data.normalize import NormalizeConfig
from cellflax.data.resample import ScaleConfig
from cellflax.errors import UserError
from cellflax.refine.seeds import NucleiSeedsConfig
from cellflax.training.runlog import LoggerConfig

_LARGEST_SEED = 2**31 - 1


class Monitor(Enum):
    """The validation metric by which checkpoints are compared."""

    jaccard = "jaccard"
    loss = "loss"


class Precision(Enum):
    """Precision of matrix products and convolutions on accelerators; CPUs always compute in float32."""

    float32 = "float32"
    tensorfloat32 = "tensorfloat32"
    bfloat16 = "bfloat16"


@dataclass
class TrainerConfig:
    """The training loop.

    Attributes:
        ensemble: networks trained side by side and averaged in prediction; P1: 5. Up to rounding, network i equals
            one trained alone with `seed` + i.
        steps: total number of updates.
        validate_every: steps between validations; each is followed by a checkpoint.
        log_every: steps between lines of metrics.jsonl.
        monitor: metric that chooses the best checkpoint: jaccard (of validation cells) or loss.
        patience: validations without improvement before training stops early; 0 never stops.
        max_minutes: limit of wall-clock time, summed over resumptions; null for none.
        devices: number of devices that share the batch; null takes all.
        precision: precision of matrix products on accelerators.
    """

    ensemble: int = 1
    steps: int = 5000
    validate_every: int = 500
    log_every: int = 50
    monitor: Monitor = Monitor.jaccard
    patience: int = 0
    max_minutes: float | None = None
    devices: int | None = None
    precision: Precision = Precision.float32

    def __post_init__(self):
        for key in ("ensemble", "steps", "validate_every", "log_every"):
            if getattr(self, key) < 1:
                raise UserError(f"trainer.{key} must be 1 or more, got {getattr(self, key)}")
        if self.patience < 0:
            raise UserError(f"trainer.patience must be 0 or more, got {self.patience}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise UserError(f"trainer.max_minutes must be above 0 or null, got {self.max_minutes}")
        if self.devices is not None and self.devices < 1:
            raise UserError(f"trainer.devices must be 1 or more, or null for all, got {self.devices}")


@dataclass
class TrainConfig:
    """Everything that decides what a training run does.

    Attributes:
        name: name of the experiment; part of the default run directory.
        run: directory that the run writes to; a run that is already there is resumed.
        seed: seed of initialisation, sampling and dropout.
        model: network (group model).
        data: images and annotations (group data).
        scale: operations in physical units that come first, in training and prediction.
        normalize: intensity normalisation, in training and prediction.
        sampler: training batches (group sampler).
        loss: cost (group loss).
        optimizer: optimiser and learning rate (group optimizer).
        refine: from probabilities to cells, in validation and, unless overridden, in prediction (group refine).
        seed_channel: channel whose nuclei seed the refinement; null for none.
        seeds: how nuclei are found in that channel.
        test_time_augmentation: rotations and reflections averaged in prediction (not while training): 1, 4 or 8.
        trainer: training loop.
        logger: metrics and W&B.
    """

    name: str = "train"
    run: str = "runs/train"
    seed: int = 0
    model: Any = None
    data: Any = None
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    sampler: Any = None
    loss: Any = None
    optimizer: Any = None
    refine: Any = None
    seed_channel: str | None = None
    seeds: NucleiSeedsConfig = field(default_factory=NucleiSeedsConfig)
    test_time_augmentation: int = 1
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self):
        if not self.name or "/" in self.name:
            raise UserError(f"name must be a word without slashes, got {self.name!r}")
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise UserError(f"seed must be 0 to {_LARGEST_SEED}, got {self.seed}")
        check_transforms(self.test_time_augmentation)


def check_transforms(count: int) -> None:
    """Refuse a number of averaged rotations and reflections that favours some directions."""
    if count not in (1, 4, 8):
        raise UserError(f"test_time_augmentation must be 1, 4 or 8, got {count}")
