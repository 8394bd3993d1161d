"""Look at a training's images with its network, and write what a person should know: `guidance.json` and the rest."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cellflax
from cellflax.atomic import replacing
from cellflax.data.example import Dataset
from cellflax.errors import UserError
from cellflax.guidance.hints import Evidence, hints_of
from cellflax.guidance.intervals import with_intervals
from cellflax.guidance.learning_curve import stored_curve
from cellflax.guidance.looking import Field, Looked, all_fields, chosen_fields, look
from cellflax.guidance.odd_images import LEAST_IMAGES, Difference, differences_of, image_statistics
from cellflax.guidance.report import counted, screen_lines, write_report
from cellflax.guidance.suspects import Doubt, Suspect, find_suspects
from cellflax.io import results
from cellflax.io.tables import write_table
from cellflax.metrics.score import CellScores, pool
from cellflax.pictures.doubts import crops_figure
from cellflax.pictures.overlay import Panel
from cellflax.pictures.png import save_png
from cellflax.prediction.trained import TrainedModel
from cellflax.progress import say
from cellflax.refine import RefineConfig
from cellflax.schemas import kind_of, to_json
from cellflax.training.seen import spread_over

MOST_SHOWN = 24  # crops in the picture
MOST_COMPARED = 400  # images whose statistics are compared
_LEAST_CROP_PX = 64
_CROP_MARGIN = 0.4  # of the cells' box, on each side


@dataclass(frozen=True)
class _Place:
    """A suspect in its image, and the crop that shows it while it is among the first."""

    image: str
    held_out: bool
    suspect: Suspect
    crop: Panel | None

    @property
    def rank(self) -> tuple[bool, float, str, float, float]:
        """Held-out ones first, then the surest."""
        return not self.held_out, -self.suspect.confidence, self.image, self.suspect.y, self.suspect.x


@dataclass
class _Gathered:
    """What is kept of the images, one after the other."""

    places: list[_Place] = field(default_factory=list)
    held_out: list[CellScores] = field(default_factory=list)
    held_out_images: set[str] = field(default_factory=set)
    training: list[CellScores] = field(default_factory=list)
    f1: dict[str, float] = field(default_factory=dict)
    seeded: bool = False

    def add(self, looked: Looked) -> None:
        """Keep scores and suspects of an image."""
        example, own = looked.field.example, looked.field
        scores = looked.scores()
        self.f1[example.name] = scores.matches[0].f1
        self.seeded |= looked.nuclei is not None
        held_out = looked.held_out_scores()
        if held_out is None:
            self.training.append(scores)
        else:
            self.held_out.append(held_out)
            self.held_out_images.add(example.name)
        suspects = find_suspects(
            example.cells,
            looked.labels,
            looked.foreground,
            looked.interior,
            nuclei=looked.nuclei,
            ignored=example.ignored,
        )
        for suspect in suspects:
            self.places.append(_Place(example.name, own.is_held_out(suspect.y, suspect.x), suspect, None))
        self.places.sort(key=lambda place: place.rank)
        self.places = [
            replace(place, crop=_crop(looked, place) if place.image == example.name else place.crop)
            if rank < MOST_SHOWN
            else replace(place, crop=None)
            for rank, place in enumerate(self.places)
        ]


def guide(model: TrainedModel, dataset: Dataset, how: RefineConfig, run: Path) -> dict[str, Any]:
    """Look at images of a training, write what a person should know to its run directory, and print the main lines.

    Writes `suspects.csv`, `suspects.png` (unless there are no suspects), `images.csv`, `guidance.md` and
    `guidance.json`, each in one step. Held-out images and a fixed sample of the training images are looked at; the test
    part never is.

    Args:
        model: the trained network.
        dataset: what it was trained on, as it is in the files.
        how: from probabilities to cells.
        run: the run directory.

    Returns:
        What `guidance.json` holds.

    Raises:
        UserError: if no held-out image can be segmented.
    """
    fields = all_fields(dataset)
    chosen = chosen_fields(fields)
    count = sum(one.region is not None for one in chosen)
    others = counted(len(chosen) - count, "other training image")
    say(f"guidance: looking at {counted(count, 'image')} with held-out parts and {others}")
    gathered, unusable = _Gathered(), dict[str, str]()
    for looked in look(model, chosen, how, unusable):
        gathered.add(looked)
    if not gathered.held_out:
        raise UserError(f"no held-out image could be segmented: {next(iter(unusable.values()), 'there is none')}")
    compared = [one.example for one in fields if one.example.name in gathered.f1]
    compared += spread_over([one.example for one in fields if one.example.name not in gathered.f1], MOST_COMPARED)
    statistics = image_statistics(compared, dataset.channels, gathered.f1)
    odd = differences_of(statistics, dataset.channels)
    guidance = _as_json(model, dataset, how, run, fields, chosen, gathered, statistics, odd, unusable)
    _write_tables(run, gathered.places, statistics, odd, fields)
    write_report(run, guidance)
    for line in screen_lines(run, guidance):
        say(line)
    return guidance


def _as_json(
    model: TrainedModel,
    dataset: Dataset,
    how: RefineConfig,
    run: Path,
    fields: Sequence[Field],
    chosen: Sequence[Field],
    gathered: _Gathered,
    statistics: pd.DataFrame,
    odd: Sequence[Difference],
    unusable: dict[str, str],
) -> dict[str, Any]:
    intervals = with_intervals(gathered.held_out)
    f1 = pool(gathered.training).matches[0].f1 if gathered.training else float("nan")
    evidence = Evidence(
        run=run,
        how=how,
        held_out=gathered.held_out,
        intervals=intervals,
        images=len({region.example.name for region in dataset.validation}),
        training_f1=None if np.isnan(f1) else f1,
        seeded=gathered.seeded,
        training=model.record.get("training", {}),
        step=model.step,
    )
    places, doubts = gathered.places, Counter(place.suspect.kind for place in gathered.places)
    by_image: dict[str, list[str]] = {}
    for difference in odd:
        by_image.setdefault(difference.image, []).append(difference.words)
    looked_at = Counter(one.region is not None for one in chosen)
    return {
        "cellflax": cellflax.__version__,
        "step": model.step,
        "settings": {"refine": {"kind": kind_of("refine", how), **to_json(how)}, "test_time_augmentation": 1},
        "held_out": {
            "regions": len(gathered.held_out),
            "of_regions": len(dataset.validation),
            "images": len(gathered.held_out_images),
            "looked_at": looked_at[True],
            "cells": pool(gathered.held_out).n_reference,
            "f1": asdict(intervals.f1),
            "jaccard": asdict(intervals.jaccard),
            "drawn": intervals.drawn,
        },
        "training": {
            "images": sum(one.region is None for one in fields),
            "looked_at": looked_at[False],
            "f1": evidence.training_f1,
        },
        "suspects": {
            "count": len(places),
            "held_out": sum(place.held_out for place in places),
            "shown": min(len(places), MOST_SHOWN),
            "kinds": [
                {"kind": kind.name, "words": kind.value, "count": doubts[kind]} for kind in Doubt if doubts[kind]
            ],
            "first": [
                _row(place, rank) | {"words": place.suspect.kind.value}
                for rank, place in enumerate(places[:MOST_SHOWN])
            ],
        },
        "compared_images": len(statistics),
        "least_images": LEAST_IMAGES,
        "odd_images": [{"image": name, "differs": words} for name, words in by_image.items()],
        "hints": [asdict(hint) for hint in hints_of(evidence)],
        "learning_curve": stored_curve(run, intervals.f1),
        "unusable": unusable,
    }


def _row(place: _Place, rank: int) -> dict[str, Any]:
    suspect = place.suspect
    return {
        "image": place.image,
        "part": "held-out" if place.held_out else "training",
        "kind": suspect.kind.name,
        "label": suspect.label,
        "other_label": suspect.other,
        "y_px": round(suspect.y, 1),
        "x_px": round(suspect.x, 1),
        "confidence": round(suspect.confidence, 4),
        "iou": round(suspect.iou, 4),
        "area_px": suspect.area_px,
        "crop": rank + 1 if rank < MOST_SHOWN else 0,
    }


_COLUMNS = ("image", "part", "kind", "label", "other_label", "y_px", "x_px", "confidence", "iou", "area_px", "crop")


def _write_tables(
    run: Path, places: Sequence[_Place], statistics: pd.DataFrame, odd: Sequence[Difference], fields: Sequence[Field]
) -> None:
    """Write the table of suspects, their picture and the table of images; a picture of an earlier time is removed."""
    rows = [_row(place, rank) for rank, place in enumerate(places)]
    write_table(run / results.SUSPECTS_TABLE, pd.DataFrame(rows, columns=list(_COLUMNS)))
    figure = run / results.SUSPECTS_FIGURE
    crops = [place.crop for place in places if place.crop is not None]
    if crops:
        panels = [replace(crop, title=f"{rank}  {crop.title}") for rank, crop in enumerate(crops, start=1)]
        with replacing(figure) as temporary:
            save_png(crops_figure(panels), temporary, trim=True)
    else:
        figure.unlink(missing_ok=True)
    words: dict[str, list[str]] = {}
    for difference in odd:
        words.setdefault(difference.image, []).append(difference.words)
    parts = {one.example.name: one.part for one in fields}
    table = statistics.copy()
    table.insert(1, "part", [parts[name] for name in table["image"]])
    table["unlike_the_rest"] = ["; ".join(words.get(name, [])) for name in table["image"]]
    write_table(run / results.IMAGES_TABLE, table)


def _crop(looked: Looked, place: _Place) -> Panel:
    """The surroundings of a suspect with both outlines."""
    example = looked.field.example
    longest = max(span.stop - span.start for span in place.suspect.box)
    length = max(round(longest * (1 + 2 * _CROP_MARGIN)), _LEAST_CROP_PX)
    window = []
    for span, size in zip(place.suspect.box, example.cells.shape, strict=True):
        start = min(max((span.start + span.stop - length) // 2, 0), max(size - length, 0))
        window.append(slice(start, min(start + length, size)))
    part = tuple(window)
    name, kind = place.image, place.suspect.kind.name.replace("_", " ")
    title = f"{kind} {place.suspect.confidence:.2f}\n{name if len(name) < 30 else '...' + name[-27:]}"
    title += "" if place.held_out else " (training)"
    return Panel(title, looked.labels[part].copy(), example.cells[part].copy(), example.image[(*part, 0)].copy())
