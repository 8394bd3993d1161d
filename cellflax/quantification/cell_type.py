"""Accuracy of predicted cell types against marker channels, and the histogram of their scores (P1, Fig 5c)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.failures import Failures
from cellflax.io.images import ImageFiles, as_grey, grey_hint, read_channels
from cellflax.io.pairs import PairBy, partners
from cellflax.io.predictions import Prediction
from cellflax.io.tables import write_table
from cellflax.labels import label_values, majority_owners
from cellflax.measure.markers import NO_MARKER, SEVERAL_MARKERS, MarkerConfig, marker_brightness, marker_types
from cellflax.pictures.histograms import score_histogram
from cellflax.progress import each
from cellflax.quantification.report import Shown

NO_NUCLEUS = "no_nucleus"


@dataclass
class CellTypeConfig(MarkerConfig):
    """Settings of method=cell_type.

    Attributes:
        markers: for each cell type, images of the marker in its nuclei, FILE | DIR | GLOB.
    """

    markers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Field:
    """One image: its rows of `cell_types.csv`, and how many nuclei it has in cells and outside."""

    table: pd.DataFrame
    n_nuclei: int
    n_nuclei_without_cell: int


def quantify_cell_types(
    config: CellTypeConfig,
    predictions: dict[str, Prediction],
    read_nuclei: Callable[[str], np.ndarray],
    failures: Failures,
    shown: Shown,
    pair: PairBy = PairBy.names,
) -> dict[str, Any]:
    """Compare the predicted type of every cell with that of the marker in its nucleus.

    Writes `cell_types.csv`, one row per cell, and `scores.png`. The reference type of a cell is a type,
    "no_marker" or "several_markers" if the markers are not clear, or "no_nucleus". If a cell has several nuclei, the
    one that fills most of it counts.

    Args:
        config: the markers and how they are judged.
        predictions: by stem.
        read_nuclei: labels of an image's nuclei by its stem.
        failures: where images are noted that cannot be used.
        shown: takes figures and tables, and says where to write.
        pair: whether markers belong to images by name or by order.

    Returns:
        Metrics of all images together (`pooled`) and of each.

    Raises:
        UserError: if the predictions have no types, a marker is missing or does not fit, or no nucleus of a
            cell shows a marker.
    """
    types = _predicted_types(predictions)
    files = _marker_files(config, types, predictions, pair)
    fields = {}
    for stem, prediction in each(predictions.items(), lambda item: item[1].name):
        markers = {name: files[name][stem] for name in types}
        with failures.of(prediction.name):
            fields[prediction.name] = _measure(config, prediction, read_nuclei(stem), markers)
    failures.require_some(len(fields))
    pooled = _pool(fields)
    _require_reference(pooled, types)
    table = pd.concat([item.table.assign(**{results.IMAGE: name}) for name, item in fields.items()], ignore_index=True)
    table.insert(0, results.IMAGE, table.pop(results.IMAGE))
    write_table(shown.output / results.CELL_TYPES, table)
    shown.tables.append((results.CELL_TYPES, table))
    panels = types[:1] if len(types) == 2 else types  # two scores sum to 1: one is enough
    text = "Numbers of cells by the score of their type, for each type that the markers show."
    shown.save(score_histogram(_scores(table, types), panels), results.SCORES_FIGURE, "Scores of cell types", text)
    return {
        "n_images": len(fields),
        "pooled": _summary(pooled, types),
        "images": {name: _summary(item, types) for name, item in fields.items()},
    }


def _predicted_types(predictions: dict[str, Prediction]) -> list[str]:
    """Types that all predictions score."""
    types: list[str] | None = None
    for prediction in predictions.values():
        found = [
            name.removeprefix(results.SCORE_PREFIX)
            for name in prediction.cells
            if name.startswith(results.SCORE_PREFIX)
        ]
        path = prediction.file.parent / results.CELLS
        if len(found) < 2 or results.CELL_TYPE not in prediction.cells:
            raise UserError(
                f"{path}: has no {results.CELL_TYPE} and {results.SCORE_PREFIX}... columns: the network has a single "
                "cell type"
            )
        if types is not None and found != types:
            raise UserError(f"{path}: scores {', '.join(found)}, others {', '.join(types)}; quantify them separately")
        types = found
    assert types is not None, "there is at least one prediction"
    return types


def _marker_files(
    config: CellTypeConfig, types: list[str], predictions: dict[str, Prediction], pair: PairBy
) -> dict[str, dict[str, Path]]:
    """Marker image by type and stem."""
    for name in types:
        if name not in config.markers:
            raise UserError(f"no marker for the cell type {name}; add +cell_type.markers.{name}=FILE|DIR|GLOB")
    for name in config.markers:
        if name not in types:
            raise UserError(f"cell_type.markers.{name}: no such predicted type; there are {', '.join(types)}")
    labels = {stem: prediction.file for stem, prediction in predictions.items()}
    return {name: partners(f"cell_type.markers.{name}", config.markers[name], labels, pair) for name in types}


def _measure(config: CellTypeConfig, prediction: Prediction, nuclei: np.ndarray, markers: dict[str, Path]) -> _Field:
    labels = prediction.read_labels()
    if nuclei.shape != labels.shape:
        raise UserError(f"{prediction.file}: {labels.shape}, but its nuclei are {nuclei.shape}; give the same field")
    nucleus, cell_of_nucleus = majority_owners(labels, nuclei)
    brightness, snr = {}, {}
    for name, file in markers.items():
        brightness[name], noise = marker_brightness(_read_marker(file, labels.shape), nuclei, config)
        snr[name] = brightness[name] / noise
    has_nucleus = nucleus > 0
    row = np.searchsorted(label_values(nuclei), nucleus[has_nucleus])
    reference = np.full(len(nucleus), NO_NUCLEUS, dtype=object)
    reference[has_nucleus] = marker_types(snr, config)[row]
    cells = prediction.cells.sort_values(results.LABEL, ignore_index=True)
    columns = {
        name: cells[name]
        for name in (results.LABEL, results.CELL_TYPE, *(results.SCORE_PREFIX + name for name in markers))
    }
    columns["nucleus"] = nucleus
    for name, values in brightness.items():
        intensity = np.full(len(nucleus), np.nan)
        intensity[has_nucleus] = values[row]
        columns[f"marker_intensity_{name}"] = intensity
    columns["reference_type"] = reference
    return _Field(pd.DataFrame(columns), len(cell_of_nucleus), int(np.sum(cell_of_nucleus == 0)))


def _read_marker(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    image = as_grey(read_channels(ImageFiles(file.stem, (file,))))
    pixels = image.pixels
    if pixels.shape != (*shape, 1):
        raise UserError(
            f"{file}: shape {pixels.shape} differs from {(*shape, 1)} of the cells; give one channel of the same field"
            f"{grey_hint(image)}"
        )
    return pixels[..., 0]


def _pool(fields: dict[str, _Field]) -> _Field:
    return _Field(
        pd.concat([item.table for item in fields.values()], ignore_index=True),
        sum(item.n_nuclei for item in fields.values()),
        sum(item.n_nuclei_without_cell for item in fields.values()),
    )


def _require_reference(pooled: _Field, types: list[str]) -> None:
    if not pooled.n_nuclei:
        raise UserError("there is no nucleus in any image; check nuclear=..., or lower seeds.min_contrast")
    if pooled.n_nuclei == pooled.n_nuclei_without_cell:
        raise UserError(f"none of the {pooled.n_nuclei} nuclei lies in a cell; are they of the same field?")
    if not np.isin(pooled.table["reference_type"].to_numpy(), types).any():
        raise UserError("no cell's nucleus shows only one marker; check cell_type.markers, or lower cell_type.min_snr")


def _summary(item: _Field, types: list[str]) -> dict[str, Any]:
    """Counts and accuracies, ready for JSON; None where there is nothing to count."""
    reference, predicted = item.table["reference_type"].to_numpy(), item.table[results.CELL_TYPE].to_numpy()
    right, scored, with_nucleus = reference == predicted, np.isin(reference, types), reference != NO_NUCLEUS
    return {
        "n_cells": len(item.table),
        "n_cells_with_nucleus": int(with_nucleus.sum()),
        "n_nuclei": item.n_nuclei,
        "n_nuclei_without_cell": item.n_nuclei_without_cell,
        "n_undetermined": {kind: int(np.sum(reference == kind)) for kind in (NO_MARKER, SEVERAL_MARKERS)},
        "n_scored": int(scored.sum()),
        "accuracy": _share(right[scored]),
        "accuracy_if_undetermined_were_wrong": _share(right[with_nucleus]),
        "types": {
            name: {"n": int(np.sum(reference == name)), "accuracy": _share(right[reference == name])} for name in types
        },
        "confusion": {name: dict(Counter(predicted[reference == name].tolist())) for name in types},
    }


def _share(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def _scores(table: pd.DataFrame, types: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Scores by the type that is scored and the reference type."""
    reference = table["reference_type"].to_numpy()
    return {
        scored: {name: table[results.SCORE_PREFIX + scored].to_numpy()[reference == name] for name in types}
        for scored in types
    }


def format_accuracy(summary: dict[str, Any]) -> str:
    """The lines shown on screen."""
    undetermined = sum(summary["n_undetermined"].values())
    lines = [
        f"{summary['n_cells_with_nucleus']} of {summary['n_cells']} cells have a nucleus, {undetermined} of them "
        f"without a clear marker; {summary['n_nuclei_without_cell']} of {summary['n_nuclei']} nuclei lie in no cell"
    ]
    for name, item in summary["types"].items():
        lines.append(f"{name}: {item['accuracy']:.1%} of {item['n']} right" if item["n"] else f"{name}: no cell")
    return "\n".join([*lines, f"accuracy: {summary['accuracy']:.1%} of {summary['n_scored']} cells"])
