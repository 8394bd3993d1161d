"""Score a checkpoint again on the held-out regions of its training.

    cellflax validate checkpoint=RUN test_time_augmentation=8
    cellflax validate -m checkpoint=RUN refine=watershed refine.interior=0.3,0.4,0.5

Use it to choose the refinement and the test-time augmentation without looking at test images.
`-m` tries several values and runs the network once.

`tune=true` chooses the settings of the refinement there, as training does for your own images, and keeps them in the
checkpoint, where `cellflax.predict` takes them from:

    cellflax validate checkpoint=RUN tune=true tuner.index=f1_50

`calibrate=true` learns there how likely a cell is to be right, and keeps that in the checkpoint, so that
`cellflax.predict` writes it for every cell (`probability_iou50`, `probability_iou80`). It holds for the refinement and
the test-time augmentation that are given, or for those of the checkpoint; with `tune=true`, for what was chosen:

    cellflax validate checkpoint=RUN calibrate=true

`part=test` scores the checkpoint on the test part of its training (data.folds, data.test_sets) instead, and replaces
the scores that training wrote to the run directory. Use it for a refinement that was chosen as above.

Every validation writes `report.validate.html` to the run directory: single cells from the worst to the best, scores,
and what the same sweep has tried before.

`guide=true` looks at the images of the training with the network, and writes what a person should know to its run
directory (`guidance.md`): annotations that look wrong, odd images, the uncertainty of the score, remedies.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from cellflax.calibration.run import calibrate_checkpoint
from cellflax.checks import check
from cellflax.config import entry, job_overrides
from cellflax.data.example import Dataset
from cellflax.data.resample import dataset_to_scale
from cellflax.data.with_target import with_target
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.evaluation.part_scores import PartScores
from cellflax.evaluation.test_part import score_test
from cellflax.evaluation.validation_report import part_charts, part_score_tables, validation_report
from cellflax.guidance.guide import guide
from cellflax.io import results
from cellflax.metrics.table import metrics_line
from cellflax.prediction.held_out_maps import HeldOutMaps
from cellflax.prediction.nuclei import nuclei_finder
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.prediction.trained_on import require_same_regions, trained_on
from cellflax.progress import show
from cellflax.refine import RefineConfig
from cellflax.report.held_out import Scored
from cellflax.report.page import save_report
from cellflax.training.composition import check_composition, check_test
from cellflax.training.config import TRANSFORM_COUNTS
from cellflax.training.held_out import Sight, Validator
from cellflax.training.report import scored_region, tuning_table
from cellflax.training.run_directory import holding_run, run_of_checkpoint
from cellflax.training.tuner import TunerConfig
from cellflax.training.weights import find_weights
from cellflax.tuning.run import tune_checkpoint


class Part(Enum):
    """Which of the images that training did not see are scored."""

    validation = "validation"
    test = "test"


@dataclass
class ValidateConfig:
    """Options of `cellflax.validate`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, or one numbered checkpoint.
        step: checkpoint of the run, best, last or a number; not used if `checkpoint` is a numbered one.
        part: which images are scored: validation, to choose settings, or test, for the final scores.
        test_time_augmentation: rotations and reflections averaged, 1, 4 or 8; null takes the checkpoint's.
        refine: from probabilities to cells (group refine); null takes the checkpoint's.
        erode_reference: erode each reference cell by disk(1), as P1's index does; only for part=validation.
        tune: choose the settings of `refine` on the held-out regions and keep them in the checkpoint, in place of those
            that were tuned before; null for `refine` begins with the refinement of the training.
        tuner: how they are chosen.
        calibrate: learn on the held-out regions how likely a cell is to be right, and keep that in the checkpoint, in
            place of what was learnt before.
        guide: also write doubtful annotations, odd images and advice to the run directory; only for part=validation.
    """

    checkpoint: str = ""
    step: str = "best"
    part: Part = Part.validation
    test_time_augmentation: int | None = None
    refine: Any = None
    erode_reference: bool = False
    tune: bool = False
    tuner: TunerConfig = field(default_factory=TunerConfig)
    calibrate: bool = False
    guide: bool = False

    def __post_init__(self):
        check(self, "", TRANSFORM_COUNTS, "test_time_augmentation")
        if self.erode_reference and self.part is Part.test:
            raise UserError("erode_reference=true goes with part=validation; leave it out for part=test")
        if self.tune and self.part is Part.test:
            raise UserError("tune=true chooses settings, and part=test is for final scores; leave out one of them")
        if self.tune and self.erode_reference:
            raise UserError("erode_reference=true has no effect with tune=true; leave out one of them")
        if self.calibrate and self.part is Part.test:
            raise UserError(
                "calibrate=true learns from cells, and part=test is for final scores; leave out one of them"
            )
        if self.calibrate and self.erode_reference:
            raise UserError("erode_reference=true has no effect with calibrate=true; leave out one of them")
        if self.guide and self.part is Part.test:
            raise UserError("guide=true looks at no test image, and goes with part=validation; leave out part=test")


@entry("validate", ValidateConfig)
def main(config: ValidateConfig) -> float:
    """Print the metrics in one line; a sweep gets the mean Jaccard index of the cells."""
    if not config.checkpoint:
        raise UserError("checkpoint is not given; add checkpoint=...")
    if not (config.tune or config.calibrate or config.guide or config.part is Part.test):
        return _validated(config)  # writes no more than a report
    with holding_run(run_of_checkpoint(find_weights(config.checkpoint, config.step)), "validate", "checkpoint"):
        return _validated(config)


def _validated(config: ValidateConfig) -> float:
    if config.part is Part.test:
        tested = score_test_again(config)
        show(f"{config.checkpoint}: {metrics_line(tested)}")
        return tested["jaccard_index"] or 0.0
    if config.tune or config.calibrate:
        tuning, calibration = learn_again(config)
        scores = {} if tuning is None else {f"{tuning['index']}_{when}": tuning[when] for when in ("before", "after")}
        for name, score in ({} if calibration is None else calibration["scores"]).items():
            error = score["cross_fitted"] and score["cross_fitted"]["expected_calibration_error"]
            scores[f"{name}_calibration_error"] = error
        show(f"{config.checkpoint}: {metrics_line(scores)}")
        _, sights = _scores(config)
        _report(config, "tuned" if config.tune else "calibrated", scores, [scored_region(sight) for sight in sights])
        _guide(config)
        return 0.0 if tuning is None else tuning["after"]
    metrics, sights = _scores(config)
    settings = " ".join(override for override in job_overrides() if not override.startswith("checkpoint="))
    show(f"{settings or config.checkpoint}: {metrics_line(metrics)}")
    _report(config, settings, metrics, [scored_region(sight) for sight in sights])
    _guide(config)
    return metrics["jaccard"]


def validate(config: ValidateConfig) -> dict[str, float]:
    """Score the held-out regions that the checkpoint's own configuration defines.

    Returns:
        Metrics by name, as `cellflax.training.held_out.Validator.score`.

    Raises:
        UserError: if the checkpoint cannot be read, or the data it was trained on are not there.
    """
    return _scores(config)[0]


def _scores(config: ValidateConfig) -> tuple[dict[str, float], list[Sight]]:
    """As `validate`, and what the network sees in each region."""
    model, _ = _load(config.checkpoint, config.step)
    refine = config.refine or model.config.refine
    validator = _validator(config.checkpoint, config.step, type(refine))
    validator = replace(validator, refine=refine, erode_reference=config.erode_reference)
    transforms = config.test_time_augmentation or model.config.test_time_augmentation
    return validator.score(_predictions(config.checkpoint, config.step, transforms))


def _report(
    config: ValidateConfig,
    settings: str,
    metrics: Mapping[str, Any],
    scored: Sequence[Scored],
    part: str = "held-out regions",
    scores: PartScores | None = None,
) -> None:
    """Write the report beside that of the training, with what this sweep has tried before."""
    model, _ = _load(config.checkpoint, config.step)
    tried = _tried(config.checkpoint, config.step)
    tried.append((settings, metrics))
    curves, tables = ((), ()) if scores is None else (part_charts(scores), part_score_tables(scores))
    device = set_up_jax(model.config.trainer.precision.name)
    tables = (*tables, *tuning_table(run_of_checkpoint(model.path))) if config.tune else tables
    save_report(
        run_of_checkpoint(model.path) / results.VALIDATION_REPORT,
        lambda: validation_report(model, device, tried, scored, part, curves, tables),
    )


@functools.lru_cache(maxsize=1)
def _tried(checkpoint: str, step: str) -> list[tuple[str, Mapping[str, Any]]]:
    return []


def score_test_again(config: ValidateConfig) -> dict[str, float | int | None]:
    """Score the test part that the checkpoint's own configuration defines, and write that to its run directory.

    Returns:
        Metrics by name, as `cellflax.evaluation.part_scores.PartScores.pooled`.

    Raises:
        UserError: if the checkpoint cannot be read, or the images kept from it for a test are not there.
    """
    model = load_model(config.checkpoint, config.step)
    examples = trained_on(model).test
    kept = model.record["data"].get("test", [])  # older versions had none
    if not kept:
        raise UserError(f"checkpoint {model.path} kept no image for a test; train with data.folds or data.test_sets")
    if [example.name for example in examples] != kept:
        # After a new split, the test part could contain images that it was trained on.
        raise UserError(
            f"checkpoint {model.path} kept {len(kept)} images for a test, and data.root has other images now; restore "
            "those of its training"
        )
    refine = config.refine or model.config.refine
    check_test(replace(model.config, refine=refine), examples)
    transforms = config.test_time_augmentation or model.config.test_time_augmentation
    scores = score_test(model, examples, refine, transforms, run_of_checkpoint(model.path))
    _report(config, "", scores.pooled(), scores.scored, "test images", scores)
    return scores.pooled()


def _guide(config: ValidateConfig) -> None:
    """Write guidance, if it is wanted: with the refinement that was given, unless that was only where tuning began."""
    if config.guide:
        model = load_model(config.checkpoint, config.step)
        given = None if config.tune else config.refine
        guide(model, trained_on(model), given or model.config.refine, run_of_checkpoint(model.path))


def learn_again(config: ValidateConfig) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Choose the settings of a refinement on the held-out regions, calibrate there, and keep both in the checkpoint.

    Returns:
        As `cellflax.tuning.run.summarized` and `cellflax.calibration.run.calibrate_checkpoint`; None for what is not
        wanted.

    Raises:
        UserError: if the checkpoint cannot be read, its held-out regions are not there, or `refine` does not fit it.
    """
    model = load_model(config.checkpoint, config.step)
    usual = model.trained_refine if config.tune else model.config.refine
    settings = replace(model.config, refine=config.refine or usual)
    dataset = with_target(dataset_to_scale(trained_on(model), settings.scale), settings.target)
    require_same_regions(model, dataset)
    check_composition(settings, dataset)
    validator = Validator.of(settings, dataset, model.geometry, nuclei_finder(settings))
    maps = HeldOutMaps(model, validator, config.test_time_augmentation or settings.test_time_augmentation)
    how, tuning, calibration = settings.refine, None, None
    if config.tune:
        tuning = tune_checkpoint(maps, config.tuner)
        how = load_model(model.path).config.refine
    if config.calibrate:
        calibration = calibrate_checkpoint(maps, dataset, how)
    _load.cache_clear()
    _validator.cache_clear()
    return tuning, calibration


# The jobs of a sweep share one process: what does not depend on the settings of the refinement is done once.
@functools.lru_cache(maxsize=1)
def _load(checkpoint: str, step: str) -> tuple[TrainedModel, Dataset]:
    model = load_model(checkpoint, step)
    return model, with_target(dataset_to_scale(trained_on(model), model.config.scale), model.config.target)


@functools.lru_cache(maxsize=1)
def _validator(checkpoint: str, step: str, refine: type[RefineConfig]) -> Validator:
    """The held-out regions, with nuclei if this kind of refinement takes them."""
    model, dataset = _load(checkpoint, step)
    settings = replace(model.config, refine=refine())
    return Validator.of(settings, dataset, model.geometry, nuclei_finder(settings))


@functools.lru_cache(maxsize=1)
def _predictions(checkpoint: str, step: str, transforms: int) -> list[np.ndarray]:
    model, _ = _load(checkpoint, step)
    validator = _validator(checkpoint, step, type(model.config.refine))
    return HeldOutMaps(model, validator, transforms).means


if __name__ == "__main__":
    main()
