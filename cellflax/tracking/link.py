"""Links between two frames: which pairs of cells are possible, what each costs, and which are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.tracking.assignment import assign
from cellflax.tracking.candidates import Candidates, find_candidates, sister_pairs
from cellflax.tracking.cells import FrameCells
from cellflax.tracking.hypotheses import Hypotheses


class LengthUnit(Enum):
    """Unit of the gate: diameters of the movie's typical cell, pixels or micrometres."""

    diameters = "diameters"
    px = "px"
    um = "um"


@dataclass
class LinkConfig:
    """Costs of links and divisions, and the gate beyond which there are none.

    A link costs the weighted mean of three terms in [0, 1]: the share of the smaller cell that does not overlap the
    larger, the distance of the centroids in units of the gate, and the area's change in octaves (1 for half or
    double). A division is a link to the union of the daughters, with a fourth term for their difference in area, and
    the cost of dividing. Linking competes with death and birth.

    Attributes:
        max_distance: largest distance between centroids; overlapping cells are linked beyond it, at the full cost.
        unit: unit of max_distance.
        overlap_weight: weight of the overlap among the terms.
        distance_weight: weight of the distance.
        area_weight: weight of the area's change.
        daughter_weight: weight of the difference in area between daughters; an octave costs half.
        birth_cost: cost of a cell without a predecessor.
        death_cost: cost of a cell without a successor.
        division_cost: cost of a division, in addition to that of its terms.
        max_division_change: largest ratio, either way, of the daughters' summed area to the parent's.
        max_daughter_ratio: largest ratio of the daughters' areas.
    """

    max_distance: float = 1.5
    unit: LengthUnit = LengthUnit.diameters
    overlap_weight: float = 1.0
    distance_weight: float = 1.0
    area_weight: float = 1.0
    daughter_weight: float = 1.0
    birth_cost: float = 0.5
    death_cost: float = 0.5
    division_cost: float = 0.3
    max_division_change: float = 2.0
    max_daughter_ratio: float = 4.0

    def __post_init__(self) -> None:
        check(self, "link", above(0), "max_distance", "birth_cost", "death_cost")
        check(self, "link", at_least(0), "overlap_weight", "distance_weight", "area_weight", "daughter_weight")
        check(self, "link", at_least(0), "division_cost")
        check(self, "link", at_least(1), "max_division_change", "max_daughter_ratio")
        if not self.overlap_weight + self.distance_weight + self.area_weight > 0:
            raise UserError("link: one of overlap_weight, distance_weight and area_weight must be above 0")

    def gate_px(self, diameter_px: float, pixel_size_um: float | None) -> float:
        """The gate in pixels.

        Args:
            diameter_px: diameter of the typical cell.
            pixel_size_um: edge of a pixel, if known.

        Raises:
            UserError: if the unit is micrometres and the pixel size is not known.
        """
        if self.unit is LengthUnit.px:
            return self.max_distance
        if self.unit is LengthUnit.diameters:
            return self.max_distance * diameter_px
        if pixel_size_um is None:
            raise UserError("link.unit=um needs the size of a pixel, which the files do not say; add pixel_size_um=...")
        return self.max_distance / pixel_size_um


def link_frames(
    before: FrameCells,
    after: FrameCells,
    config: LinkConfig,
    gate_px: float,
    shift: Sequence[int] | np.ndarray = (0, 0),
) -> np.ndarray:
    """Link the cells of two frames.

    Args:
        before: the earlier frame.
        after: the later one.
        config: costs.
        gate_px: `config.gate_px(...)`.
        shift: rows and columns that the field moved in between.

    Returns:
        (K, 2) rows of the frames' cells: one pair per link, two per division.
    """
    candidates = find_candidates(before, after, gate_px, shift)
    cost = link_cost(candidates, config, gate_px)
    useful = cost < config.birth_cost + config.death_cost
    divisions, division_cost = _divisions(candidates, cost, config, gate_px)
    return assign(
        Hypotheses(
            links=candidates.pair[useful],
            link_cost=cost[useful],
            divisions=divisions,
            division_cost=division_cost,
            n_parents=len(before),
            n_children=len(after),
            birth_cost=config.birth_cost,
            death_cost=config.death_cost,
        )
    )


def link_cost(candidates: Candidates, config: LinkConfig, gate_px: float) -> np.ndarray:
    """Cost of each candidate as a link, (P,) in [0, 1]."""
    distance = np.hypot(*candidates.step.T)
    return _weighted_mean(_terms(candidates.pixels, candidates.area, distance, config, gate_px))


def _terms(
    pixels: np.ndarray, area: np.ndarray, distance: np.ndarray, config: LinkConfig, gate_px: float
) -> list[tuple[float, np.ndarray]]:
    """Weights and terms of going from one area to another; `area` is (P, 2)."""
    return [
        (config.overlap_weight, 1 - pixels / area.min(axis=1)),
        (config.distance_weight, np.minimum(distance / gate_px, 1)),
        (config.area_weight, np.minimum(np.abs(np.log2(area[:, 1] / area[:, 0])), 1)),
    ]


def _weighted_mean(terms: list[tuple[float, np.ndarray]]) -> np.ndarray:
    return np.sum([weight * term for weight, term in terms], axis=0) / sum(weight for weight, _ in terms)


def _divisions(
    candidates: Candidates, link_costs: np.ndarray, config: LinkConfig, gate_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Divisions that areas and distances allow, (D, 3) parent and daughters, and their costs.

    Divisions that cost more than the parent's best link and the birth of another cell are left out: in a dense field,
    these are the majority, and each would compete for the neighbours' cells.
    """
    # A daughter is smaller than the largest area that both together may have.
    smaller = candidates.area[:, 1] < config.max_division_change * candidates.area[:, 0]
    one, two = sister_pairs(candidates, np.flatnonzero(smaller))
    parent_area, daughter_area = candidates.area[one, 0], candidates.area[[one, two], 1]
    both = daughter_area.sum(axis=0)
    # From the parent's centroid to that of the daughters' union.
    step = np.sum(daughter_area[..., None] * candidates.step[[one, two]], axis=0) / both[:, None]
    distance = np.hypot(*step.T)
    unlike = np.abs(np.log2(daughter_area[0] / daughter_area[1]))
    terms = _terms(
        candidates.pixels[one] + candidates.pixels[two],
        np.stack([parent_area, both], axis=-1),
        distance,
        config,
        gate_px,
    )
    cost = config.division_cost + _weighted_mean([*terms, (config.daughter_weight, np.minimum(unlike / 2, 1))])
    parent = candidates.pair[one, 0]
    best = np.full(int(candidates.pair[:, 0].max(initial=-1)) + 1, config.birth_cost + config.death_cost)
    np.minimum.at(best, candidates.pair[:, 0], link_costs)
    useful = (
        (np.abs(np.log2(both / parent_area)) <= np.log2(config.max_division_change))
        & (unlike <= np.log2(config.max_daughter_ratio))
        & (distance <= gate_px)
        & (cost < best[parent] + config.birth_cost)
    )
    return np.column_stack([candidates.pair[one], candidates.pair[two, 1]])[useful], cost[useful]
