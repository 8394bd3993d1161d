"""Flag the annotated sites that need a second look, by cell count, saturation and focus."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cellflax.checks import at_least, check, within
from cellflax.labeling.result import NUCLEAR, Labels, Stains
from cellflax.labels import label_values

_FOCUS_SMOOTHING_PX = 1.5  # camera noise is sharp in any focus


@dataclass
class FlagsConfig:
    """When a site is flagged.

    Attributes:
        min_cells: flag a site with fewer cells.
        max_saturated: flag a site with more than this share of the stained pixels at the camera's limit.
        min_focus: flag a site whose focus measure is less than this share of the median over all sites.
    """

    min_cells: int = 5
    max_saturated: float = 0.05
    min_focus: float = 0.5

    def __post_init__(self):
        check(self, "flags", at_least(1), "min_cells")
        check(self, "flags", within(0, 1), "max_saturated", "min_focus")


@dataclass(frozen=True)
class SiteQuality:
    """What a site's annotation is judged by.

    Attributes:
        cells: number of cells.
        coverage: share of the pixels that are in cells.
        saturated: share of the stained pixels at their plane's highest value, in the worst stain.
        focus: `focus_measure` of the nuclear stain.
    """

    cells: int
    coverage: float
    saturated: float
    focus: float


def measure_quality(stains: Stains, labels: Labels) -> SiteQuality:
    """Measure an annotated site."""
    inside = {name: labels.nuclei if name == NUCLEAR else labels.cells for name in stains}
    return SiteQuality(
        cells=len(label_values(labels.cells)),
        coverage=float(np.mean(labels.cells > 0)),
        saturated=max(saturated_share(stains[name], inside[name] > 0) for name in stains),
        focus=focus_measure(labels.projections[NUCLEAR]),
    )


def saturated_share(planes: np.ndarray, inside: np.ndarray) -> float:
    """Share of the pixels inside that have their plane's highest value, in the worst plane.

    A camera's limit need not be that of the data type (12 bits in 16); without saturation few pixels share the
    highest value.

    Args:
        planes: (Z, H, W) raw intensities.
        inside: (H, W) bool.
    """
    if not inside.any():
        return 0.0
    return max(float(np.mean(plane[inside] == plane.max())) for plane in planes)


def focus_measure(image: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the image: high where edges are sharp.

    Unlike the variance of the Laplacian alone (Pech-Pacheco et al. 2000, Proc ICPR 3:314), the ratio does not change
    with the brightness or number of the cells.

    Args:
        image: (H, W) intensities.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float64), _FOCUS_SMOOTHING_PX)
    variance = smooth.var()
    return float(ndimage.laplace(smooth).var() / variance) if variance > 0 else 0.0


def flag_sites(sites: Sequence[SiteQuality], config: FlagsConfig) -> list[list[str]]:
    """What is wrong with each site, in words; sharpness is compared between the sites."""
    usual = float(np.median([site.focus for site in sites if site.cells] or [0.0]))
    flags = []
    for site in sites:
        found = []
        if site.cells < config.min_cells:
            found.append("no cells" if site.cells == 0 else "too few cells")
        if site.saturated > config.max_saturated:
            found.append("saturated")
        if site.focus < config.min_focus * usual:
            found.append("out of focus")
        flags.append(found)
    return flags
