"""The report of `train`, written again at every validation: held-out cells, curves by step and by minute, tables."""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.io import results
from cellflax.io.tables import read_table
from cellflax.pictures.layers import sheet_layers
from cellflax.pictures.overlay import Panel, outline_overlay
from cellflax.report.cells import picture_of
from cellflax.report.held_out import Scored, crops_of
from cellflax.report.model import Chart, Drawing, Gallery, Notice, PlotLine, Report, Table, View, Weight
from cellflax.report.origin import SIMULATED, facts_of, settings_table
from cellflax.report.page import is_finished, save_report
from cellflax.training.held_out import Sight
from cellflax.training.stopping import Tally

_REFRESH_S = 20
_MOST_SHARE = 0.02  # of the time, for pages while the training runs
_SHOWN = {"jaccard": "Jaccard index", "dice": "Dice index", "f1": "F1 at IoU 0.5", "loss": "loss"}


class TrainingReport:
    """The page of one training.

    Args:
        run: its directory.
        name: of the experiment.
        record: what its checkpoints say about its data, device and configuration.
        steps: steps that are planned; None by time.

    Attributes:
        path: the page.
        guidance: what `guidance.json` holds, once there is guidance.
        curves: charts that follow those of the training, such as of a test.
        tables: tables that follow.
    """

    def __init__(self, run: Path, name: str, record: Mapping[str, Any], steps: int | None):
        self._run, self._name, self._record, self._steps = run, name, record, steps
        self.path = run / results.REPORT
        self._log = _Log(run / results.METRICS_LOG)
        self._scored: list[Scored] = []
        self._shown_step = 0
        self._written_s, self._cost_s = -math.inf, 0.0
        self.guidance: dict[str, Any] | None = None
        self.curves: tuple[Chart | Drawing, ...] = ()
        self.tables: tuple[Table, ...] = ()

    def validated(self, step: int, tally: Tally, sights: Sequence[Sight]) -> None:
        """Write the page while the training runs, unless writing would take more than 2 % of the time.

        Args:
            step: steps done.
            tally: progress.
            sights: what the network sees in the held-out regions.
        """
        self._scored, self._shown_step = [scored_region(sight) for sight in sights], step
        begin = time.monotonic()
        if begin - self._written_s < self._cost_s / _MOST_SHARE:
            return
        words = f"running: step {step}" + (f" of {self._steps}" if self._steps else "")
        save_report(self.path, lambda: self._report(tally, f"{words}; this page loads itself again", running=True))
        self._written_s = time.monotonic()
        self._cost_s = self._written_s - begin

    def ended(self, tally: Tally, words: str, *, warns: bool = False) -> None:
        """Write the page at the end. Where nothing was trained, the page of the finished training stays.

        Args:
            tally: progress.
            words: how it ended.
            warns: whether that is no regular end.
        """
        if not self._shown_step and is_finished(self.path):
            return
        notices = (Notice(words, Weight.warning),) if warns else ()
        save_report(self.path, lambda: self._report(tally, words, notices=notices))

    def _report(self, tally: Tally, words: str, *, running: bool = False, notices: tuple[Notice, ...] = ()) -> Report:
        data, config = self._record["data"], self._record["config"]
        self._log.read()
        found = self.guidance or {}
        minutes = tally.elapsed_s / 60
        return Report(
            command="train",
            title=self._name,
            subtitle=f"{words}. {minutes:.1f} minutes, {100 * tally.validation_share:.0f} % of them validation.",
            notices=(*([SIMULATED] if data["simulated"] else []), *notices, *_hints(found)),
            headline=tuple(self._headline(tally)),
            galleries=(*self._galleries(), *_suspects(self._run, found)),
            curves=(*_charts(self._log, tally), *self.curves),
            tables=(self._log.table(), *_guidance_tables(found), *self.tables, _images(data), settings_table(config)),
            facts=facts_of(
                "train",
                simulated=data["simulated"],
                device=self._record["device"],
                data=[
                    ("data", data["source"]),
                    ("channels", ", ".join(data["channels"])),
                    ("classes", ", ".join(data["class_names"])),
                    ("pixel size (um)", data["pixel_size_um"]),
                    ("started from", self._record.get("started_from", {}).get("path")),
                    ("run", self._run),
                ],
            ),
            refresh_s=_REFRESH_S if running else None,
        )

    def _headline(self, tally: Tally) -> list[tuple[str, str]]:
        best = self._log.validation(tally.best_step)
        words = [(words, f"{best[name]:.3f}") for name, words in _SHOWN.items() if name in best]
        return [
            *words,
            ("best step", str(tally.best_step)),
            ("training images", str(len(self._record["data"]["train"]))),
        ]

    def _galleries(self) -> list[Gallery]:
        galleries = crops_of(self._scored).galleries("annotated")
        if not galleries:
            return []
        first, *others = galleries
        return [_noted(first, f"Held-out regions at step {self._shown_step}. {first.note}"), *others]


