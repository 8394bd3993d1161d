"""One cell per nucleus: a watershed within the known inside of cells, and its settings."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage
from skimage import segmentation

from cellflax.checks import above, at_least, check
from cellflax.labels import components, renumber
from cellflax.refine.base import RefineConfig
from cellflax.refine.clean import ExpandShape, expand, fill_holes, smooth_outlines
from cellflax.refine.search_space import KnownCells, shares, whole_shares


class Landscape(Enum):
    """What the watershed floods, lowest first."""

    interior = "interior"  # -p(interior)
    edge = "edge"  # p(edge) - p(interior): also separates an edge between two cells from a dim interior


@dataclass
class SeededConfig(RefineConfig):
    """Settings of every refinement that takes nuclei; each adds how it finds the inside of cells, and what it floods.

    Attributes:
        smoothing_px: standard deviation of a Gaussian over the landscape.
        fill_holes: close holes that one cell encloses.
        outline_px: standard deviation of a Gaussian over each cell's mask, which smooths its outline. Outlines drawn
            by hand are smoother than a network's.
        expand_px: finally, the cells grow by this many pixels, into the background only.
        expand_shape: what a pixel grows to: a disc of this radius, or a square of 2 expand_px + 1 pixels (a
            dilation by n x n, as in P2).
        seed_overlap: a given seed makes a cell if this share of it is inside; nuclei where the network sees
            no cell (debris, another focal plane, the border that a network leaves empty) are left out. The default is
            small because a nucleus wrongly left out does more harm: its cell goes to the neighbours.
    """

    takes_seeds: ClassVar[bool] = True

    smoothing_px: float = 0.0
    fill_holes: bool = True
    outline_px: float = 0.0
    expand_px: int = 0
    expand_shape: ExpandShape = ExpandShape.disc
    seed_overlap: float = 0.1

    def __post_init__(self):
        check(self, "refine", at_least(0), "smoothing_px", "outline_px", "expand_px")
        check(self, "refine", above(0, at_most=1), "seed_overlap")

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The outline, and the landscape's smoothing; and, with given nuclei, which of them make a cell."""
        width = cells.width_px
        return {
            "expand_px": sorted({0, *(px for px in (1, 2, 3) if px <= width / 4), *whole_shares(width, (0.05, 0.1))}),
            "outline_px": shares(width, (0, 0.02, 0.04, 0.08)),
            "smoothing_px": shares(width, (0, 0.02, 0.04, 0.08)),
            **({"seed_overlap": [0.1, 0.3, 0.5, 0.7]} if cells.seeded else {}),
        }


@dataclass
class FloodConfig(SeededConfig):
    """Settings of the refinements that flood class probabilities, besides those of `SeededConfig`.

    Attributes:
        landscape: what is flooded.
    """

    landscape: Landscape = Landscape.edge

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The landscape, and what every refinement that takes nuclei has."""
        return {"landscape": list(Landscape), **super().search_space(cells)}


def flood(
    config: FloodConfig, interior: np.ndarray, edge: np.ndarray, inside: np.ndarray, markers: np.ndarray
) -> np.ndarray:
    """Share the inside of the cells out among their markers.

    Args:
        config: landscape and its smoothing.
        interior: (H, W) probability.
        edge: (H, W) probability, zeros if the network has no such class.
        inside: (H, W) bool; a marker belongs to its cell even where it is not inside.
        markers: (H, W) int32, 0 = none.

    Returns:
        (H, W) int32, the marker that each pixel belongs to, 0 = background.
    """
    height = edge - interior if config.landscape is Landscape.edge else -interior
    return flood_from(height, config.smoothing_px, inside, markers)


def flood_from(height: np.ndarray, smoothing_px: float, inside: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """`flood` of any landscape.

    Args:
        height: (H, W), flooded from its lowest places.
        smoothing_px: standard deviation of a Gaussian over it.
        inside: as in `flood`.
        markers: as in `flood`.
    """
    if smoothing_px > 0:
        height = ndimage.gaussian_filter(height, smoothing_px)
    return segmentation.watershed(height, markers, mask=inside | (markers > 0)).astype(np.int32)


def finish(config: SeededConfig, labels: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """Close the holes of the cells flooded from markers; smooth, grow and number them 1...n in the markers' order."""
    if config.fill_holes:
        labels = fill_holes(labels)
    labels = smooth_outlines(labels, markers, config.outline_px)
    return renumber(expand(labels, config.expand_px, config.expand_shape))


def seeds_inside(seeds: np.ndarray, inside: np.ndarray, min_overlap: float) -> np.ndarray:
    """Reduce seeds to those sufficiently inside, in one piece each, numbered 1...n in their own order.

    Args:
        seeds: (H, W) integer labels, 0 = none. Only the largest piece of a label counts.
        inside: (H, W) bool.
        min_overlap: the share of a seed that must be inside.
    """
    seeds = _largest_pieces(renumber(seeds))
    area = np.bincount(seeds.ravel())
    area_inside = np.bincount(seeds.ravel(), weights=inside.ravel())
    kept = area_inside >= min_overlap * area
    return renumber(np.where(kept[seeds], seeds, 0))


def _largest_pieces(labels: np.ndarray) -> np.ndarray:
    """Keep only the largest 4-connected component of each label 1...n."""
    pieces = components(labels)
    owner = np.zeros(pieces.max() + 1, labels.dtype)
    owner[pieces] = labels
    by_area = np.argsort(np.bincount(pieces.ravel()), kind="stable")
    largest = np.zeros(labels.max() + 1, np.intp)
    largest[owner[by_area]] = by_area  # the last one written, the largest, stays
    return np.where(largest[labels] == pieces, labels, 0)
