"""Enough images? Trainings with parts of the training images, and what their scores suggest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.atomic import replacing
from cellflax.data.example import Dataset
from cellflax.errors import UserError
from cellflax.guidance.intervals import Interval
from cellflax.io import results
from cellflax.io.tables import read_table, write_table
from cellflax.jsonfile import parse_json, read_json
from cellflax.pictures.learning import learning_figure
from cellflax.pictures.png import save_png
from cellflax.progress import say
from cellflax.training.config import TrainConfig
from cellflax.training.run_directory import holding_run
from cellflax.training.runlog import WandbMode
from cellflax.wholefile import read_utf8

# Trains in a directory with so many of the training images.
TrainPart = Callable[[TrainConfig, Path, int], Any]

_MOST_BYTES = 1 << 28
_VALIDATIONS = 10  # of a training whose number of steps was a matter of time
_HARDLY, _LITTLE = 0.01, 0.03  # gain in F1 by twice the images


@dataclass(frozen=True)
class Point:
    """The held-out scores of a training at its best checkpoint.

    Attributes:
        images: number of training images.
        f1: of the cells matched at IoU 0.5.
        jaccard: mean Jaccard index.
    """

    images: int
    f1: float
    jaccard: float


def part_of(dataset: Dataset, images: int, seed: int) -> Dataset:
    """The data set with so many of its training images; fewer are always among more.

    Args:
        dataset: the whole data set.
        images: number of training images, 1 or more.
        seed: chooses them.
    """
    order = np.random.default_rng(seed).permutation(len(dataset.train)).tolist()
    # An image with cells comes first: without one, nothing could be trained.
    first = next((place for place, index in enumerate(order) if dataset.train[index].annotated_cells.any()), 0)
    order.insert(0, order.pop(first))
    chosen = sorted(order[:images])
    return replace(dataset, train=tuple(dataset.train[index] for index in chosen))


def part_sizes(images: int, parts: int) -> list[int]:
    """Numbers of training images, each about half of the next, up to all; without those that are equal.

    Args:
        images: number of all training images.
        parts: how many numbers there are at most.
    """
    return sorted({max(round(images / 2**halvings), 1) for halvings in range(parts)})


def learning_curve(
    config: TrainConfig, run: Path, images: int, train_part: TrainPart, interval: Interval | None
) -> dict[str, Any]:
    """Train with parts of the training images, each in a directory of its own, and write the scores.

    Validation, steps and seeds are those of the whole training. What was trained is not trained again, so that a curve
    that was interrupted is completed by the same command.

    Args:
        config: configuration of the whole training, which is done.
        run: its directory.
        images: number of all its training images.
        train_part: trains with a number of images.
        interval: F1 of the whole training with its uncertainty, if that is known.

    Returns:
        Points and words, as JSON.

    Raises:
        UserError: if there is one training image only.
    """
    if images < 2:
        raise UserError(
            f"learning_curve={config.learning_curve} trains with parts of the training images, and there is {images}; "
            "add images or leave it out"
        )
    settings, points = _settings_of_parts(config, run), []
    for size in part_sizes(images, config.learning_curve):
        folder = run / results.LEARNING_FOLDER / f"images_{size}"
        if size < images:
            say(f"learning curve: training with {size} of {images} images in {folder}")
            try:
                with holding_run(folder, "train"):
                    train_part(replace(settings, run=str(folder)), folder, size)
            except UserError as error:  # so few images may lack a class
                say(f"learning curve: {size} images cannot be trained with: {error}")
                continue
        points.append(_point(run if size == images else folder, size))
    table = pd.DataFrame([vars(point) for point in points])
    write_table(run / results.LEARNING_TABLE, table)
    with replacing(run / results.LEARNING_FIGURE) as temporary:
        save_png(learning_figure(table), temporary)
    words = curve_words(points, interval)
    say(f"learning curve: {words}")
    return {"points": [vars(point) for point in points], "words": words}


def stored_curve(run: Path, interval: Interval | None) -> dict[str, Any] | None:
    """The curve that a run's `learning_curve.csv` holds, as `learning_curve` returns it; None without one.

    Raises:
        UserError: if the table is damaged.
    """
    path = run / results.LEARNING_TABLE
    if not path.exists():
        return None
    table = read_table(path, {"images": int, "f1": float, "jaccard": float}, "remove it")
    columns = (table[name].tolist() for name in ("images", "f1", "jaccard"))
    points = [Point(*values) for values in zip(*columns, strict=True)]
    return {"points": [vars(point) for point in points], "words": curve_words(points, interval)}


def _settings_of_parts(config: TrainConfig, run: Path) -> TrainConfig:
    """The configuration of the whole training without what would differ with time, or be done again for each part."""
    progress = read_json(run / results.SUMMARY, "train again")["training"]
    trainer = config.trainer
    if trainer.max_minutes is not None:
        # As many steps as the whole training had, whatever time they take.
        done: int = progress["validated_step"] or trainer.steps or 1
        every = min(trainer.validate_every or max(done // _VALIDATIONS, 1), done)
        trainer = replace(trainer, max_minutes=None, steps=done, validate_every=every)
    logger = replace(config.logger, wandb=WandbMode.disabled)
    return replace(config, trainer=trainer, logger=logger, tune=False, calibrate=False, guide=False, learning_curve=0)


def _point(run: Path, images: int) -> Point:
    """The validation of a run's best checkpoint, from its log.

    Raises:
        UserError: if the log does not have it.
    """
    step = read_json(run / results.SUMMARY, "train again")["training"]["best_step"]
    path = run / results.METRICS_LOG
    # The last one at that step: after a time budget, all held-out regions are scored at the end.
    for line in reversed(read_utf8(path, "train again", _MOST_BYTES).splitlines()):
        values = parse_json(line)
        if values.get("step") == step and "validation_f1" in values:
            return Point(images, values["validation_f1"], values["validation_jaccard"])
    raise UserError(f"{path}: has no validation at step {step}; train again")


def curve_words(points: Sequence[Point], interval: Interval | None) -> str:
    """What a learning curve suggests, in a sentence or two.

    Args:
        points: by number of images.
        interval: F1 of the last one with its uncertainty, if that is known.
    """
    if len(points) < 2:
        return "one training only, so that nothing can be said about more images"
    before, last = points[-2:]
    gain = last.f1 - before.f1
    # By twice as many: small numbers of images do not halve exactly.
    doubling = gain / np.log2(last.images / before.images)
    if doubling < _HARDLY:
        advice = "more images of this kind will hardly help"
    elif doubling < _LITTLE:
        advice = "more images of this kind will help little"
    else:
        advice = f"more images will help: annotate about {2 * last.images}"
    words = (
        f"with {last.images} images in place of {before.images}, F1 went from {before.f1:.2f} to {last.f1:.2f} "
        f"({gain:+.2f}): {advice}"
    )
    if interval is not None and interval.low is not None and interval.high is not None:
        half = (interval.high - interval.low) / 2
        if abs(gain) < half:
            words += f". That is within the uncertainty of the held-out score (±{half:.2f}): it may be chance"
    return words
