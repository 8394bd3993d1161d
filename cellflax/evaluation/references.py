"""Further references of `evaluate`, such as a manual beside an automatic one: F-scores of the same predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.io.failures import Failures
from cellflax.io.name_matching import common_of
from cellflax.io.pair_arrays import WHOLE, SparseReference, read_pair
from cellflax.io.pairs import Pair, PairBy, some_partners
from cellflax.metrics.f_score import f_scores
from cellflax.metrics.overlap import compare_cells
from cellflax.metrics.table import f_score_summary

MAIN = "reference"  # name of the main reference in tables and figures


def check_names(references: Mapping[str, str]) -> None:
    """Refuse names that a table or figure could not distinguish.

    Raises:
        UserError: if a reference is called like the main one, or has no files.
    """
    for name, text in references.items():
        if name == MAIN:
            raise UserError(f"references.{MAIN}: this name stands for reference=...; choose another")
        if not text:
            raise UserError(f"references.{name} is not given; add +references.{name}=FILE, DIRECTORY or 'PATTERN'")


def scores_against(
    name: str,
    text: str,
    pairs: Sequence[Pair],
    failures: Failures,
    *,
    border: int,
    erode_reference: bool,
    pair_by: PairBy = PairBy.names,
    sparse: SparseReference = WHOLE,
) -> dict[str, np.ndarray]:
    """F-scores of each image's reference cells against a further reference, by the name of the pair.

    The reference may hold fewer images than were predicted, as a manual one often does, but at least one. Its files
    without a prediction are left out. A single file for a single prediction may have any name.

    Args:
        name: the reference's name.
        text: its label images, FILE | DIR | GLOB.
        pairs: predictions, with their main reference.
        failures: where images are noted whose file of this reference cannot be used.
        border: pixels cut off each side.
        erode_reference: erode each reference cell by disk(1).
        pair_by: whether its files belong to the predictions by name or by order.
        sparse: what of the references is not annotated.

    Raises:
        UserError: if no image belongs to a prediction, or none holds a cell.
    """
    option = f"references.{name}"
    stems = {pair.name: pair.name if pair.frame is None else common_of(pair.predicted) for pair in pairs}
    files = some_partners(option, text, {stems[pair.name]: pair.predicted for pair in pairs}, pair_by)
    scores = {}
    for pair in pairs:
        if stems[pair.name] in files:
            with failures.of(f"{pair.name} in {option}"):
                arrays = read_pair(replace(pair, reference=files[stems[pair.name]], nuclei=None), sparse)
                overlaps = compare_cells(
                    arrays.reference,
                    arrays.predicted,
                    border=border,
                    erode_reference=erode_reference,
                    ignored=arrays.ignored,
                )
                scores[pair.name] = f_scores(overlaps[0])[1]
    if not scores:
        for reason in failures.reasons.values():
            raise UserError(reason)
        raise UserError(f"{option}={text}: has no file named {pairs[0].name} or like any other prediction; rename them")
    if not any(map(len, scores.values())):
        raise UserError(f"{option}={text}: no cells inside the border of {border} px; are they label images?")
    return scores


def reference_summary(images: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """F-scores of all cells and of each image's, for JSON."""
    pooled = np.concatenate(list(images.values()))
    return {
        "n_images": len(images),
        "n_reference": len(pooled),
        **f_score_summary(pooled),
        "images": {name: f_score_summary(f_score) for name, f_score in images.items()},
    }
