"""Cells as connected components of the interior probability (P1, bacteria and nuclei)."""

from dataclasses import dataclass

import numpy as np

from cellflax.errors import UserError
from cellflax.refine.clean import components, expand, fill_holes, remove_small, renumber


@dataclass
class ThresholdConfig:
    """Settings of the threshold.

    Attributes:
        interior: a pixel is inside a cell above this interior probability. P1 takes 0.6 for bacteria and
            0.5 to 0.75 for nuclei; touching cells come apart at higher values, dim ones appear at lower.
        fill_holes: close holes that one cell encloses.
        min_area_px: smallest cell, before it is expanded.
        expand_px: finally grow the cells by this many pixels, to make up for a high threshold.
    """

    interior: float = 0.6
    fill_holes: bool = True
    min_area_px: int = 50
    expand_px: int = 0

    def __post_init__(self):
        check_interior_threshold(self.interior)
        check_not_negative(self, "min_area_px", "expand_px")


def check_interior_threshold(value: float) -> None:
    """Refuse a threshold that no probability, or every one, exceeds."""
    if not 0 < value < 1:
        raise UserError(f"refine.interior must be in (0, 1), got {value}")


def check_not_negative(config: object, *keys: str) -> None:
    """Refuse negative values of the named settings."""
    for key in keys:
        if getattr(config, key) < 0:
            raise UserError(f"refine.{key} must be 0 or more, got {getattr(config, key)}")


def refine_by_threshold(config: ThresholdConfig, interior: np.ndarray) -> np.ndarray:
    """Label the 4-connected components of interior > threshold.

    Args:
        config: the settings.
        interior: (H, W) probability.

    Returns:
        (H, W) int32 labels 1...n in reading order, 0 = background.
    """
    labels = components(interior > config.interior)
    labels = remove_small(labels, config.min_area_px)
    if config.fill_holes:
        labels = fill_holes(labels)
    return renumber(expand(labels, config.expand_px))
