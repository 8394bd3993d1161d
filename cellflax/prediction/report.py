"""The report of `predict`: the first images, the most uncertain cells, sizes, a row per image."""

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from cellflax.io import results
from cellflax.io.journal import Journal
from cellflax.pictures.overlay import Panel
from cellflax.report.cells import PREDICTED_OUTLINES, cell_window, crop_panel, crop_picture, image_gallery
from cellflax.report.model import Chart, Gallery, Notice, PlotLine, Report, Table, View, Weight
from cellflax.report.origin import facts_of, failed_notices, files_table, note_notices, settings_table, simulated_notes

_TAUGHT_BY_SIMULATION = Notice(
    "SIMULATED DATA: the network learned from simulated images; do not publish what it measures on others.",
    Weight.simulated,
)
_MOST_UNCERTAIN = 12
_MOST_OF_ONE = 4  # uncertain cells of one image or frame
_BINS = 40
Look = Callable[[], tuple[np.ndarray, np.ndarray]]


@dataclass(order=True)
class _Uncertain:
    """A cell with its surroundings; sorted by uncertainty, the most uncertain first."""

    rank: float
    panel: Panel = field(compare=False)
    words: str = field(compare=False)


@dataclass
class PredictionSights:
    """What is kept of the images of a prediction while they are in memory.

    Attributes:
        numbers: per image, what its row in the table says.
        areas: areas of all cells, an array per image or frame, and their unit.
    """

    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    areas: list[np.ndarray] = field(default_factory=list)
    unit: str = ""
    _uncertain: list[_Uncertain] = field(default_factory=list)

    def add(self, name: str, title: str, cells: pd.DataFrame, look: Look) -> None:
        """Keep a little of an image, or of a frame of a movie.

        Args:
            name: of the image or movie.
            title: of the image, or of the frame.
            cells: a row per cell.
            look: gives (H, W) labels and (H, W) intensities; called where one of its cells is to be shown.
        """
        area = "area_um2" if "area_um2" in cells else "area_px"
        if self.unit in ("", area):
            self.unit = area
            self.areas.append(cells[area].to_numpy(np.float32))
        row = self.numbers.setdefault(name, {"frames": 0, "cells": 0, "area": [], "uncertainty": []})
        row["frames"] += 1
        row["cells"] += len(cells)
        row["area"].append(cells["area_px"].to_numpy(np.float32))
        if results.UNCERTAINTY not in cells:
            return
        row["uncertainty"].append(cells[results.UNCERTAINTY].to_numpy(np.float32))
        worst, seen = cells.nlargest(_MOST_OF_ONE, results.UNCERTAINTY), None
        for label, value in zip(worst[results.LABEL].tolist(), worst[results.UNCERTAINTY].tolist(), strict=True):
            full = len(self._uncertain) == _MOST_UNCERTAIN
            if not value > 0 or (full and -value >= self._uncertain[-1].rank):
                continue
            labels, plane = seen = seen or look()
            window = cell_window(labels, label)
            panel = crop_panel(f"{value:.2f}  {title}, cell {label}", window, labels, None, plane)
            panel = replace(panel, predicted=np.where(panel.predicted == label, panel.predicted, 0))
            words = f"Cell {label} of {title}: uncertainty {value:.2f}. Blue: predicted outlines."
            bisect.insort(self._uncertain, _Uncertain(-value, panel, words))
            del self._uncertain[_MOST_UNCERTAIN:]

    def gallery(self) -> Gallery | None:
        """The most uncertain cells; None where no uncertainty is known."""
        pictures = tuple(crop_picture(one.panel, one.words) for one in self._uncertain)
        note = (
            "The number is the uncertainty: 0 where all networks or views agree on the cell, towards 1 where they do "
            "not. Look at these first. Only this cell is outlined."
        )
        return Gallery("The most uncertain cells", pictures, note, PREDICTED_OUTLINES) if pictures else None


