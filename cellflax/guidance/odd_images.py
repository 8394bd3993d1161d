"""Images that are unlike the rest of a training set, and in what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.data.example import Example
from cellflax.measure.appearance import appearance_of, equivalent_diameters

LEAST_IMAGES = 5  # fewer have no rest to be unlike to
_OUTLIER = 5.0  # robust standard deviations
_NORMAL_MAD = 1.4826  # standard deviation of a normal distribution whose median absolute deviation is 1
SCORE, CELLS, DIAMETER, DENSITY = "f1", "cells", "diameter_px", "cells_per_megapixel"
_STATISTICS = ("low", "middle", "high", "level", "contrast_to_noise", "sharpness")


@dataclass(frozen=True)
class _Measure:
    """A way in which images may differ.

    Attributes:
        values: of each image, NaN where it is unknown; logarithms of what varies by factors.
        floor: the least standard deviation: smaller differences are normal.
        higher: what an image with a high value is; None if that is no fault.
        lower: what an image with a low value is.
        shown: the values as they are printed.
    """

    values: np.ndarray
    floor: float
    higher: str | None
    lower: str
    shown: np.ndarray


@dataclass(frozen=True)
class Difference:
    """In what an image is unlike the rest.

    Attributes:
        image: its name.
        words: what it is: "blurred (sharpness of phase 0.41, usually 0.62)".
        deviation: robust standard deviations from the median of all images.
    """

    image: str
    words: str
    deviation: float


def image_statistics(examples: Sequence[Example], channels: Sequence[str], scores: dict[str, float]) -> pd.DataFrame:
    """One row per image: its score, its cells and how each channel looks.

    Args:
        examples: images with annotations.
        channels: names of their channels.
        scores: F1 of the images that were segmented.
    """
    rows = []
    for example in examples:
        sizes = equivalent_diameters(example.annotated_cells)
        known = example.cells.size if example.ignored is None else int((example.ignored == 0).sum())
        row = {
            "image": example.name,
            SCORE: scores.get(example.name, np.nan),
            CELLS: len(sizes),
            DIAMETER: float(np.median(sizes)) if len(sizes) else np.nan,
            DENSITY: 1e6 * len(sizes) / known if known else np.nan,
        }
        for index, name in enumerate(channels):
            look = appearance_of(example.image[..., index])
            for key in _STATISTICS:
                value = getattr(look, key)
                row[f"{key}_{name}"] = np.nan if value is None else value
        rows.append(row)
    return pd.DataFrame(rows)


def differences_of(table: pd.DataFrame, channels: Sequence[str]) -> list[Difference]:
    """In what images are unlike the rest, by robust z-scores (median and median absolute deviation); the largest first.

    Args:
        table: as from `image_statistics`.
        channels: names of the channels.
    """
    found = []
    for name, measure in _measures(table, channels).items():
        known = np.isfinite(measure.values)
        if known.sum() < LEAST_IMAGES:
            continue
        middle = np.median(measure.values[known])
        width = max(_NORMAL_MAD * np.median(np.abs(measure.values[known] - middle)), measure.floor)
        usual = np.median(measure.shown[known])
        for index in np.flatnonzero(known).tolist():
            deviation = float((measure.values[index] - middle) / width)
            what = measure.higher if deviation > 0 else measure.lower
            if abs(deviation) >= _OUTLIER and what is not None:
                words = f"{what} ({name} {measure.shown[index]:.3g}, usually {usual:.3g})"
                found.append(Difference(str(table["image"].iloc[index]), words, deviation))
    return sorted(found, key=lambda difference: -abs(difference.deviation))


def _measures(table: pd.DataFrame, channels: Sequence[str]) -> dict[str, _Measure]:
    def column(name: str) -> np.ndarray:
        return table[name].to_numpy(np.float64)

    measures = {
        "F1": _Measure(column(SCORE), 0.04, None, "segmented worse", column(SCORE)),
        "median diameter in px": _by_factor(column(DIAMETER), 0.1, "of larger cells", "of smaller cells"),
        "cells per million pixels": _by_factor(column(DENSITY), 0.3, "denser", "sparser"),
    }
    for name in channels:
        low, middle, high = (column(f"{key}_{name}") for key in ("low", "middle", "high"))
        span = high - low
        unit = float(np.median(span)) or 1.0
        measures |= {
            f"median of {name}": _Measure(middle / unit, 0.1, "brighter", "darker", middle),
            f"contrast of {name}": _by_factor(span, 0.1, "of higher contrast", "of lower contrast"),
            f"median of {name} within its range": _Measure(
                column(f"level_{name}"), 0.05, "of brighter background", "of darker background", column(f"level_{name}")
            ),
            f"contrast to noise of {name}": _by_factor(column(f"contrast_to_noise_{name}"), 0.15, None, "noisier"),
            f"sharpness of {name}": _by_factor(column(f"sharpness_{name}"), 0.05, "sharper", "blurred"),
        }
    return measures


def _by_factor(values: np.ndarray, floor: float, higher: str | None, lower: str) -> _Measure:
    """A measure that varies by factors: its logarithm is compared."""
    logarithm = np.log(values, out=np.full(values.shape, np.nan), where=values > 0)
    return _Measure(logarithm, floor, higher, lower, values)
