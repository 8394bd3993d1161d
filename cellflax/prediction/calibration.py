"""Probabilities that a cell is right, by the calibration in a checkpoint's record; `cellflax.calibration` makes it.

A calibration holds for cells that come about as those did that it was made from: by the same refinement, as many
rotations and reflections, and pixels of the same size. Otherwise there are no probabilities, and one line says why.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from cellflax.data.resample import ScaleConfig
from cellflax.errors import UserError
from cellflax.inference.settings import Inference, Tiling
from cellflax.io.results import RIGHT
from cellflax.jsonfile import differences
from cellflax.prediction.trained import TrainedModel
from cellflax.refine import RefineConfig
from cellflax.schemas import from_json, kind_of, to_json

ENTRY = "calibration"  # of a checkpoint's record
# The square of these counts, too: cells that are too small or too large are likely to be wrong.
_SQUARED = ("log_area",)
_FARTHEST = 4.0  # standard deviations: beyond what was seen, nothing is extrapolated
_PIXEL_SIZE_FACTOR = 1.1  # as `prediction.unlike` has it


@dataclass
class Calibration:
    """Logistic regression on measurements of cells (`measure.sureness`), as a checkpoint's record holds it in numbers.

    Attributes:
        refine: the refinement that found the cells it was made from.
        test_time_augmentation: rotations and reflections averaged for them.
        scale: what came before the network.
        pixel_sizes_um: smallest and largest pixel of the network's images, where all are known; else empty.
        n_cells: number of cells it was made from.
        n_regions: number of held-out regions they were in.
        simulated: whether these are simulated.
        features: names of the measurements.
        centre: mean of each.
        spread: standard deviation of each.
        weights: by the name of the probability (`io.results.RIGHT`): the intercept, the weight of each measurement in
            standard deviations, and the weights of the squares.
        missing: by the name of each other probability, why there is none.
    """

    refine: Any
    test_time_augmentation: int
    scale: ScaleConfig
    pixel_sizes_um: list[float]
    n_cells: int
    n_regions: int
    simulated: bool
    features: list[str]
    centre: list[float]
    spread: list[float]
    weights: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        n = len(self.features)
        squares = sum(name in _SQUARED for name in self.features)
        numbers = [*self.centre, *self.spread, *self.pixel_sizes_um, *(w for ws in self.weights.values() for w in ws)]
        fits = len(self.centre) == len(self.spread) == n and len(self.pixel_sizes_um) in (0, 2)
        fits = fits and all(len(weights) == 1 + n + squares for weights in self.weights.values())
        if not fits or not all(map(math.isfinite, numbers)) or not all(value > 0 for value in self.spread):
            raise UserError("its numbers do not fit each other")
        if not set(RIGHT) >= {*self.weights, *self.missing}:
            raise UserError(f"it has other probabilities than {', '.join(RIGHT)}")

    def design(self, measured: pd.DataFrame) -> np.ndarray:
        """What the weights are multiplied with, (N, F): 1, the measurements in standard deviations, and squares.

        Args:
            measured: N rows with the columns `features`; what is not known (NaN) counts as the mean.
        """
        values = measured.reindex(columns=self.features).to_numpy(np.float64)
        z = np.clip(np.nan_to_num((values - self.centre) / self.spread), -_FARTHEST, _FARTHEST)
        squares = [z[:, [i]] ** 2 for i, name in enumerate(self.features) if name in _SQUARED]
        return np.concatenate([np.ones((len(z), 1)), z, *squares], axis=1)

    def probabilities(self, measured: pd.DataFrame, pixel_size_um: float | None = None) -> pd.DataFrame:
        """Probability of being right for each cell; a higher IoU is never more likely than a lower one.

        Args:
            measured: N rows, as from `measure.sureness`.
            pixel_size_um: edge of a pixel of the image that the network saw, if known.

        Returns:
            N rows with the names of `weights` as columns; NaN in all of them for other pixels than it was made from.
        """
        design, found = self.design(measured), {}
        for name in RIGHT:  # from the lower IoU to the higher
            if name in self.weights:
                found[name] = np.min([expit(design @ np.array(self.weights[name])), *found.values()], axis=0)
        table = pd.DataFrame(found, index=measured.index)
        return table if self.fits_pixels(pixel_size_um) else table * np.nan

    def fits_pixels(self, pixel_size_um: float | None) -> bool:
        """Whether pixels are as large as those it was made from, as far as that is known."""
        if pixel_size_um is None or not self.pixel_sizes_um:
            return True
        low, high = self.pixel_sizes_um
        return low / _PIXEL_SIZE_FACTOR <= pixel_size_um <= high * _PIXEL_SIZE_FACTOR


@dataclass(frozen=True)
class Sureness:
    """Whether a prediction comes with probabilities of being right.

    Attributes:
        calibration: what gives them; None if there are none.
        remarks: lines for a person: what they rest on, or why there are none.
    """

    calibration: Calibration | None
    remarks: tuple[str, ...]


def sureness_of(model: TrainedModel, how: RefineConfig, inference: Inference, nuclei: str | None) -> Sureness:
    """The calibration of a checkpoint, if it fits the settings of a prediction.

    Args:
        model: the checkpoint.
        how: from probabilities to cells.
        inference: tiles and transforms.
        nuclei: the setting by which other nuclei than those of the training seed the cells, if one does.

    Raises:
        UserError: if the checkpoint's record is damaged.
    """
    entry = model.record.get(ENTRY)
    if entry is None:
        return Sureness(None, ())
    calibration = read_calibration(model)
    lines = [f"no {name}: {reason}" for name, reason in calibration.missing.items()]
    if not calibration.weights:
        return Sureness(None, tuple(lines))
    names = " and ".join(calibration.weights)
    if reason := _other_settings(calibration, model, how, inference) or nuclei:
        return Sureness(None, (f"no {names}: {reason}",))
    cells = f"{'SIMULATED ' * calibration.simulated}cells in {calibration.n_regions} held-out regions"
    return Sureness(calibration, (f"{names}: calibrated on {calibration.n_cells} {cells}", *lines))


def read_calibration(model: TrainedModel) -> Calibration:
    """The calibration in the record of a checkpoint that has one.

    Raises:
        UserError: naming the checkpoint, if the record is damaged.
    """
    try:
        return from_json(Calibration, model.record[ENTRY].get("fitted"))
    except UserError as error:
        raise UserError(
            f"checkpoint {model.path} is damaged: the record of its calibration: {error}; copy it again, or make "
            "another by cellflax validate calibrate=true"
        ) from error


def _other_settings(
    calibration: Calibration, model: TrainedModel, how: RefineConfig, inference: Inference
) -> str | None:
    """In what a prediction differs from what the calibration was made from."""
    then = {
        "refine": refinement(calibration.refine),
        "test_time_augmentation": calibration.test_time_augmentation,
        "scale": to_json(calibration.scale),
        "tiling": Tiling.seamless.name,
    }
    now = {
        "refine": refinement(how),
        "test_time_augmentation": inference.transforms,
        "scale": to_json(model.config.scale),
        "tiling": inference.tiling.name,
    }
    changes = [f"{key.removesuffix('.kind')}={old}, not {new}" for key, (old, new) in differences(then, now).items()]
    if not changes:
        return None
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"they were calibrated for {changes[0]}{more}; cellflax validate calibrate=true calibrates anew"


def refinement(how: RefineConfig) -> dict[str, Any]:
    """A refinement with its kind, as JSON."""
    return {"kind": kind_of("refine", how), **to_json(how)}