def prediction_report(
    record: Mapping[str, Any],
    journal: Journal,
    sights: PredictionSights,
    panels: Sequence[Panel],
    device: str,
    command: str = "predict",
) -> Report:
    """The page of a prediction.

    Args:
        record: content of `provenance.json`.
        journal: the images that are finished.
        sights: what was kept of them.
        panels: pictures of the first images.
        device: hardware and precision.
        command: the command that runs.
    """
    cells = sum(done.rows for done in journal.done.values())
    uncertain = sights.gallery()
    galleries = [] if uncertain is None else [uncertain]
    if panels:
        galleries.insert(0, image_gallery(panels, "Blue: predicted outlines."))
    settings, checkpoint = record["settings"], record["checkpoint"]
    taught = (_TAUGHT_BY_SIMULATION,) if record["simulated"] else ()
    images = f"{len(journal.done)} image{'s' * (len(journal.done) != 1)}"
    return Report(
        command="predict",
        title=f"Cells of {settings['input']}",
        subtitle=f"{cells} cells in {images}, segmented with {settings['checkpoint']}",
        notices=(*taught, *note_notices(simulated_notes([settings["input"]])), *failed_notices(record["failed"])),
        headline=(("images", str(len(journal.done))), ("cells", str(cells)), *_median(sights)),
        galleries=tuple(galleries),
        curves=tuple(_charts(sights)),
        tables=(_images(journal, sights), files_table(_files(journal), results.PROVENANCE), settings_table(settings)),
        facts=facts_of(
            command,
            simulated=record["simulated"],
            device=device,
            data=[
                ("checkpoint", f"{checkpoint['path']}, step {checkpoint['step']}, {checkpoint['networks']} network(s)"),
                ("trained on", checkpoint["data"]["source"]),
                ("refinement", " ".join(f"{key}={value}" for key, value in checkpoint["refine"].items())),
                ("nuclei network", (record["nuclei_checkpoint"] or {}).get("path")),
            ],
        ),
    )


def _median(sights: PredictionSights) -> list[tuple[str, str]]:
    areas = np.concatenate(sights.areas) if sights.areas else np.empty(0)
    return [(f"median area ({_unit(sights)})", f"{np.median(areas):.4g}")] if len(areas) else []


def _unit(sights: PredictionSights) -> str:
    return "µm²" if sights.unit == "area_um2" else "px"


def _charts(sights: PredictionSights) -> list[Chart]:
    charts = []
    areas = np.concatenate(sights.areas) if sights.areas else np.empty(0)
    if len(areas) > 1:
        charts.append(histogram("Areas", "Numbers of cells by area.", areas, f"area ({_unit(sights)})"))
    values = [part for row in sights.numbers.values() for part in row["uncertainty"]]
    if values and sum(map(len, values)) > 1:
        text = "Numbers of cells by uncertainty."
        charts.append(histogram("Uncertainty", text, np.concatenate(values), "uncertainty"))
    return charts


def histogram(title: str, text: str, values: np.ndarray, x_label: str) -> Chart:
    """Counts in 40 bins, without the outermost half percent on either side, as a stepped line."""
    low, high = np.percentile(values, [0.5, 99.5]).tolist()
    counts, edges = np.histogram(values, _BINS, (low, high if high > low else low + 1))
    x, y = np.repeat(edges, 2), np.concatenate([[0], np.repeat(counts, 2), [0]])
    return Chart(title, text, "cells", (View("", x_label, (PlotLine("", x, y),)),))


def _images(journal: Journal, sights: PredictionSights) -> Table:
    rows = []
    for name, done in journal.done.items():
        row: dict[str, Any] = {"image": name, "cells": done.rows}
        if (seen := sights.numbers.get(name)) is not None:
            areas = np.concatenate(seen["area"])
            row |= {"frames": seen["frames"], "median_area_px": float(np.median(areas)) if len(areas) else None}
            if seen["uncertainty"]:
                values = np.concatenate(seen["uncertainty"])
                row["mean_uncertainty"] = float(values.mean()) if len(values) else None
        rows.append(row)
    return Table.of("Images", pd.DataFrame(rows), "images.csv", whole=results.PROVENANCE)


def _files(journal: Journal) -> list[tuple[str, str, int | None, int | None]]:
    found: list[tuple[str, str, int | None, int | None]] = []
    for done in journal.done.values():
        found += [("input", name, state[0], None) for name, state in done.inputs.items()]
        found += [("result", name, state[0], state[1]) for name, state in done.files.items()]
    return found
