"""Score label images against a reference.

    python -m cellflax.evaluate predicted=FILE|DIR|GLOB reference=FILE|DIR|GLOB output=DIR

writes `metrics.json` (pooled and per image), `per_cell.csv` and `overlay.png`. The accuracy index of
Van Valen et al. 2016 as published: `border=30 erode_reference=true nuclei=FILE`. Where the `cells.csv` beside the
predicted labels has the cells' uncertainty, `metrics.json` also says how well that finds the wrong ones, and
`uncertainty.csv` has every predicted cell.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax import __version__
from cellflax.config import entry
from cellflax.data.example import SIMULATED_NOTE
from cellflax.data.images import read_image
from cellflax.data.pairs import Pair, pair_files, read_pair
from cellflax.data.predictions import from_simulated_training, read_cells
from cellflax.errors import UserError
from cellflax.measure.cells import UNCERTAINTY
from cellflax.metrics.overlap import compared_cells, crop_border
from cellflax.metrics.score import CellScores, cell_table, pool, score_cells
from cellflax.metrics.uncertainty import error_detection
from cellflax.report import Panel, save_overlay

_MAX_PANELS = 6


@dataclass
class EvaluateConfig:
    """Options of `cellflax.evaluate`; FILE | DIR | GLOB wherever files are named.

    A label image with a single non-zero value is a mask: its connected components are the cells.

    Attributes:
        predicted: predicted label images.
        reference: reference label images, paired with `predicted` by name.
        nuclei: nucleus masks or labels; the Jaccard and Dice index then average over the reference cells
            that hold a nucleus, as in the paper. All other metrics count every cell.
        image: pictures for the background of the overlay (first channel).
        border: pixels cut off each side before anything is compared.
        erode_reference: erode each reference cell by disk(1) first.
        output: directory for the results.
    """

    predicted: str = ""
    reference: str = ""
    nuclei: str | None = None
    image: str | None = None
    border: int = 0
    erode_reference: bool = False
    output: str = "evaluation"

    def __post_init__(self):
        if self.border < 0:
            raise UserError(f"border must be >= 0 pixels, got {self.border}")


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score, write the results, and return what `metrics.json` holds."""
    for key in ("predicted", "reference"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=FILE, {key}=DIRECTORY or {key}='PATTERN'")
    pairs = pair_files(config.predicted, config.reference, config.nuclei, config.image)
    output = Path(config.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={output}: cannot make this directory ({error.strerror})") from error

    masks: set[str] = set()
    scores: dict[str, CellScores] = {}
    for pair in pairs:
        arrays = read_pair(pair)
        masks.update(arrays.masks)
        scores[pair.name] = score_cells(
            arrays.reference,
            arrays.predicted,
            nuclei=arrays.nuclei,
            border=config.border,
            erode_reference=config.erode_reference,
        )
    pooled = pool(list(scores.values()))
    _require_cells(config, pooled)
    panels = [_panel(pair, config, scores[pair.name]) for pair in _spread(pairs, scores)]

    uncertain, remarks = _uncertainty_table(pairs, scores)
    metrics = {
        "cellflax": __version__,
        "inputs": {key: getattr(config, key) for key in ("predicted", "reference", "nuclei", "image")},
        "settings": {
            "border": config.border,
            "erode_reference": config.erode_reference,
            "index_over": "reference cells that hold a nucleus" if config.nuclei else "all reference cells",
        },
        "notes": [*_simulation_notes(pairs), *_mask_notes(masks), *remarks],
        "pooled": pooled.summary(),
        "images": {name: score.summary() for name, score in scores.items()},
    }
    if uncertain is not None:
        metrics["uncertainty"] = error_detection(uncertain["jaccard"].to_numpy(), uncertain[UNCERTAINTY].to_numpy())
        uncertain.to_csv(output / "uncertainty.csv", index=False)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    cell_table(scores).to_csv(output / "per_cell.csv", index=False)
    save_overlay(output / "overlay.png", panels)
    return metrics


def _uncertainty_table(pairs: Sequence[Pair], scores: dict[str, CellScores]) -> tuple[pd.DataFrame | None, list[str]]:
    """Jaccard index and uncertainty of every predicted cell, where all of `predicted` come with uncertainties.

    Labels that were corrected by hand, or a table of another program, are no mistake: a note says so.
    """
    tables = []
    for pair in pairs:
        file = pair.predicted.parent / "cells.csv"
        if not file.is_file():
            return None, []
        try:
            measured = read_cells(file)
        except UserError as error:
            return None, [f"uncertainty not scored: {error}"]
        if UNCERTAINTY not in measured:
            return None, []
        score, image = scores[pair.name], pair.predicted.stem.removesuffix("_labels")
        found = pd.DataFrame({"label": score.predicted_label, "jaccard": score.predicted_jaccard})
        tables.append(
            measured.loc[measured["image"] == image, ["image", "label", UNCERTAINTY]].merge(found, on="label")
        )
        if len(tables[-1]) != len(found):
            return None, [f"uncertainty not scored: {file} does not hold the cells of {pair.predicted.name}"]
    return pd.concat(tables, ignore_index=True), []


def _require_cells(config: EvaluateConfig, pooled: CellScores) -> None:
    if not len(pooled.errors):
        raise UserError(
            f"reference={config.reference}: no cells inside the border of {config.border} px; is it a label image?"
        )
    if not pooled.accuracy.n_cells:
        raise UserError(f"nuclei={config.nuclei}: no reference cell holds a nucleus; is it the same field?")


def _simulation_notes(pairs: Sequence[Pair]) -> list[str]:
    notes = [
        f"simulated: the model behind {folder} was trained on simulated images"
        for folder in sorted({pair.predicted.parent for pair in pairs})
        if from_simulated_training(folder)
    ]
    for folder in sorted({pair.reference.parent for pair in pairs}):
        if (folder / SIMULATED_NOTE).exists():
            notes.append(f"simulated: the reference in {folder} comes from simulated images")
    return notes


def _mask_notes(masks: Iterable[str]) -> list[str]:
    return [
        f"{side}: images with a single non-zero value were taken as masks; their connected components "
        "(4-neighbours) are the cells"
        for side in sorted(masks)
    ]


def _spread(pairs: Sequence[Pair], scores: dict[str, CellScores]) -> list[Pair]:
    """At most _MAX_PANELS images, evenly along the ranking from the worst to the best."""
    ranked = sorted(pairs, key=lambda pair: np.nan_to_num(scores[pair.name].accuracy.mean_jaccard))
    chosen = np.linspace(0, len(ranked) - 1, min(_MAX_PANELS, len(ranked))).round().astype(int)
    return [ranked[i] for i in chosen]


def _panel(pair: Pair, config: EvaluateConfig, score: CellScores) -> Panel:
    arrays = read_pair(pair)
    reference, predicted = compared_cells(
        arrays.reference, arrays.predicted, border=config.border, erode_reference=config.erode_reference
    )
    background = None
    if pair.image is not None:
        pixels = read_image(pair.image).pixels[..., 0]
        if pixels.shape != arrays.predicted.shape:
            raise UserError(
                f"{pair.image}: shape {pixels.shape} differs from {arrays.predicted.shape} of "
                f"{pair.predicted}; give the image that was segmented"
            )
        background = crop_border(pixels, config.border)
    result = f"Jaccard {score.accuracy.mean_jaccard:.3f}" if score.accuracy.n_cells else "no cells to score"
    return Panel(f"{pair.name}: {result}", predicted, reference, background)


_COLUMNS = {
    "cells": "n_cells_in_index",
    "JI": "jaccard_index",
    "DI": "dice_index",
    "F1@0.5": "f1",
    "mAP": "mean_average_precision",
    "PQ": "panoptic_quality",
}


def format_table(metrics: dict[str, Any], max_images: int = 20) -> str:
    """The table shown on screen: the first images, then all of them pooled."""
    images = metrics["images"]
    rows = list(images.items())[:max_images]
    hidden = len(images) - len(rows)
    if len(images) > 1:
        rows.append((f"all {len(images)} images", metrics["pooled"]))
    width = max(len(name) for name, _ in rows)
    lines = [" " * width + "".join(f"{title:>8}" for title in _COLUMNS)]
    for name, summary in rows:
        values = (summary[key] for key in _COLUMNS.values())
        lines.append(name.ljust(width) + "".join(map(_cell, values)))
    if hidden:
        lines.insert(-1, f"... {hidden} more in metrics.json")
    return "\n".join(lines)


def _cell(value: float | int | None) -> str:
    if value is None:
        return f"{'-':>8}"
    return f"{value:8d}" if isinstance(value, int) else f"{value:8.3f}"


@entry("evaluate", EvaluateConfig)
def main(config: EvaluateConfig) -> None:
    """Score label images against a reference."""
    metrics = evaluate(config)
    for note in metrics["notes"]:
        print(f"note: {note}")
    print(format_table(metrics))
    print(f"results: {config.output}")


if __name__ == "__main__":
    main()
