"""Are cells as often right as their probabilities say? Scored where `cells.csv` beside the labels has such columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.evaluation.uncertainty import judged_table, right_column
from cellflax.io import results
from cellflax.io.pairs import Pair
from cellflax.io.tables import write_table
from cellflax.metrics.calibration import Reliability, bins_table, reliability
from cellflax.metrics.score import CellScores
from cellflax.pictures.png import save_png
from cellflax.pictures.reliability import reliability_figure


def score_probabilities(
    pairs: Sequence[Pair], scores: Mapping[str, CellScores], output: Path
) -> tuple[dict[str, Any], list[str]]:
    """Score the columns `probability_iou50` and `probability_iou80`, and write `reliability.csv` and `reliability.png`.

    Cells without a probability (of images with other pixels than the calibration's) do not count.

    Returns:
        For JSON, `calibration`: by the name of the column, as `metrics.calibration.Reliability.to_json` and
        `n_without`, the number of cells without one. Empty where the predictions have no such column, and then nothing
        is written. And notes.
    """
    table, notes = judged_table(pairs, scores, list(results.RIGHT))
    if table is None:
        return {}, notes
    found: dict[str, Reliability] = {}
    without: dict[str, int] = {}
    for name, iou in results.RIGHT.items():
        if name not in table:
            continue
        probability, right = table[name].to_numpy(np.float64), table[right_column(iou)].to_numpy(bool)
        known = ~np.isnan(probability)
        without[name] = int((~known).sum())
        if not ((probability[known] >= 0) & (probability[known] <= 1)).all():
            notes.append(f"{name} not scored: it has values outside of 0 ... 1")
        elif known.any():
            found[name] = reliability(probability[known], right[known])
    if not found:
        return {}, notes
    write_table(output / results.RELIABILITY_TABLE, bins_table(found))
    save_png(reliability_figure(found), output / results.RELIABILITY_FIGURE)
    return {"calibration": {n: score.to_json() | {"n_without": without[n]} for n, score in found.items()}}, notes


def calibration_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Lines for the screen about what `metrics.json` says of probabilities."""
    return [
        f"{name}: {score['n_right']} of {score['n_cells']} cells are right, expected calibration error "
        f"{score['expected_calibration_error']:.3f} (by chance {score['error_by_chance']:.3f})"
        for name, score in metrics.get("calibration", {}).items()
    ]
