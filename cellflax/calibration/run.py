"""Calibrate a checkpoint on its held-out cells, and keep the result in its record and beside it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cellflax
from cellflax.atomic import replacing
from cellflax.calibration.judged import JudgedCells, judged_cells
from cellflax.calibration.logistic import cross_fitted, fit_logistic
from cellflax.data.example import Dataset
from cellflax.io import results
from cellflax.io.tables import write_table
from cellflax.metrics.calibration import Reliability, bins_table, reliability
from cellflax.pictures.png import save_png
from cellflax.pictures.reliability import reliability_figure
from cellflax.prediction.calibration import ENTRY, Calibration, refinement
from cellflax.prediction.held_out_maps import HeldOutMaps
from cellflax.prediction.trained import load_model
from cellflax.progress import say
from cellflax.refine import RefineConfig
from cellflax.schemas import to_json
from cellflax.training.record import DIRECTORY, add_to_record

# Of either kind; fewer wrong cells do not say what wrong cells look like.
LEAST_CELLS = 20
_SMALLEST_SPREAD = 1e-9  # of a measurement that is the same in all cells
_CROSS_FITTED = ", cross-fitted"


@dataclass(frozen=True)
class Calibrated:
    """What the held-out cells gave.

    Attributes:
        calibration: what prediction takes.
        cells: the cells it was made from.
        after: by the name of a probability, its reliability, each cell's probability by a fit to other images.
        before: by the name of a probability and of what else could be taken for it, the reliability of that.
    """

    calibration: Calibration
    cells: JudgedCells
    after: dict[str, Reliability]
    before: dict[str, dict[str, Reliability]]


def calibrate_run(maps: HeldOutMaps, dataset: Dataset) -> dict[str, Any]:
    """Calibrate the best checkpoint of a run that has ended; one that was calibrated for its refinement stays as it is.

    Args:
        maps: predictions of the held-out regions.
        dataset: data set of the training, at the network's scale.

    Returns:
        As `calibrate_checkpoint`.
    """
    model = load_model(maps.model.path)  # it may have been tuned since
    entry, how = model.record.get(ENTRY), model.config.refine
    made_for = {"refine": refinement(how), "test_time_augmentation": maps.transforms}
    fitted = None if entry is None else entry.get("fitted")
    if entry is not None and isinstance(fitted, dict) and made_for.items() <= fitted.items():
        say(f"step {model.step} was calibrated before, and stays as it is")
        return _summarized(entry)
    return calibrate_checkpoint(maps, dataset, how)


def calibrate_checkpoint(maps: HeldOutMaps, dataset: Dataset, how: RefineConfig) -> dict[str, Any]:
    """Learn from held-out cells how likely a cell is to be right, and keep that in the checkpoint's record.

    Writes `calibration.csv` and `calibration.png` to the run directory (of a checkpoint that was copied alone, beside
    it).

    Args:
        maps: predictions of the held-out regions.
        dataset: data set of the training, at the network's scale.
        how: from probabilities to cells.

    Returns:
        What the record says, without the numbers of the fit.

    Raises:
        UserError: as `refine`, or if the record cannot be read.
    """
    begin = time.monotonic()
    found = calibrate(maps, dataset, how)
    cells = found.cells
    entry = {
        "cellflax": cellflax.__version__,
        "cells": len(cells.measured),
        "left_out": cells.left_out,
        "regions": cells.regions,
        "images": cells.images,
        "simulated": found.calibration.simulated,
        "seconds": round(time.monotonic() - begin, 1),
        "scores": {
            name: {
                "n_right": int(right.sum()),
                "n_wrong": int((~right).sum()),
                "cross_fitted": found.after[name].to_json() if name in found.after else None,
                "before": {what: score.to_json() for what, score in found.before.get(name, {}).items()},
            }
            for name, right in cells.right.items()
        },
        "missing": found.calibration.missing,
        "fitted": to_json(found.calibration),
    }
    path = maps.model.path
    _write(path.parent.parent if path.parent.name == DIRECTORY else path.parent, found)
    add_to_record(path, **{ENTRY: entry})
    for line in _lines(found):
        say(line)
    return _summarized(entry)


def calibrate(maps: HeldOutMaps, dataset: Dataset, how: RefineConfig) -> Calibrated:
    """As `calibrate_checkpoint`, without files."""
    model = maps.model
    cells = judged_cells(maps, dataset.validation, how)
    features = [str(name) for name, values in cells.measured.items() if values.notna().to_numpy().any()]
    measured = cells.measured.reindex(columns=features)
    known_values = measured.to_numpy(np.float64)
    spread = np.nanstd(known_values, axis=0)
    sizes = [region.pixel_size_um for region in maps.validator.held_out]
    known = sorted(size for size in sizes if size is not None)
    calibration = Calibration(
        refine=how,
        test_time_augmentation=maps.transforms,
        scale=model.config.scale,
        pixel_sizes_um=[known[0], known[-1]] if known and len(known) == len(sizes) else [],
        n_cells=len(measured),
        n_regions=cells.regions,
        simulated=dataset.simulated and dataset.simulated_images is None,
        features=features,
        centre=np.nanmean(known_values, axis=0).tolist(),
        spread=np.where(spread > _SMALLEST_SPREAD, spread, 1.0).tolist(),
    )
    design = calibration.design(measured)
    after, before = {}, {}
    for name, right in cells.right.items():
        if reason := _too_few(right, cells.group, results.RIGHT[name]):
            calibration.missing[name] = reason
            continue
        calibration.weights[name] = fit_logistic(design, right).tolist()
        after[name] = reliability(cross_fitted(design, right, cells.group), right)
        before[name] = {what: reliability(values, right) for what, values in _confidences(measured).items()}
    return Calibrated(calibration, cells, after, before)


def _too_few(right: np.ndarray, group: np.ndarray, iou: float) -> str | None:
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if min(n_right, n_wrong) >= LEAST_CELLS and len(np.unique(group)) > 1:
        return None
    return (
        f"{n_right} held-out cells are right at IoU {iou:g} and {n_wrong} wrong, and {LEAST_CELLS} of each are needed; "
        "hold out more annotated cells"
    )


def _confidences(measured: pd.DataFrame) -> dict[str, np.ndarray]:
    """What is at hand without a calibration, and could be taken for a probability of being right."""
    found = {f"mean probability of {name}": measured[name] for name in ("foreground", "interior")}
    if results.UNCERTAINTY in measured:
        found[f"1 - {results.UNCERTAINTY}"] = 1 - measured[results.UNCERTAINTY]
    return {what: np.clip(values.to_numpy(), 0, 1) for what, values in found.items()}


def _write(run: Path, found: Calibrated) -> None:
    curves = {name + _CROSS_FITTED: score for name, score in found.after.items()}
    if curves:
        write_table(run / results.CALIBRATION_TABLE, bins_table(found.after))
        with replacing(run / results.CALIBRATION_FIGURE) as temporary:
            save_png(reliability_figure(curves), temporary)


def _lines(found: Calibrated) -> list[str]:
    kind = "SIMULATED cells" if found.calibration.simulated else "cells"
    where = f"{kind} in {found.cells.regions} held-out regions"
    lines = []
    for name, score in found.after.items():
        what, best = min(found.before[name].items(), key=lambda each: each[1].expected_calibration_error)
        lines.append(
            f"calibrated: {name} by {score.n} {where}, {score.n_right} of them right; expected calibration error "
            f"{score.expected_calibration_error:.3f} by cross-fitting (chance alone {score.error_by_chance:.3f}, "
            f"{what} {best.expected_calibration_error:.3f})"
        )
    return [*lines, *(f"no {name}: {reason}" for name, reason in found.calibration.missing.items())]


def _summarized(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "fitted"}
