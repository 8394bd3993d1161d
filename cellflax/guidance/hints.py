"""What scores suggest: findings in plain words, each with a remedy."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.guidance.intervals import HeldOutScores
from cellflax.metrics.detection import CellError
from cellflax.metrics.score import CellScores, pool
from cellflax.refine import RefineConfig
from cellflax.schemas import kind_of

FEW_CELLS = 100  # with fewer held-out cells, a score is uncertain by several hundredths
_COMMON = 0.05  # share of the cells with an error that is worth a remedy
_MANY = 0.1
_GAP = 0.1  # in F1 between training and held-out images
_SMALL_PERCENT = 25
_LEAST_SMALL = 8  # small cells that a statement needs


@dataclass(frozen=True)
class Hint:
    """A finding and what to do about it, in plain words.

    Attributes:
        finding: what the scores show.
        remedy: what to do.
    """

    finding: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """What hints are made from.

    Attributes:
        run: the run directory, for commands.
        how: from probabilities to cells.
        held_out: scores of each held-out region.
        intervals: the same, pooled.
        images: number of images that the regions are from.
        training_f1: F1 of the training images that were looked at, None without any.
        seeded: whether the cells were grown from nuclei.
        training: progress of the training, from the checkpoint's record (`training.stopping.Tally` as JSON).
        step: step of the checkpoint.
    """

    run: Path
    how: RefineConfig
    held_out: Sequence[CellScores]
    intervals: HeldOutScores
    images: int
    training_f1: float | None
    seeded: bool
    training: dict[str, Any]
    step: int


def hints_of(evidence: Evidence) -> list[Hint]:
    """Everything that the scores suggest, the errors of cells first."""
    cells = pool(list(evidence.held_out))
    return [*_errors(evidence, cells), *_small(evidence, cells), *_certainty(evidence, cells), *_training(evidence)]


def _errors(evidence: Evidence, cells: CellScores) -> list[Hint]:
    how, found = evidence.how, []
    count = max(cells.n_reference, 1)
    share = {error: float(np.sum(cells.errors == error)) / count for error in CellError}
    if share[CellError.MERGED] >= _COMMON:
        finding = f"{share[CellError.MERGED]:.0%} of the held-out cells are merged with a neighbour."
        found.append(Hint(finding, f"Annotating more cells that touch helps the network itself. {_separate(evidence)}"))
    if share[CellError.SPLIT] >= _COMMON:
        finding = f"{share[CellError.SPLIT]:.0%} of the held-out cells are split."
        depth = getattr(how, "seed_depth", None)
        if evidence.seeded:
            remedy = "Look at the nuclei that seed them: a larger seeds.split_depth cuts fewer of them apart."
        elif depth is not None:
            remedy = _try(evidence, seed_depth=[depth, min(2 * depth, 1), min(3 * depth, 1)])
        else:
            remedy = _try(evidence, interior=_around(how, -0.1, -0.05, 0))
        found.append(Hint(finding, remedy))
    if share[CellError.MISSED] >= _MANY:
        finding = f"{share[CellError.MISSED]:.0%} of the held-out cells are missed."
        tried = _try(evidence, interior=_around(how, -0.2, -0.1, 0))
        found.append(Hint(finding, f"If they look unlike the others, annotate more such cells. {tried}"))
    if share[CellError.INACCURATE] >= _MANY:
        found.append(Hint(*_outlines(evidence, cells, share[CellError.INACCURATE])))
    spurious = cells.n_spurious / max(cells.n_predicted, 1)
    if spurious >= _MANY:
        finding = f"{spurious:.0%} of the cells that the network finds in held-out regions are not annotated."
        remedy = (
            "Look at them first (suspects.csv): is the annotation complete? If so, add images that show what is no "
            "cell, with a label image of zeros."
        )
        found.append(Hint(finding, remedy))
    return found


def _separate(evidence: Evidence) -> str:
    if evidence.seeded:
        return "Look at the nuclei that seed them: a smaller seeds.split_depth cuts more of them apart."
    depth = getattr(evidence.how, "seed_depth", None)
    if depth is not None:
        return _try(evidence, seed_depth=[depth / 4, depth / 2, depth])
    return _try(evidence, interior=_around(evidence.how, 0, 0.1, 0.2))


def _outlines(evidence: Evidence, cells: CellScores, share: float) -> tuple[str, str]:
    off = cells.errors == CellError.INACCURATE
    ratio = float(np.median(cells.accuracy.matched_area[off] / cells.accuracy.reference_area[off]))
    size = "smaller" if ratio < 1 else "larger"
    finding = f"{share:.0%} of the held-out cells have an outline that is far off (IoU below 0.5), mostly a {size} one."
    return finding, _try(evidence, interior=_around(evidence.how, *((-0.2, -0.1, 0) if ratio < 1 else (0, 0.1, 0.2))))


def _small(evidence: Evidence, cells: CellScores) -> list[Hint]:
    """Whether it is small cells that are missed."""
    area, missed = cells.accuracy.reference_area, cells.errors == CellError.MISSED
    if not len(area):
        return []
    limit = float(np.percentile(area, _SMALL_PERCENT, method="lower"))
    small = area <= limit
    if small.sum() < _LEAST_SMALL or small.all():
        return []
    here, elsewhere = float(missed[small].mean()), float(missed[~small].mean())
    if here < 2 * _MANY or here < 2 * elsewhere:
        return []
    finding = f"Of the smallest cells (up to {limit:.0f} px), {here:.0%} are missed; of the others {elsewhere:.0%}."
    least = getattr(evidence.how, "min_area_px", 0)
    if least > limit / 4:
        return [Hint(finding, _try(evidence, min_area_px=[int(limit / 8), int(limit / 4), least]))]
    return [Hint(finding, "Train on enlarged images: scale.pixel_size_um=... below the images' own, if that is known.")]


def _certainty(evidence: Evidence, cells: CellScores) -> list[Hint]:
    found = []
    if cells.n_reference < FEW_CELLS:
        finding = (
            f"The held-out score rests on {cells.n_reference} cells: F1 {evidence.intervals.f1}, Jaccard index "
            f"{evidence.intervals.jaccard} (95 % confidence)."
        )
        remedy = "Do not choose settings by smaller differences. Annotate more, or hold out more: "
        found.append(Hint(finding, f"{remedy}data.validation_fraction=0.2."))
    if evidence.images == 1:
        finding = "All held-out cells are from one image: the score says how well the network works on that image."
        remedy = (
            "Annotate a part of several images, of several days or slides. data.split=region holds out a part of each."
        )
        found.append(Hint(finding, remedy))
    return found


def _training(evidence: Evidence) -> list[Hint]:
    found = []
    held_out, reason = evidence.intervals.f1.value, evidence.training.get("reason")
    if reason is not None and evidence.training.get("best_step") == evidence.step:
        more = "trainer.max_minutes" if "max_minutes" in reason else f"trainer.steps={2 * evidence.step}"
        found.append(
            Hint("The last validation was the best: the network was still improving.", f"Train longer: {more}.")
        )
    if held_out is not None and evidence.training_f1 is not None and evidence.training_f1 - held_out >= _GAP:
        finding = (
            f"F1 is {evidence.training_f1:.2f} on training images and {held_out:.2f} on held-out ones: the network "
            "knows its training images better than others."
        )
        found.append(Hint(finding, "More annotated images will help; learning_curve=3 says how much."))
    return found


def _around(how: RefineConfig, *steps: float) -> list[float]:
    """Thresholds around the one of a refinement, within (0, 1)."""
    own = getattr(how, "interior", 0.5)
    return sorted({round(min(max(own + step, 0.05), 0.95), 3) for step in steps})


def _try(evidence: Evidence, **values: Sequence[float]) -> str:
    """The command that compares values of a setting of the refinement on the held-out regions."""
    ((name, options),) = values.items()
    if not hasattr(evidence.how, name):
        return "Try another refinement with cellflax validate."
    tried = ",".join(f"{value:g}" for value in sorted(set(options)))
    words = [*refine_overrides(evidence.how, leave_out=name), f"refine.{name}={tried}"]
    return f"Try: cellflax validate -m checkpoint={shlex.quote(str(evidence.run))} {' '.join(words)}"


def refine_overrides(how: RefineConfig, leave_out: str = "") -> list[str]:
    """The words of a command line that give a refinement its settings, without one of them."""
    usual = type(how)()
    changed = [f.name for f in fields(how) if f.name != leave_out and getattr(how, f.name) != getattr(usual, f.name)]
    return [f"refine={kind_of('refine', how)}", *(f"refine.{name}={_word(getattr(how, name))}" for name in changed)]


def _word(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else f"{value}"
