"""Label images against a reference."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cellflax.checks import at_least, check_value
from cellflax.errors import UserError
from cellflax.labels import is_mask, whole_numbers
from cellflax.metrics.score import score_cells, score_table
from cellflax.metrics.table import cell_metrics


@dataclass(frozen=True)
class Scores:
    """How well one label image agrees with a reference.

    Attributes:
        metrics: the metrics of one image in `metrics.json`; see `cellflax.metrics.table.cell_metrics`.
        cells: one row per reference cell, with the columns of `per_cell.csv` except `image`.
    """

    metrics: dict[str, Any]
    cells: pd.DataFrame


def score(
    predicted: np.ndarray,
    reference: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    border: int = 0,
    erode_reference: bool = False,
) -> Scores:
    """Score one label image, as `cellflax.evaluate` does.

    Args:
        predicted: (H, W) labels, 0 = background, or a mask whose connected components are the cells.
        reference: (H, W) labels or mask of the true cells.
        nuclei: (H, W) labels or mask; the Jaccard and Dice index and SM are then over the reference cells that hold a
            nucleus.
        border: pixels cut off each side before anything is compared.
        erode_reference: erode each reference cell by disk(1) first.

    Raises:
        UserError: if an array does not fit, or there is no reference cell.
    """
    check_value("border", border, at_least(0))
    arrays = {"predicted": predicted, "reference": reference} | ({} if nuclei is None else {"nuclei": nuclei})
    given = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in given.items():
        if array.ndim != 2 or array.shape != given["reference"].shape:
            raise UserError(f"{name} must have the shape (H, W) of the same field, got {_shapes(given)}")
    labels = {name: whole_numbers(array, name) for name, array in given.items()}
    scores = score_cells(
        _mask_or_labels(labels["reference"]),
        _mask_or_labels(labels["predicted"]),
        nuclei=labels.get("nuclei"),
        border=border,
        erode_reference=erode_reference,
    )
    if not len(scores.errors):
        raise UserError(f"reference: no cells inside the border of {border} px; is it a label image?")
    if not scores.accuracy.n_cells:
        raise UserError("nuclei: no reference cell holds a nucleus; is it the same field?")
    return Scores(cell_metrics(scores), score_table({"": scores}).drop(columns="image"))


def _mask_or_labels(labels: np.ndarray) -> np.ndarray:
    """A mask as bool: its components are found after the border is cut off."""
    return labels > 0 if is_mask(labels) else labels


def _shapes(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
