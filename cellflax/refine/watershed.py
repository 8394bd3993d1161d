"""Cells by a watershed of the network's probabilities, from nuclei or from its own seeds."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflax.checks import above, at_least, check
from cellflax.labels import components, remove_small
from cellflax.refine.base import FieldMaps
from cellflax.refine.flood import FloodConfig, finish, flood, seeds_inside
from cellflax.refine.maxima import maxima_inside
from cellflax.refine.search_space import KnownCells, own_seeds, thresholds, whole_shares


@dataclass
class WatershedConfig(FloodConfig):
    """Settings of the watershed, besides those of `FloodConfig` and `SeededConfig`.

    Attributes:
        interior: a pixel is inside some cell above this interior probability. The default is below 0.5
            because training on equal numbers of pixels per class, as in P1, overestimates edges.
        min_area_px: smallest cell; one grown from a given seed is kept whatever its size.
        keep_unseeded: with seeds given, also keep the inside components that no seed reaches, one cell each.
        seed_smoothing_px: without seeds, standard deviation of the Gaussian over the interior probability
            whose maxima are the seeds. About an eighth of a cell's width.
        seed_depth: without seeds, how far the smoothed probability must fall between two cells.
    """

    interior: float = 0.4
    min_area_px: int = 50
    keep_unseeded: bool = False
    seed_smoothing_px: float = 4.0
    seed_depth: float = 0.2

    def __post_init__(self):
        super().__post_init__()
        check(self, "refine", above(0, below=1), "interior")
        check(self, "refine", at_least(0), "min_area_px", "seed_smoothing_px")
        check(self, "refine", above(0, at_most=1), "seed_depth")

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The threshold, the seeds, the smallest cell, and what every flood has."""
        return {
            "interior": thresholds(),
            **({"keep_unseeded": [False, True]} if cells.seeded else own_seeds(cells)),
            "min_area_px": whole_shares(cells.area_px, (0, 0.05, 0.1, 0.2, 0.3)),
            **super().search_space(cells),
        }

    def label(self, field: FieldMaps) -> np.ndarray:
        """See `refine_by_watershed`."""
        return refine_by_watershed(self, field.maps.interior, field.maps.edge, field.seeds)


def refine_by_watershed(
    config: WatershedConfig, interior: np.ndarray, edge: np.ndarray, seeds: np.ndarray | None = None
) -> np.ndarray:
    """Flood the inside of the cells from their seeds.

    If nuclei are known, each gives one cell, as in the last step of Van Valen 2016 (P1). Without them, the seeds
    are the maxima of the smoothed interior probability that stand out by `seed_depth` (h-maxima); a component of
    the inside without any such maximum is one cell.

    Args:
        config: the settings.
        interior: (H, W) probability.
        edge: (H, W) probability, zeros if the network has no such class.
        seeds: (H, W) integer labels, 0 = none. Only the largest piece of a label counts.

    Returns:
        (H, W) int32 labels 1...n in the order of the seeds, 0 = background; each cell is one 4-connected
        component that holds its seed.
    """
    inside = interior > config.interior
    if seeds is None:
        markers, n_given = maxima_inside(interior, inside, config.seed_smoothing_px, config.seed_depth), 0
    else:
        markers = seeds_inside(seeds, inside, config.seed_overlap)
        n_given = int(markers.max())
        if config.keep_unseeded:
            markers = _add_unseeded(markers, inside)
    labels = flood(config, interior, edge, inside, markers)
    return finish(config, remove_small(labels, config.min_area_px, first=n_given + 1), markers)


def _add_unseeded(markers: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Append every component of the inside that no marker reaches as a marker of its own."""
    parts = components(inside | (markers > 0))
    unseeded = np.ones(parts.max() + 1, bool)
    unseeded[parts[markers > 0]] = False
    unseeded[0] = False
    return np.where(unseeded[parts], parts + markers.max(), markers)
