"""Cells by an active contour that grows from the nuclei, as in Van Valen 2016 (P1) for mammalian cytoplasm."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.refine.base import FieldMaps
from cellflax.refine.chan_vese import chan_vese
from cellflax.refine.flood import FloodConfig, finish, flood, seeds_inside
from cellflax.refine.search_space import KnownCells, whole_shares


@dataclass
class ActiveContourConfig(FloodConfig):
    """Settings of the contour, besides those of `FloodConfig` for the watershed that divides its inside.

    Attributes:
        iterations: steps of the contour; P1: 40 to 120, by cell line. It moves by a pixel a step, so this
            bounds how far a cell reaches beyond its nucleus.
        smoothing: smoothing operators in each step; P1: 1 or 2. More of them exclude narrow protrusions.
        inside_weight: lambda 1 of the method; P1: 1. A value above outside_weight encloses fewer dim pixels.
        outside_weight: lambda 2; P1: 1.
    """

    needs_seeds: ClassVar[bool] = True
    takes_levels: ClassVar[bool] = True

    iterations: int = 80
    smoothing: int = 1
    inside_weight: float = 1.0
    outside_weight: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        check(self, "refine", at_least(0), "iterations", "smoothing")
        check(self, "refine", above(0), "inside_weight", "outside_weight")

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The weight of the inside, the contour's steps and smoothing, and what every flood has."""
        return {
            "inside_weight": [0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0],
            "iterations": whole_shares(cells.width_px, (0.5, 1, 1.5, 2, 3)),
            "smoothing": [0, 1, 2, 3],
            **super().search_space(cells),
        }

    def label(self, field: FieldMaps) -> np.ndarray:
        """See `refine_by_active_contour`."""
        return refine_by_active_contour(self, field.maps.interior, field.maps.edge, field.seeds)


def refine_by_active_contour(
    config: ActiveContourConfig, interior: np.ndarray, edge: np.ndarray, seeds: np.ndarray | None
) -> np.ndarray:
    """Grow a contour from the nuclei over the interior probability and divide its inside among them.

    Args:
        config: the settings.
        interior: (H, W) probability.
        edge: (H, W) probability, zeros where the network has no such class.
        seeds: (H, W) integer labels of nuclei, 0 = none. Only the largest piece of a label counts.

    Returns:
        (H, W) int32 labels 1...n in the order of the nuclei, 0 = background; each cell is one 4-connected
        component that holds its nucleus.

    Raises:
        UserError: without nuclei.
    """
    if seeds is None:
        raise UserError(
            "refine=active_contour starts from nuclei, but there are none: "
            "give nuclei=... or take refine=watershed, which finds its own seeds"
        )
    contour = chan_vese(
        interior,
        seeds > 0,
        config.iterations,
        smoothing=config.smoothing,
        inside_weight=config.inside_weight,
        outside_weight=config.outside_weight,
    )
    inside = contour & (interior > 0)  # an image without any probability does not move the contour
    if _encloses_background(inside, interior):
        return np.zeros(interior.shape, np.int32)
    markers = seeds_inside(seeds, inside, config.seed_overlap)
    return finish(config, flood(config, interior, edge, inside, markers), markers)


def _encloses_background(inside: np.ndarray, interior: np.ndarray) -> bool:
    """Whether the inside is the part of lower probability.

    The contour only separates two levels: if all nuclei lie in the background, it encloses the background.
    """
    if inside.all() or not inside.any():
        return False
    return bool(interior[inside].mean() < interior[~inside].mean())
