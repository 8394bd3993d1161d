"""The configuration of a training run: what `conf/train.yaml` composes and a checkpoint stores."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from cellflax.checks import above, at_least, check, one_of, within
from cellflax.data.normalize import Intensity, NormalizeConfig
from cellflax.data.resample import ScaleConfig
from cellflax.errors import UserError
from cellflax.refine.seeds import NucleiSeedsConfig
from cellflax.targets.base import ClassesTarget
from cellflax.training.runlog import LoggerConfig
from cellflax.training.tuner import TunerConfig

_USUAL_VALIDATE_EVERY = 500  # steps
_LARGEST_SEED = 2**31 - 1
_MOST_PARTS = 8
TRANSFORM_COUNTS = one_of(1, 4, 8)  # rotations and reflections averaged in prediction; others favour some directions


class Monitor(Enum):
    """The validation metric by which checkpoints are compared."""

    jaccard = "jaccard"
    loss = "loss"


class Distributed(Enum):
    """Whether a training looks for other processes that take part in it."""

    auto = "auto"  # where keys, JAX's variables or a Slurm step of several tasks say so
    slurm = "slurm"  # the tasks of a Slurm step
    off = "off"


class Precision(Enum):
    """What networks compute in; their weights, statistics, logits, costs and gradients are float32 in any case."""

    float32 = "float32"
    tensorfloat32 = "tensorfloat32"  # accelerators round the factors of each product to 10 bits; CPUs: float32
    bfloat16 = "bfloat16"  # activations, and the weights that they meet, have 8 bits, on every device

    @property
    def compute_type(self) -> DTypeLike:
        """The type of the images that are given to a network, and so of its activations."""
        return jnp.bfloat16 if self is Precision.bfloat16 else jnp.float32


@dataclass
class TrainerConfig:
    """The training loop.

    Attributes:
        ensemble: networks trained side by side and averaged in prediction; P1: 5. Up to rounding, network i equals
            one trained alone with `seed` + i.
        steps: total number of updates; with a time budget the most of them, and null for as many as fit.
        validate_every: steps between validations; each is followed by a checkpoint. null with a time budget: ten in its
            time, or more; without: 500.
        validate_regions: number of held-out regions in validations while training, drawn by the seed; all are scored at
            the end. null with a time budget: as many as keep validation below a tenth of the time; without: all.
        log_every: steps between lines of metrics.jsonl.
        monitor: metric that chooses the best checkpoint: jaccard (of validation cells) or loss.
        patience: validations without improvement before training stops early; 0 never stops.
        max_minutes: time budget in minutes of wall-clock time, from the reading of the data to the last validation,
            summed over resumptions; the learning rate is annealed when it ends. null for none.
        devices: number of devices that share the batch, of all processes together; null takes all.
        precision: what networks compute in, here and in prediction: float32, tensorfloat32 or bfloat16. The last is
            mixed precision: activations and convolutions in bfloat16; weights, statistics of batch normalisation, the
            last layer, costs, gradients and the state of the optimiser in float32. Checkpoints are float32.
        accumulate: parts that a batch is computed in, one after another, where it does not fit the device as a whole;
            it takes up to a third more time. Cost and gradient are those of the whole batch up to rounding, with two
            exceptions: batch normalisation takes its statistics from each part (the running ones move once, by their
            mean over the parts), and dropout draws other masks.
        steps_per_dispatch: updates that the device does for one call of the host; they are the same. null: 10 on
            accelerators, 1 on CPUs and with sampler.store. Only as many as are left until the next line or validation.
        distributed: whether several processes, on one machine or many, train together: auto (where the next three keys,
            the variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or a Slurm step of several
            tasks say so), slurm (the tasks of a Slurm step, or an error) or off.
        coordinator: HOST:PORT where process 0 listens; null is what JAX_COORDINATOR_ADDRESS says, or found by Slurm.
        process_count: number of processes; null is what JAX_NUM_PROCESSES says, or the number of Slurm's tasks.
        process_id: number of this process, from 0; null is what JAX_PROCESS_ID says, or the number of Slurm's task.
    """

    ensemble: int = 1
    steps: int | None = 5000
    validate_every: int | None = None
    validate_regions: int | None = None
    log_every: int = 50
    monitor: Monitor = Monitor.jaccard
    patience: int = 0
    max_minutes: float | None = None
    devices: int | None = None
    precision: Precision = Precision.float32
    accumulate: int = 1
    steps_per_dispatch: int | None = None
    distributed: Distributed = Distributed.auto
    coordinator: str | None = None
    process_count: int | None = None
    process_id: int | None = None

    def __post_init__(self):
        whole = ("ensemble", "steps", "validate_every", "validate_regions", "log_every", "devices")
        whole += ("accumulate", "steps_per_dispatch")
        check(self, "trainer", at_least(1), *whole)
        check(self, "trainer", at_least(1), "process_count")
        check(self, "trainer", at_least(0), "patience", "process_id")
        check(self, "trainer", above(0), "max_minutes")
        if self.steps is None and self.max_minutes is None:
            raise UserError(
                "trainer.steps=null needs a time budget; give trainer.max_minutes=15, or trainer.steps=5000"
            )


@dataclass
class TrainConfig:
    """Everything that decides what a training run does.

    Attributes:
        name: name of the experiment; part of the default run directory.
        run: directory that the run writes to; a run that is already there is resumed.
        seed: seed of initialisation, sampling and dropout.
        start_from: trained network whose weights the training starts from: a run directory, one of its checkpoints, or
            the name of a network that comes with cellflax. It brings its model, normalize and scale, unless the command
            line gives them. Layers that fit by path and shape are taken, with the statistics of their batch
            normalisation; channels and classes are matched by name. Not read when a run is resumed.
        freeze: parts of the network that keep the weights of start_from, such as down.0 or bottom: no updates, no
            weight decay, and batch normalisation by the statistics of before.
        freeze_levels: number of levels of the contracting path, from full resolution on, that are frozen as well.
        model: network (group model).
        data: images and annotations (group data).
        scale: operations in physical units that come first, in training and prediction.
        normalize: intensity normalisation, in training and prediction. What is null by the data is set here, so that
            a run's record names the method.
        target: what the network learns from the cells (group target); without one, classes.
        sampler: training batches (group sampler).
        loss: cost (group loss).
        optimizer: optimiser and learning rate (group optimizer).
        refine: from probabilities to cells, in validation and, unless overridden, in prediction (group refine).
        seed_channel: channel whose nuclei seed the refinement; null for none.
        seeds: how image processing finds the nuclei in that channel.
        nuclei_network: a network that comes with cellflax and finds them instead, such as nuclei; null for none. A
            prediction finds them in the same way, unless it is given others.
        test_time_augmentation: rotations and reflections averaged in prediction (not while training): 1, 4 or 8.
        tune: choose the settings of the refinement on the held-out regions after training, and keep them in the best
            checkpoint, where prediction takes them from. What is null by the data is set here.
        tuner: how they are chosen.
        calibrate: learn from the held-out cells, after training and tuning, how likely a cell is to be right, and keep
            that in the best checkpoint; predict then writes it for every cell. Null does so where `tune` would.
        guide: whether to look at the images with the network after the training, and to write what a person should
            know (guidance.md): doubtful annotations, odd images, the score's uncertainty, remedies. Null does so for
            your own images (data=folder).
        learning_curve: number of trainings of the learning curve, 0 for none: with all images, half of them, a quarter
            and so on. Each has as many steps as the training, and takes as long.
        trainer: training loop.
        logger: metrics and W&B.
        plan: what is not given is planned from the images and labels (`cellflax.planning`); null plans data=folder
            without an experiment.
    """

    name: str = "train"
    run: str = "runs/train"
    seed: int = 0
    start_from: str | None = None
    freeze: list[str] = field(default_factory=list)
    freeze_levels: int = 0
    model: Any = None
    data: Any = None
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    target: Any = None
    sampler: Any = None
    loss: Any = None
    optimizer: Any = None
    refine: Any = None
    seed_channel: str | None = None
    seeds: NucleiSeedsConfig = field(default_factory=NucleiSeedsConfig)
    nuclei_network: str | None = None
    test_time_augmentation: int = 1
    tune: bool | None = None
    tuner: TunerConfig = field(default_factory=TunerConfig)
    calibrate: bool | None = None
    guide: bool | None = None
    learning_curve: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    plan: bool | None = None

    def __post_init__(self):
        if not self.name or "/" in self.name:
            raise UserError(f"name must be a word without slashes, got {self.name!r}")
        check(self, "", within(0, _LARGEST_SEED), "seed")
        check(self, "", at_least(0), "freeze_levels")
        if (self.freeze or self.freeze_levels) and self.start_from is None:
            raise UserError("freeze keeps weights that are known, and none are; add start_from=RUN or leave freeze out")
        check(self, "", TRANSFORM_COUNTS, "test_time_augmentation")
        if self.target is None:  # as in configurations of before
            self.target = ClassesTarget()
        check(self, "", within(0, _MOST_PARTS), "learning_curve")
        if self.learning_curve == 1:
            raise UserError("learning_curve=1 has nothing to compare; take 3 (a quarter, half and all of the images)")
        if self.normalize.intensity is None:
            usual = Intensity.median if self.data is None else self.data.usual_intensity
            self.normalize = replace(self.normalize, intensity=usual)
        if self.trainer.validate_every is None and self.trainer.max_minutes is None:
            self.trainer = replace(self.trainer, validate_every=_USUAL_VALIDATE_EVERY)
        usual = self.data is not None and self.data.usual_tune
        self.tune = usual if self.tune is None else self.tune
        self.calibrate = usual if self.calibrate is None else self.calibrate
