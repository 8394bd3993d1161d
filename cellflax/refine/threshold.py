"""Cells as connected components of the interior probability, as in Van Valen 2016 (P1) for bacteria and nuclei."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from skimage.filters import rank

from cellflax.checks import above, at_least, check, odd
from cellflax.errors import UserError
from cellflax.labels import components, remove_small, renumber
from cellflax.refine.base import FieldMaps, RefineConfig
from cellflax.refine.clean import expand, fill_holes, remove_odd
from cellflax.refine.search_space import KnownCells, thresholds, whole_shares

# Probabilities are rounded to this many levels for the local median, which is then off by at most 0.0005. A histogram
# can then slide along the image; otherwise every window would have to be sorted.
_LEVELS = 1024


@dataclass
class ThresholdConfig(RefineConfig):
    """Settings of the threshold.

    Attributes:
        interior: a pixel is inside a cell above this interior probability. P1 takes 0.6 for bacteria and
            0.5 to 0.75 for nuclei. Higher values separate touching cells; lower values find dim cells.
        adaptive: a pixel must also exceed its local median by -offset. For dim nuclei P1 uses only this condition;
            to do so, set interior to -offset, which the condition implies.
        block_px: edge of the square that the local median is taken over, odd; larger than two nuclei.
        offset: subtracted from the local median, as in `skimage.filters.threshold_local`.
        fill_holes: close holes that one cell encloses.
        min_area_px: smallest cell, before it is expanded.
        max_area_px: largest cell, with its holes filled; null for no limit.
        max_eccentricity: a cell whose ellipse is more eccentric is dropped (0 a circle, 1 a line); null for no limit.
        min_solidity: a cell that fills less of its convex hull is dropped; null for no limit.
        expand_px: finally, the cells grow by this many pixels, to make up for a high threshold.
    """

    interior: float = 0.6
    adaptive: bool = False
    block_px: int = 61
    offset: float = -0.075
    fill_holes: bool = True
    min_area_px: int = 50
    max_area_px: int | None = None
    max_eccentricity: float | None = None
    min_solidity: float | None = None
    expand_px: int = 0

    def __post_init__(self):
        check(self, "refine", above(0, below=1), "interior")
        check(self, "refine", odd(3), "block_px")
        check(self, "refine", above(-1, below=1), "offset")
        check(self, "refine", at_least(0), "min_area_px", "expand_px")
        check(self, "refine", at_least(1), "max_area_px")
        check(self, "refine", above(0, at_most=1), "max_eccentricity", "min_solidity")
        if self.max_area_px is not None and self.max_area_px < self.min_area_px:
            raise UserError(
                f"refine.max_area_px must be at least refine.min_area_px, got {self.max_area_px} and {self.min_area_px}"
            )

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The thresholds, the smallest cell and how far cells grow."""
        blocks = [2 * half + 1 for half in whole_shares(cells.width_px, (1, 1.5, 2)) if half > 0]
        local = {"offset": [-0.2, -0.15, -0.1, -0.075, -0.05, -0.025], "block_px": blocks}
        return {
            "interior": thresholds(0.05, 0.95),
            **(local if self.adaptive else {}),
            "min_area_px": whole_shares(cells.area_px, (0, 0.05, 0.1, 0.2, 0.3)),
            "expand_px": [0, *(px for px in (1, 2, 3, 4) if px <= cells.width_px / 4)],
        }

    def label(self, field: FieldMaps) -> np.ndarray:
        """See `refine_by_threshold`."""
        return refine_by_threshold(self, field.maps.interior)


def refine_by_threshold(config: ThresholdConfig, interior: np.ndarray) -> np.ndarray:
    """Label the 4-connected components of what exceeds the threshold, and drop those of the wrong shape.

    Args:
        config: the settings.
        interior: (H, W) probability.

    Returns:
        (H, W) int32 labels 1...n in reading order, 0 = background.
    """
    inside = interior > config.interior
    if config.adaptive:
        inside &= interior > local_median(interior, config.block_px) - config.offset
    labels = remove_small(components(inside), config.min_area_px)
    if config.fill_holes:
        labels = fill_holes(labels)
    labels = remove_odd(
        labels,
        max_area_px=config.max_area_px,
        max_eccentricity=config.max_eccentricity,
        min_solidity=config.min_solidity,
    )
    return renumber(expand(labels, config.expand_px))


def local_median(probability: np.ndarray, block_px: int) -> np.ndarray:
    """Median over the square around every pixel of a probability, (H, W); mirrored beyond the image."""
    margin = block_px // 2
    levels = np.round(np.pad(probability, margin, mode="symmetric") * (_LEVELS - 1)).astype(np.uint16)
    median = rank.median(levels, np.ones((block_px, block_px), np.uint8))
    return median[margin:-margin, margin:-margin] / np.float32(_LEVELS - 1)
