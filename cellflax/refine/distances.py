"""Cells from the distances that a network predicts: seeds where both say centre, then a watershed."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import numpy as np

from cellflax.checks import above, at_least, check
from cellflax.labels import remove_small
from cellflax.refine.base import FieldMaps
from cellflax.refine.classes import ClassMaps
from cellflax.refine.flood import SeededConfig, finish, flood_from, seeds_inside
from cellflax.refine.maxima import maxima_inside
from cellflax.refine.search_space import KnownCells, own_seeds, thresholds, whole_shares


class DistanceLandscape(Enum):
    """What the watershed floods, lowest first."""

    distance = "distance"  # minus the distance to the outline
    classes = "classes"  # p(edge) - p(interior): seeds from the distances, outlines from the classes


@dataclass
class DistancesConfig(SeededConfig):
    """Settings of the refinement by distances, besides those of `SeededConfig`.

    Attributes:
        interior: a pixel is inside some cell above this interior probability.
        landscape: what is flooded.
        min_area_px: smallest cell; one grown from a given nucleus is kept whatever its size.
        seed_smoothing_px: without given nuclei, standard deviation of the Gaussian over the map whose maxima are the
            seeds.
        seed_depth: without given nuclei, how far that map, which is in 0 ... 1, must fall between two cells.
    """

    needs_distances: ClassVar[bool] = True

    interior: float = 0.5
    landscape: DistanceLandscape = DistanceLandscape.distance
    min_area_px: int = 30
    seed_smoothing_px: float = 1.0
    seed_depth: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        check(self, "refine", above(0, below=1), "interior")
        check(self, "refine", at_least(0), "min_area_px", "seed_smoothing_px")
        check(self, "refine", above(0, at_most=1), "seed_depth")

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The threshold, the seeds, the smallest cell, the landscape, and what every such refinement has."""
        return {
            "interior": thresholds(),
            **({} if cells.seeded else own_seeds(cells)),
            "min_area_px": whole_shares(cells.area_px, (0, 0.05, 0.1, 0.2, 0.3)),
            "landscape": list(DistanceLandscape),
            **super().search_space(cells),
        }

    def own_seeds(self, maps: ClassMaps, pixel_size_um: float | None) -> np.ndarray | None:
        """None: the seeds come from the distances, also where the network has a class for nuclei."""
        return None

    def label(self, field: FieldMaps) -> np.ndarray:
        """See `refine_by_distances`."""
        return refine_by_distances(self, field.maps, field.seeds)


def refine_by_distances(config: DistancesConfig, maps: ClassMaps, seeds: np.ndarray | None = None) -> np.ndarray:
    """Flood the inside of the cells from the places that both distances call a centre.

    The seeds are the prominent maxima (h-maxima) of the mean of the distance to the outline and 1 minus the distance to
    the centre. In a rod the first is high all along the axis, and the second has one maximum; between two cells that
    touch, both fall. A component of the inside without such a maximum is one cell.

    Args:
        config: the settings.
        maps: probabilities and distances.
        seeds: (H, W) integer labels of given nuclei, 0 = none, which take the place of these seeds.

    Returns:
        (H, W) int32 labels 1...n in the order of the seeds, 0 = background; each cell is one 4-connected component
        that holds its seed.
    """
    assert maps.centre is not None, "check_classes refuses other networks"
    assert maps.boundary is not None, "check_classes refuses other networks"
    inside = maps.interior > config.interior
    if seeds is None:
        centrality = (maps.boundary + 1 - maps.centre) / 2
        markers, n_given = maxima_inside(centrality, inside, config.seed_smoothing_px, config.seed_depth), 0
    else:
        markers = seeds_inside(seeds, inside, config.seed_overlap)
        n_given = int(markers.max())
    height = -maps.boundary if config.landscape is DistanceLandscape.distance else maps.edge - maps.interior
    labels = flood_from(height, config.smoothing_px, inside, markers)
    return finish(config, remove_small(labels, config.min_area_px, first=n_given + 1), markers)
