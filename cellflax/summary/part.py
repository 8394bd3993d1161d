"""Read and check the scores of test parts that `cellflax.evaluation.part_scores` wrote."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.summary.stored import read_object, stored_value


@dataclass(frozen=True)
class PartSummary:
    """Scores of one run's test part.

    Attributes:
        refine: settings of the refinement, in the form of `config.json`.
        pooled: metrics of all images; undefined ones are NaN.
        data_sets: metrics of each data set.
        images: data set and number of reference cells of each image.
    """

    refine: dict[str, Any]
    pooled: dict[str, float]
    data_sets: dict[str, dict[str, float]]
    images: dict[str, tuple[str, int]]


def read_part(directory: Path) -> PartSummary | None:
    """Read the scores of a run; None if it has none.

    Raises:
        UserError: if they are damaged.
    """
    if not (directory / results.TEST_SCORES).exists():
        return None
    content = read_object(directory / results.TEST_SCORES)

    def stored(key: str) -> dict[str, Any]:
        return stored_value(content, key, dict, results.TEST_SCORES)

    return PartSummary(
        refine=stored("settings.refine"),
        pooled=_metrics(stored("pooled")),
        data_sets={name: _metrics(metrics) for name, metrics in stored("data_sets").items()},
        images={name: _origin_and_cells(image) for name, image in stored("images").items()},
    )


def _origin_and_cells(image: Any) -> tuple[str, int]:
    if not isinstance(image, dict):
        raise UserError(f"{results.TEST_SCORES} has an image without metrics: {image!r:.80}")
    return stored_value(image, "data_set", str, results.TEST_SCORES), stored_value(
        image, "n_reference", int, results.TEST_SCORES
    )


def _metrics(stored: Any) -> dict[str, float]:
    if not isinstance(stored, dict) or not all(value is None or _is_number(value) for value in stored.values()):
        raise UserError(f"{results.TEST_SCORES} has metrics that are not numbers: {stored!r:.80}")
    return {name: math.nan if value is None else value for name, value in stored.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
