"""Cells by a watershed of the network's probabilities, from nuclei or from seeds of its own."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import ndimage
from skimage import measure, segmentation

from cellflax.errors import UserError
from cellflax.refine.clean import components, expand, fill_holes, remove_small, renumber
from cellflax.refine.maxima import prominent_maxima
from cellflax.refine.threshold import check_interior_threshold, check_not_negative


class Landscape(Enum):
    """What the watershed floods, lowest first."""

    interior = "interior"  # -p(interior)
    edge = "edge"  # p(edge) - p(interior): also tells an edge between two cells from a dim interior


@dataclass
class WatershedConfig:
    """Settings of the watershed.

    Attributes:
        interior: a pixel is inside some cell above this interior probability. The default is below 0.5
            because training on classes of equal number, as P1 does, makes edges likelier than they are.
        landscape: what is flooded.
        smoothing_px: standard deviation of a Gaussian over the landscape.
        fill_holes: close holes that one cell encloses.
        min_area_px: smallest cell; one grown from a given seed is kept whatever its size.
        expand_px: finally grow the cells by this many pixels.
        seed_overlap: a given seed makes a cell if this share of it is inside; nuclei where the network sees
            no cell (debris, another focal plane, the border that a network leaves empty) are left out. It is
            small because a nucleus left out does more harm: its cell goes to the neighbours.
        keep_unseeded: with seeds given, also keep the inside components that no seed reaches, one cell each.
        seed_smoothing_px: without seeds, standard deviation of the Gaussian over the interior probability
            whose maxima are the seeds. About an eighth of a cell's width.
        seed_depth: without seeds, how far (in probability) it must fall between two cells.
    """

    interior: float = 0.4
    landscape: Landscape = Landscape.edge
    smoothing_px: float = 0.0
    fill_holes: bool = True
    min_area_px: int = 50
    expand_px: int = 0
    seed_overlap: float = 0.1
    keep_unseeded: bool = False
    seed_smoothing_px: float = 4.0
    seed_depth: float = 0.2

    def __post_init__(self):
        check_interior_threshold(self.interior)
        check_not_negative(self, "smoothing_px", "min_area_px", "expand_px", "seed_smoothing_px")
        for key in ("seed_overlap", "seed_depth"):
            if not 0 < getattr(self, key) <= 1:
                raise UserError(f"refine.{key} must be in (0, 1], got {getattr(self, key)}")


def refine_by_watershed(
    config: WatershedConfig, interior: np.ndarray, edge: np.ndarray, seeds: np.ndarray | None = None
) -> np.ndarray:
    """Flood the inside of the cells from their seeds.

    Where nuclei are known each gives one cell, as in P1's last step. Without them the seeds are the maxima
    of the smoothed interior probability that stand out by `seed_depth` (h-maxima), and a component of the
    inside without any is one cell.

    Args:
        config: the settings.
        interior: (H, W) probability.
        edge: (H, W) probability, zeros where the network has no such class.
        seeds: (H, W) integer labels, 0 = none. A label in several pieces counts as its largest.

    Returns:
        (H, W) int32 labels 1...n in the order of the seeds, 0 = background; each cell is one 4-connected
        component that holds its seed.
    """
    inside = interior > config.interior
    if seeds is None:
        markers, n_given = _own_seeds(config, interior, inside), 0
    else:
        markers = _seeds_inside(seeds, inside, config.seed_overlap)
        n_given = int(markers.max())
        if config.keep_unseeded:
            markers = _add_unseeded(markers, inside)
    labels = segmentation.watershed(_landscape(config, interior, edge), markers, mask=inside | (markers > 0))
    labels = remove_small(labels.astype(np.int32), config.min_area_px, first=n_given + 1)
    if config.fill_holes:
        labels = fill_holes(labels)
    return renumber(expand(labels, config.expand_px))


def _landscape(config: WatershedConfig, interior: np.ndarray, edge: np.ndarray) -> np.ndarray:
    height = edge - interior if config.landscape is Landscape.edge else -interior
    return ndimage.gaussian_filter(height, config.smoothing_px) if config.smoothing_px > 0 else height


def _own_seeds(config: WatershedConfig, interior: np.ndarray, inside: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(interior, config.seed_smoothing_px)
    seeds = np.zeros(inside.shape, np.int32)
    n = 0
    for region in measure.regionprops(components(inside)):
        markers = prominent_maxima(smooth[region.slice], region.image, config.seed_depth)
        seeds[region.slice] += np.where(markers > 0, markers + n, 0)
        n += int(markers.max())
    return seeds


def _seeds_inside(seeds: np.ndarray, inside: np.ndarray, min_overlap: float) -> np.ndarray:
    """Reduce seeds to those sufficiently inside, in one piece each, numbered 1...n in their own order."""
    seeds = _largest_pieces(renumber(seeds))
    area = np.bincount(seeds.ravel())
    area_inside = np.bincount(seeds.ravel(), weights=inside.ravel())
    kept = area_inside >= min_overlap * area
    return renumber(np.where(kept[seeds], seeds, 0))


def _largest_pieces(labels: np.ndarray) -> np.ndarray:
    """Keep of each label 1...n its largest 4-connected component."""
    pieces = components(labels)
    owner = np.zeros(pieces.max() + 1, labels.dtype)
    owner[pieces] = labels
    by_area = np.argsort(np.bincount(pieces.ravel()), kind="stable")
    largest = np.zeros(labels.max() + 1, np.intp)
    largest[owner[by_area]] = by_area  # the last one written, the largest, stays
    return np.where(largest[labels] == pieces, labels, 0)


def _add_unseeded(markers: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Append every component of the inside that no marker reaches as a marker of its own."""
    parts = components(inside | (markers > 0))
    unseeded = np.ones(parts.max() + 1, bool)
    unseeded[parts[markers > 0]] = False
    unseeded[0] = False
    return np.where(unseeded[parts], parts + markers.max(), markers)
