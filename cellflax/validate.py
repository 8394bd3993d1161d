"""Score a checkpoint again on the held-out regions of its training: python -m cellflax.validate checkpoint=RUN.

For choosing how to predict without looking at test images: other refinements, other test-time augmentation.
`-m` tries several values and runs the network once:

    python -m cellflax.validate -m checkpoint=RUN refine=watershed refine.interior=0.3,0.4,0.5
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflax.config import entry, job_overrides
from cellflax.data.datasets import load_dataset
from cellflax.data.resample import dataset_to_scale
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.losses import activation_of
from cellflax.trained import TrainedModel, load_model
from cellflax.training_config import check_transforms
from cellflax.validation import HeldOut, Validator, held_out_regions


@dataclass
class ValidateConfig:
    """Options of `cellflax.validate`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, or one numbered checkpoint.
        step: best, last or a number, where `checkpoint` leaves it open.
        test_time_augmentation: rotations and reflections averaged, 1, 4 or 8; null takes the checkpoint's.
        refine: from probabilities to cells (group refine); null takes the checkpoint's.
    """

    checkpoint: str = ""
    step: str = "best"
    test_time_augmentation: int | None = None
    refine: Any = None

    def __post_init__(self):
        if self.test_time_augmentation is not None:
            check_transforms(self.test_time_augmentation)


@entry("validate", ValidateConfig)
def main(config: ValidateConfig) -> float:
    """Print the metrics in one line; a sweep gets the mean Jaccard index of the cells."""
    metrics = validate(config)
    settings = [override for override in job_overrides() if not override.startswith("checkpoint=")]
    values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    print(f"{' '.join(settings) or config.checkpoint}: {values}", flush=True)
    return metrics["jaccard"]


def validate(config: ValidateConfig) -> dict[str, float]:
    """Score the held-out regions that the checkpoint's own configuration defines.

    Returns:
        Metrics by name, as `cellflax.validation.Validator.score`.

    Raises:
        UserError: if the checkpoint cannot be read, or the data it was trained on are not there.
    """
    if not config.checkpoint:
        raise UserError("checkpoint is not given; add checkpoint=...")
    model, regions = _load(config.checkpoint, config.step)
    refine = config.refine or model.config.refine
    validator = _validator(model, regions, refine)
    transforms = config.test_time_augmentation or model.config.test_time_augmentation
    metrics, _ = validator.score(_predictions(config.checkpoint, config.step, transforms))
    return metrics


# The jobs of a sweep share one process: what does not depend on the refinement is done once.
@functools.lru_cache(maxsize=1)
def _load(checkpoint: str, step: str) -> tuple[TrainedModel, tuple[HeldOut, ...]]:
    model = load_model(checkpoint, step)
    set_up_jax(model.config.trainer.precision.name)
    if model.config.data is None:
        raise UserError(f"checkpoint {model.path} does not say what it was trained on, so nothing was held out")
    dataset = dataset_to_scale(load_dataset(model.config.data), model.config.scale)
    if dataset.simulated != model.simulated:
        raise UserError(
            f"checkpoint {model.path} was trained on {model.record['data']['source']}, but there is only "
            f"{dataset.source}; set CELLFLAX_DATA to the data it was trained on"
        )
    regions = held_out_regions(
        model.config,
        dataset,
        receptive_field=model.receptive_field,
        border=model.border,
        multiple=model.multiple,
    )
    return model, regions


@functools.lru_cache(maxsize=1)
def _predictions(checkpoint: str, step: str, transforms: int) -> list[np.ndarray]:
    model, regions = _load(checkpoint, step)
    validator = _validator(model, regions, model.config.refine)
    members = validator.predict(model.probabilities, transforms)
    return [np.mean(np.split(each, model.members, axis=-1), axis=0) for each in members]


def _validator(model: TrainedModel, regions: tuple[HeldOut, ...], refine: Any) -> Validator:
    return Validator(
        held_out=regions,
        channels=model.channels,
        class_names=model.class_names,
        activation=activation_of(model.config.loss),
        refine=refine,
        balance=model.config.sampler.balance,
        border=model.border,
        multiple=model.multiple,
    )


if __name__ == "__main__":
    main()
