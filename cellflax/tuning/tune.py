"""Choose the settings of a refinement on held-out regions, from their probabilities."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.progress import Progress
from cellflax.refine import RefineConfig
from cellflax.schemas import to_json
from cellflax.training.held_out import Validator
from cellflax.training.tuner import TunerConfig
from cellflax.tuning.index import PartCounts, gain_error, join, part_counts
from cellflax.tuning.pieces import Piece, known_cells, sample, whole_regions, without_fragments
from cellflax.tuning.search import Axis, Position, Trial, coordinate_search, rank, settings_at

# So many of the best settings of a sample are compared on all regions.
_FINALISTS = 3
# What refining and scoring a megapixel takes on one core, in seconds. Measured: 0.22 (watershed, dsb2018).
_SECONDS_PER_MEGAPIXEL = 0.3
# A sample is not made so large that fewer settings than these fit into the share of the time.
_FEWEST_EVALUATIONS = 40
_FEWEST_PIXELS = 65_536


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes:
        start: the refinement before.
        refine: the refinement from now on; `start` if nothing was better by more than chance.
        before: index of `start` on all held-out regions.
        after: index of `refine` on all held-out regions.
        best: index on all of the best that was found, whether it was taken or not.
        best_error: standard error of its gain; infinity if it cannot be estimated.
        evaluations: number of settings that were tried.
        fragments: number of annotated pieces that did not count, see `cellflax.data.fragments`.
        trials: one row per trial, see docs/reference/outputs.md.
    """

    start: RefineConfig
    refine: RefineConfig
    before: float
    after: float
    best: float
    best_error: float
    evaluations: int
    fragments: int
    trials: pd.DataFrame

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that are not those of the start, by name, as JSON."""
        old, new = to_json(self.start), to_json(self.refine)
        return {name: new[name] for name in new if new[name] != old[name]}


def tune(
    validator: Validator,
    probabilities: Sequence[np.ndarray],
    settings: TunerConfig,
    *,
    seed: int = 0,
    max_minutes: float | None = None,
) -> Tuning:
    """Search the settings of `validator.refine` for those whose cells are nearest to the held-out references.

    What is made large is not the gain of the index, but what is left of it after `settings.margin` of its standard
    errors. The search therefore prefers settings that help in all parts of the regions to those that help one image.

    Args:
        validator: the held-out regions, and the refinement to begin with. Nothing else of the data is read.
        probabilities: what `validator.predict` gave, one array per region.
        settings: index, and limits of the search.
        seed: chooses the sample of the regions.
        max_minutes: limit of the training's time, if it had one.

    Returns:
        The result, which depends on the arguments alone: neither on time nor on the number of processors.

    Raises:
        UserError: as `refine`.
    """
    start = validator.refine
    held_out, fragments = without_fragments(validator.held_out)
    regions = whole_regions(held_out, probabilities)
    evaluations, pixels = _limits(settings, sum(piece.pixels for piece in regions), max_minutes)
    tried = sample(regions, pixels, seed)
    cells = known_cells(held_out)
    space = {} if cells is None else start.search_space(cells)
    axes = [Axis.of(name, values, getattr(start, name)) for name, values in space.items()]
    with Progress(evaluations, unit="settings") as bar, ThreadPoolExecutor(_workers()) as pool:
        scorer = _Scorer(validator, settings, axes, pool, bar)
        trials = coordinate_search(axes, lambda positions: scorer.sure_gains(positions, tried), evaluations)
        first, *others = (trial.position for trial in trials)
        # The highest index is among them, so that a gain which may be chance can be told.
        best = sorted(others, key=lambda p: rank(axes, p, scorer.sure_gain(p)), reverse=True)[:_FINALISTS]
        highest = sorted(others, key=lambda p: rank(axes, p, _value(scorer.tried[p])), reverse=True)[:1]
        whole = scorer.counts(list(dict.fromkeys([first, *best, *highest])), regions)
    gains = {position: _sure_gain(whole[first], counts, settings.margin) for position, counts in whole.items()}
    taken = max(whole, key=lambda position: rank(axes, position, gains[position]))
    told = taken if taken != first else max(whole, key=lambda position: rank(axes, position, _value(whole[position])))
    return Tuning(
        start=start,
        refine=scorer.refinement(taken) or start,
        before=_value(whole[first]),
        after=_value(whole[taken]),
        best=_value(whole[told]),
        best_error=_error(whole[first], whole[told]),
        evaluations=len(trials),
        fragments=fragments,
        trials=_table(axes, trials, scorer.tried, whole, taken),
    )


class _Scorer:
    """Refines and scores pieces by several settings at once, in threads: a watershed and filters let others run."""

    def __init__(
        self, validator: Validator, settings: TunerConfig, axes: Sequence[Axis], pool: ThreadPoolExecutor, bar: Progress
    ):
        self._validator, self._settings, self._axes, self._pool, self._bar = validator, settings, axes, pool, bar
        self.tried: dict[Position, PartCounts | None] = {}  # in order, the start first

    def refinement(self, position: Position) -> RefineConfig | None:
        """The refinement of a position; None where its settings exclude each other."""
        try:
            return replace(self._validator.refine, **settings_at(self._axes, position))
        except UserError:
            return None

    def sure_gains(self, positions: Sequence[Position], pieces: Sequence[Piece]) -> list[float]:
        """Try positions, the start first of all: as `sure_gain`."""
        self.tried |= self.counts(positions, pieces)
        for position in positions:
            self._bar.done(f"{self._settings.index.name} {_value(self.tried[position]):.3f}")
        return [self.sure_gain(position) for position in positions]

    def sure_gain(self, position: Position) -> float:
        """What a position that was tried gains over the start beyond chance."""
        return _sure_gain(next(iter(self.tried.values())), self.tried[position], self._settings.margin)

    def counts(self, positions: Sequence[Position], pieces: Sequence[Piece]) -> dict[Position, PartCounts | None]:
        """Sums over the parts of the pieces for each position; None where it makes no sense."""
        refinements = {position: self.refinement(position) for position in positions}
        jobs = [(how, piece) for how, piece in product(refinements.values(), pieces) if how is not None]
        found = iter(self._pool.map(lambda job: self._one(*job), jobs))  # in the order of the jobs
        return {
            position: None if how is None else join([next(found) for _ in pieces])
            for position, how in refinements.items()
        }

    def _one(self, how: RefineConfig, piece: Piece) -> PartCounts:
        region = piece.region
        labels = self._validator.cells(region, piece.probability, how)
        return part_counts(
            self._settings.index, region.cells, labels, piece.parts, nuclei=region.seeds, ignored=region.ignored
        )


def _value(counts: PartCounts | None) -> float:
    return float("-inf") if counts is None else counts.value


def _error(first: PartCounts | None, other: PartCounts | None) -> float:
    return float("inf") if first is None or other is None else gain_error(first, other)


def _sure_gain(first: PartCounts | None, other: PartCounts | None, margin: float) -> float:
    """What an index gains, less so many standard errors of the gain; 0 for the same, -inf where nothing is known."""
    if first is other:
        return 0.0
    gain = _value(other) - _value(first)
    return gain if margin == 0 else gain - margin * _error(first, other)


def _limits(settings: TunerConfig, total_pixels: int, max_minutes: float | None) -> tuple[int, float]:
    """Largest number of settings, and of pixels on which each is tried."""
    pixels = min(1e6 * settings.sample_megapixels, total_pixels)
    if max_minutes is None:
        return settings.evaluations, pixels
    affordable = 1e6 * settings.share * 60 * max_minutes / _SECONDS_PER_MEGAPIXEL
    pixels = min(pixels, max(affordable / _FEWEST_EVALUATIONS, _FEWEST_PIXELS))
    return max(min(settings.evaluations, int(affordable / pixels)), 1), pixels


def _workers() -> int:
    return max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 1)


def _table(
    axes: Sequence[Axis],
    trials: Sequence[Trial],
    tried: dict[Position, PartCounts | None],
    on_all: dict[Position, PartCounts | None],
    taken: Position,
) -> pd.DataFrame:
    """One row per trial in order, with its settings by their full keys."""
    first = tried[trials[0].position]
    rows = []
    for number, trial in enumerate(trials):
        settings = settings_at(axes, trial.position)
        rows.append(
            {
                "trial": number,
                **{f"refine.{name}": getattr(value, "name", value) for name, value in settings.items()},
                "index": _finite(_value(tried[trial.position])),
                "gain_error": _finite(_error(first, tried[trial.position])),
                "index_all": _finite(_value(on_all.get(trial.position))),
                "accepted": trial.accepted,
                "chosen": trial.position == taken,
            }
        )
    return pd.DataFrame(rows)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
