"""The report of `evaluate`: single cells and images from worst to best, F-scores, ROC, tables."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pandas as pd

from cellflax.errors import UserError
from cellflax.evaluation.panels import background_of
from cellflax.io import results
from cellflax.io.pair_arrays import SparseReference, read_pair
from cellflax.io.pairs import Pair
from cellflax.metrics.overlap import CellAccuracy, compared_cells
from cellflax.metrics.roc import RocCounts
from cellflax.pictures.overlay import Panel
from cellflax.report.cells import Pick, image_gallery, picked_cells, scored_galleries, scored_panel
from cellflax.report.model import Chart, PlotLine, Report, Table, View
from cellflax.report.origin import facts_of, failed_notices, note_notices, settings_table

_SHOWN = ("jaccard_index", "dice_index", "f1", "mean_average_precision", "panoptic_quality", "sm")


@dataclass
class Evaluated:
    """What an evaluation has found, for its report.

    Attributes:
        metrics: content of `metrics.json`.
        cells: table of the reference cells.
        f_scores: curves of F-scores, as `curve_table`.
        panels: images from the worst to the best.
        crops: reads the surroundings of single cells.
        roc: curves of the pixels by target.
        uncertain: predicted cells with their uncertainty, or None.
    """

    metrics: dict[str, Any]
    cells: pd.DataFrame
    f_scores: pd.DataFrame
    panels: list[Panel]
    crops: Callable[[], list[tuple[Pick, Panel]]]
    roc: Mapping[str, RocCounts] = field(default_factory=dict)
    uncertain: pd.DataFrame | None = None


def cell_crops(
    pairs: Sequence[Pair],
    accuracy: Mapping[str, CellAccuracy],
    *,
    border: int,
    erode_reference: bool,
    sparse: SparseReference,
) -> list[tuple[Pick, Panel]]:
    """The surroundings of the worst, the middle and the best cells; of each image that holds any, it is read again."""
    picks = picked_cells(accuracy)
    found: dict[Pick, Panel] = {}
    for pair in pairs:
        here = [pick for pick in picks if pick.image == pair.name]
        if not here:
            continue
        arrays = read_pair(pair, sparse)
        reference, predicted = compared_cells(
            arrays.reference, arrays.predicted, border=border, erode_reference=erode_reference, ignored=arrays.ignored
        )
        image = None
        if pair.image is not None:
            with suppress(UserError):  # which the overlay reports
                image = background_of(pair.image, pair, arrays.predicted.shape, border)
        for pick in here:
            found[pick] = scored_panel(pick, predicted, reference, image)
    return [(pick, found[pick]) for pick in picks if pick in found]


def evaluation_report(found: Evaluated, settings: Mapping[str, Any]) -> Report:
    """The page of an evaluation.

    Args:
        found: what it has found.
        settings: options of the command.
    """
    metrics = found.metrics
    notices = note_notices(metrics["notes"])
    simulated = True if any(notice.weight.value == "simulated" for notice in notices) else None
    pooled = metrics["pooled"]
    images = f"{metrics['n_images']} image{'s' * (metrics['n_images'] != 1)}"
    return Report(
        command="evaluate",
        title=f"Scores of {settings['predicted']}",
        subtitle=f"{pooled['n_reference']} reference cells and {pooled['n_predicted']} predicted ones in {images}, "
        f"against {settings['reference']}",
        notices=(*notices, *failed_notices(metrics["failed"])),
        headline=tuple((_NAMES[name], "undefined" if (v := pooled[name]) is None else f"{v:.3f}") for name in _SHOWN),
        galleries=(
            *scored_galleries(found.crops()),
            image_gallery(found.panels, "Blue: predicted outlines, orange: reference, white: both."),
        ),
        curves=tuple(_charts(found)),
        tables=tuple(_tables(found, settings)),
        facts=facts_of("evaluate", simulated=simulated, data=[*metrics["inputs"].items()]),
    )


_NAMES = {
    "jaccard_index": "Jaccard index",
    "dice_index": "Dice index",
    "f1": "F1 at IoU 0.5",
    "mean_average_precision": "mean AP",
    "panoptic_quality": "panoptic quality",
    "sm": "SM",
}


def _charts(found: Evaluated) -> list[Chart]:
    curves = [
        PlotLine(str(name), rows["f_score"].to_numpy(), 100 * rows["share"].to_numpy())
        for name, rows in found.f_scores.groupby("reference", sort=False)
    ]
    charts = [
        Chart(
            "F-score",
            "Percentage of the reference cells with an F-score of t or more: the higher to the right, the better.",
            "cells with F ≥ t (%)",
            (View("", "F-score t", tuple(curves)),),
            (0, 100),
        )
    ]
    if found.roc:
        charts.append(roc_chart(found.roc))
    if found.uncertain is not None and len(found.uncertain):
        charts.append(_uncertainty_chart(found.uncertain))
    return charts


def roc_chart(curves: Mapping[str, RocCounts]) -> Chart:
    """ROC curves of pixels by target, with their areas."""
    lines = []
    for target, counts in curves.items():
        points = counts.curve()
        label = f"{target}: AUC {counts.auc:.3f}, ACC {counts.accuracy:.3f}"
        lines.append(PlotLine(label, points["false_positive_rate"].to_numpy(), points["true_positive_rate"].to_numpy()))
    text = "Share of the foreground pixels that are found, over the share of background pixels taken for foreground."
    return Chart("ROC of pixels", text, "true positive rate", (View("", "false positive rate", tuple(lines)),), (0, 1))


def _uncertainty_chart(cells: pd.DataFrame) -> Chart:
    """Mean Jaccard index of the cells in ten equal groups, from the surest on."""
    ordered = cells.sort_values(results.UNCERTAINTY)
    groups = [part for part in _split(ordered, 10) if len(part)]
    x = [float(part[results.UNCERTAINTY].to_numpy().mean()) for part in groups]
    y = [float(part["jaccard"].to_numpy().mean()) for part in groups]
    text = "Mean Jaccard index of the predicted cells in ten groups by their uncertainty: it should fall."
    return Chart("Uncertainty", text, "Jaccard index", (View("", "uncertainty", (PlotLine("", x, y),)),), (0, 1))


def _split(table: pd.DataFrame, parts: int) -> list[pd.DataFrame]:
    bounds = [round(i * len(table) / parts) for i in range(parts + 1)]
    return [table.iloc[a:b] for a, b in pairwise(bounds)]


def _tables(found: Evaluated, settings: Mapping[str, Any]) -> list[Table]:
    images = found.metrics["images"]
    rows = [{"image": name, **metrics} for name, metrics in images.items()]
    if len(rows) > 1:
        rows.insert(0, {"image": "all images", **found.metrics["pooled"]})
    numbers = pd.DataFrame(rows, columns=[name for name, v in rows[0].items() if not isinstance(v, dict | list)])
    counts = found.cells["error_class"].value_counts()
    return [
        Table.of("Images", numbers, "images.csv", whole=results.METRICS),
        Table.of("What became of the reference cells", counts.rename_axis("what").reset_index(), "errors.csv"),
        Table.of(
            "Reference cells, the worst first",
            found.cells.sort_values("jaccard", kind="stable"),
            "cells.csv",
            whole=results.PER_CELL,
        ),
        settings_table(settings),
    ]
