"""Nuclei and whole cells from one cytoplasmic channel and its class probabilities (P3, steps 2 and 3)."""

from dataclasses import dataclass

import numpy as np

from cellflax.errors import UserError
from cellflax.refine.blob_nuclei import blob_nuclei
from cellflax.refine.cell_growth import CellGrowthConfig, grow_cells
from cellflax.refine.flood import seeds_inside

# A pixel is of the nucleus where that is likelier than not.
_OUTLINE = 0.5


@dataclass
class WholeCellConfig(CellGrowthConfig):
    """Settings of P3's refinement, besides those of nuclei and cells.

    Attributes:
        intensity_channel: channel of the image that shows whole cells; null for the first.
        min_nucleus_um2: smallest nucleus; 40 um^2 is a disc 7 um across. Nuclei of a stain may be smaller.
    """

    min_nucleus_um2: float = 40.0
    intensity_channel: str | None = None


def whole_cell_nuclei(config: WholeCellConfig, nucleus: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
    """Find nuclei in their probability map.

    Args:
        config: the settings.
        nucleus: (H, W) probability.
        pixel_size_um: edge of a pixel.

    Returns:
        (H, W) int32 labels 1...n, each one 4-connected component.

    Raises:
        UserError: if the pixel size is unknown.
    """
    return blob_nuclei(config, nucleus, _known(pixel_size_um), _OUTLINE)


def refine_by_whole_cell(
    config: WholeCellConfig, cell: np.ndarray, intensity: np.ndarray, pixel_size_um: float | None, seeds: np.ndarray
) -> np.ndarray:
    """Grow every nucleus into one cell.

    Args:
        config: the settings.
        cell: (H, W) probability of nucleus or cytoplasm.
        intensity: (H, W) of the channel that shows whole cells.
        pixel_size_um: edge of a pixel.
        seeds: (H, W) integer labels of nuclei, 0 = none, from `whole_cell_nuclei` or elsewhere. A label in several
            pieces counts as its largest.

    Returns:
        (H, W) int32 labels 1...n in the order of the nuclei, 0 = background; each cell is one 4-connected component
        that holds its nucleus.

    Raises:
        UserError: if the pixel size is unknown.
    """
    everywhere = np.ones(seeds.shape, bool)  # no nucleus is left out
    return grow_cells(config, seeds_inside(seeds, everywhere, 1.0), intensity, _known(pixel_size_um), cell)


def _known(pixel_size_um: float | None) -> float:
    if pixel_size_um is None:
        raise UserError(
            "refine=whole_cell measures in micrometres and the pixel size is unknown: add pixel_size_um=... "
            "or save it in the image file"
        )
    return pixel_size_um