class _Log:
    """The lines of `metrics.jsonl`, read as they come."""

    def __init__(self, path: Path):
        self._path, self._offset = path, 0
        self.lines: list[dict[str, Any]] = []

    def read(self) -> None:
        """Take in the lines that were written since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self.lines.append(json.loads(line))

    def series(self, key: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric."""
        pairs = [(line["step"], line[key]) for line in self.lines if key in line]
        return [step for step, _ in pairs], [math.nan if value is None else value for _, value in pairs]

    def validation(self, step: int | None) -> dict[str, float]:
        """What was validated at a step; of the best checkpoint at the end, on all regions."""
        found: dict[str, float] = {}
        for line in self.lines:
            if line["step"] == step:
                found |= _named(line, "validation_")
        for line in self.lines:
            found |= _named(line, "final_")
        return found

    def table(self) -> Table:
        """A row per validation."""
        rows = [{"step": line["step"], **named} for line in self.lines if (named := _named(line, "validation_"))]
        return Table.of("Validations", pd.DataFrame(rows), "validations.csv", whole=results.METRICS_LOG)


def _named(line: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {key.removeprefix(prefix): v for key, v in line.items() if key.startswith(prefix) and v is not None}


def _charts(log: _Log, tally: Tally) -> list[Chart]:
    """Loss, scores, learning rate and speed, each by step and by minute."""
    times = tally.timeline

    def chart(title: str, text: str, y_label: str, keys: Mapping[str, str], y_range: Any = None) -> Chart:
        lines = [(label, *log.series(key)) for key, label in keys.items()]
        return Chart(title, text, y_label, _views([line for line in lines if line[1]], times), y_range)

    rate_text = "The learning rate, which the optimiser was given."
    return [
        chart(
            "Loss",
            "Loss of the training batches and, in nat, cross-entropy of the held-out regions: lower is better.",
            "loss",
            {"train_loss": "training", "validation_loss": "held out"},
        ),
        chart(
            "Scores of held-out cells",
            "Mean Jaccard and Dice index of the cells, and F1 at IoU 0.5: 1 is perfect.",
            "score",
            {"validation_jaccard": "Jaccard", "validation_dice": "Dice", "validation_f1": "F1"},
            (0, 1),
        ),
        chart("Learning rate", rate_text, "learning rate", {"learning_rate": ""}),
        *([_speed(times)] if len(times) > 1 else []),
    ]


def _views(lines: Sequence[tuple[str, list[int], list[float]]], times: Sequence[Sequence[float]]) -> tuple[View, ...]:
    by_step = View("by step", "step", tuple(PlotLine(label, x, y) for label, x, y in lines))
    if not times:
        return (by_step,)
    by_minute = [PlotLine(label, _minutes(x, times), y) for label, x, y in lines]
    return by_step, View("by minute", "minute", tuple(by_minute))


def _minutes(steps: Sequence[int], times: Sequence[Sequence[float]]) -> np.ndarray:
    """Minutes at some steps, between the validations by interpolation; NaN after the last."""
    known, seconds = zip((0, 0), *times, strict=True)
    return np.interp(steps, known, seconds, right=np.nan) / 60


def _speed(times: Sequence[Sequence[float]]) -> Chart:
    """Steps per minute between validations."""
    steps, seconds = np.array(times, np.float64).T
    speed = 60 * np.diff(steps) / np.maximum(np.diff(seconds), 1e-9)
    views = (
        View("by step", "step", (PlotLine("", steps[1:], speed),)),
        View("by minute", "minute", (PlotLine("", seconds[1:] / 60, speed),)),
    )
    text, top = "Steps per minute since the validation before, with its time.", 1.1 * float(speed.max())
    return Chart("Speed", text, "steps per minute", views, (0, top))


def scored_region(sight: Sight) -> Scored:
    """A held-out region for pictures of its cells."""
    region = sight.region
    return Scored(region.name, sight.labels, region.cells, region.raw[..., 0], sight.scores.accuracy)


def overlay_of(sight: Sight) -> np.ndarray:
    """A region with both outlines, (H, W, 3) uint8."""
    region = sight.region
    panel = Panel("", sight.labels, region.cells, region.image[region.inner][..., 0])
    return (255 * outline_overlay(panel)).astype(np.uint8)


def _noted(gallery: Gallery, note: str) -> Gallery:
    return Gallery(gallery.title, gallery.pictures, note, gallery.legend, gallery.wide)


def _images(data: Mapping[str, Any]) -> Table:
    rows = [(part, str(name)) for part in ("train", "validation", "test") for name in data[part]]
    return Table.of("Images", pd.DataFrame(rows, columns=["part", "image"]), "images.csv", whole=results.SUMMARY)


def _hints(guidance: Mapping[str, Any]) -> Iterable[Notice]:
    """What a person should do, by the guidance."""
    return [Notice(f"{hint['finding']} {hint['remedy']}") for hint in guidance.get("hints", [])]


def _suspects(run: Path, guidance: Mapping[str, Any]) -> list[Gallery]:
    """The sheet of places where the annotation looks wrong."""
    count = guidance.get("suspects", {}).get("count", 0)
    layers = sheet_layers(run / results.SUSPECTS_FIGURE) if count else None
    if layers is None:
        return []
    text = "Crops where the network does not agree with the annotation, each with its number, kind and confidence."
    picture = picture_of(f"the first {guidance['suspects']['shown']} of {count} places", text, layers)
    note = "Blue: the network, orange: annotated. The network may be wrong itself."
    return [Gallery("Annotations that look wrong", (picture,), note, wide=True)]


def _guidance_tables(guidance: Mapping[str, Any]) -> list[Table]:
    tables = []
    if first := guidance.get("suspects", {}).get("first"):
        tables.append(Table.of("Annotations that look wrong", pd.DataFrame(first), "suspects.csv",
                               whole=results.SUSPECTS_TABLE))  # fmt: skip
    if odd := guidance.get("odd_images"):
        rows = tuple((image["image"], "; ".join(image["differs"])) for image in odd)
        tables.append(Table("Images unlike the rest", "odd_images.csv", ("image", "in what"), rows))
    curve = guidance.get("learning_curve")
    if curve:
        points = pd.DataFrame(curve["points"])
        tables.append(Table.of("Enough images?", points, "learning_curve.csv", curve["words"]))
    return tables


def tuning_table(run: Path) -> tuple[Table, ...]:
    """What was tried of the refinement, the best first; empty where nothing was."""
    if not (run / results.TUNING).is_file():
        return ()
    table = read_table(run / results.TUNING, {"trial": int, "index": float}, "tune again")
    table = table.sort_values("index", ascending=False, kind="stable")
    return (Table.of("Settings of the refinement that were tried", table, "tuning.csv", whole=results.TUNING),)
