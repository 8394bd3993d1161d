"""The report of `validate`, and what a test part adds to that of `train`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cellflax.evaluation.part_scores import PartScores
from cellflax.evaluation.report import roc_chart
from cellflax.io import results
from cellflax.prediction.trained import TrainedModel
from cellflax.report.held_out import Scored, crops_of
from cellflax.report.model import Chart, Report, Table
from cellflax.report.origin import SIMULATED, facts_of

_NO_HEADLINE = ("images", "n_reference", "n_predicted")
_MOST_NUMBERS = 6


def validation_report(
    model: TrainedModel,
    device: str,
    tried: Sequence[tuple[str, Mapping[str, Any]]],
    scored: Sequence[Scored],
    part: str,
    curves: Sequence[Chart] = (),
    tables: Sequence[Table] = (),
) -> Report:
    """The page of a validation.

    Args:
        model: the checkpoint.
        device: hardware and precision.
        tried: settings and metrics, the last of this job, those before of the same sweep.
        scored: regions or images with their cells.
        part: "held-out regions" or "test images".
        curves: charts.
        tables: tables besides the scores.
    """
    settings, metrics = tried[-1]
    numbers = [(name, v) for name, v in metrics.items() if isinstance(v, float) and name not in _NO_HEADLINE]
    rows = [{"settings": words or "as in the checkpoint", **values} for words, values in tried]
    data = model.record["data"]
    return Report(
        command="validate",
        title=f"Step {model.step} of {model.config.name}",
        subtitle=f"Scores of {len(scored)} {part}, with {settings or 'the settings of the checkpoint'}",
        notices=(SIMULATED,) if model.simulated else (),
        headline=tuple((name.replace("_", " "), f"{value:.3f}") for name, value in numbers[:_MOST_NUMBERS]),
        galleries=tuple(crops_of(scored).galleries("annotated")) if scored else (),
        curves=tuple(curves),
        tables=(Table.of("Scores", pd.DataFrame(rows), "scores.csv"), *tables),
        facts=facts_of(
            "validate",
            simulated=model.simulated,
            device=device,
            data=[("data", data["source"]), ("checkpoint", model.path), ("step", model.step)],
        ),
    )


def part_charts(scores: PartScores) -> tuple[Chart, ...]:
    """ROC curves of the pixels of a test part."""
    curves = {f"test {target}": counts for target, counts in scores.roc().items() if counts.is_defined}
    return (roc_chart(curves),) if curves else ()


def part_score_tables(scores: PartScores) -> tuple[Table, ...]:
    """Scores of a test part, of its data sets and of its images."""
    summary = scores.summary()
    sets = [{"data set": "all test images", **summary["pooled"]}]
    if len(summary["data_sets"]) > 1:
        sets += [{"data set": name, **metrics} for name, metrics in summary["data_sets"].items()]
    images = [{"image": name, **metrics} for name, metrics in summary["images"].items()]
    return (
        Table.of("Test part", pd.DataFrame(sets), "test.csv"),
        Table.of("Test images", pd.DataFrame(images), "test_images.csv", whole=results.TEST_SCORES),
    )
