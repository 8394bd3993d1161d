"""Tune the refinement of a checkpoint, and keep the result in its record and beside it."""

import math
import time
from typing import Any

import cellflax
from cellflax.ignored import visible
from cellflax.io import results
from cellflax.io.tables import write_table
from cellflax.labels import label_values
from cellflax.prediction.held_out_maps import HeldOutMaps
from cellflax.progress import say
from cellflax.schemas import kind_of, to_json
from cellflax.training.config import TrainConfig
from cellflax.training.record import add_to_record
from cellflax.training.run_directory import run_of_checkpoint
from cellflax.training.tuner import TunerConfig
from cellflax.tuning.tune import Tuning, tune


def tune_run(maps: HeldOutMaps, config: TrainConfig) -> dict[str, Any]:
    """Tune the best checkpoint of a run that has ended; one that was tuned before stays as it is.

    Args:
        maps: its predictions of the held-out regions, whose validator has the refinement of the training.
        config: configuration of the training.

    Returns:
        As `summarized`.
    """
    if (tuning := maps.model.record.get("tuning")) is not None:
        say(f"the refinement of step {maps.model.step} was tuned before, and stays as it is")
        return summarized(tuning)
    return tune_checkpoint(maps, config.tuner)


def tune_checkpoint(maps: HeldOutMaps, settings: TunerConfig) -> dict[str, Any]:
    """Tune the refinement of a checkpoint, beginning with that of the validator.

    Writes `tuning.csv` to the run directory (of a checkpoint that was copied alone, beside it). The checkpoint's record
    gets `tuning`, which `load_model` reads.

    Args:
        maps: its predictions of the held-out regions, whose validator has the refinement to begin with.
        settings: index, and limits of the search.

    Returns:
        As `summarized`.
    """
    model, validator = maps.model, maps.validator
    config, begin = model.config, time.monotonic()
    found = tune(validator, maps.means, settings, seed=config.seed, max_minutes=config.trainer.max_minutes)
    cells = sum(len(label_values(visible(r.cells, r.ignored))) for r in validator.held_out)
    record = {
        "cellflax": cellflax.__version__,
        "index": settings.index.name,
        "before": found.before,
        "after": found.after,
        "best": found.best,
        "best_gain_error": found.best_error if math.isfinite(found.best_error) else None,
        "regions": len(validator.held_out),
        "cells": cells - found.fragments,
        "fragments": found.fragments,
        "evaluations": found.evaluations,
        "seconds": round(time.monotonic() - begin, 1),
        "test_time_augmentation": maps.transforms,
        "tuner": to_json(settings),
        "start": {"kind": kind_of("refine", found.start), **to_json(found.start)},
        "refine": {"kind": kind_of("refine", found.refine), **to_json(found.refine)},
        "trials": found.trials.astype(object).where(found.trials.notna(), None).to_dict("list"),
    }
    write_table(run_of_checkpoint(model.path) / results.TUNING, found.trials)
    add_to_record(model.path, tuning=record)
    say(_in_one_line(found, record))
    return summarized(record)


def summarized(record: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint's record says of its tuning, without the table of what was tried."""
    return {key: value for key, value in record.items() if key != "trials"}


def _in_one_line(found: Tuning, record: dict[str, Any]) -> str:
    where = f"{record['index']} of {record['cells']} cells in {record['regions']} held-out regions"
    tried = f"{found.evaluations} settings tried"
    if found.fragments:
        where += f", without {found.fragments} specks that hold no nucleus"
    if found.changes:
        changes = " ".join(f"refine.{name}={value}" for name, value in found.changes.items())
        return f"tuned: {where} {found.before:.3f} before, {found.after:.3f} after ({tried}): {changes}"
    if found.best > found.before:
        error = "unknown" if math.isinf(found.best_error) else f"{found.best_error:.3f}"
        why = f"the best gives {found.best:.3f}, a gain that may be chance (its standard error is {error})"
    else:
        why = "none is better"
    return f"tuned: {where} {found.before:.3f}; {why} ({tried}), so the refinement stays as it was"
