"""Cells around their nuclei from a stain of the cytoplasm (Sadanandan et al. 2017)."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import filters, morphology, segmentation

from cellflax.checks import above, check, odd
from cellflax.refine.clean import fill_holes


@dataclass
class CellsConfig:
    """Settings for cells.

    Attributes:
        dilation_px: diameter of the disc of the grey dilation, odd; it closes the gaps in an uneven stain.
        threshold: a pixel is in a cell above this share of the automatic threshold; smaller values keep dim cell edges.
    """

    dilation_px: int = 5
    threshold: float = 1.0

    def __post_init__(self):
        check(self, "sadanandan.cells", odd(1), "dilation_px")
        check(self, "sadanandan.cells", above(0), "threshold")


def label_cells(stain: np.ndarray, nuclei: np.ndarray, config: CellsConfig) -> np.ndarray:
    """Give every nucleus its cell.

    The stain is dilated, thresholded, and flooded from the nuclei, brightest pixels first, so cells meet where the
    stain between them is dim. Pixels that no nucleus reaches are background. The paper does not name its threshold.
    This is Otsu's threshold of the cube roots, because a cell is many times dimmer at its edge than beside the nucleus,
    and some cells are many times dimmer than others.

    Args:
        stain: (H, W) intensities, background removed.
        nuclei: (H, W) int32 labels.
        config: the settings.

    Returns:
        (H, W) int32, the label of the nucleus whose cell a pixel belongs to; a nucleus is always in its cell.
    """
    dilated = ndimage.grey_dilation(stain, footprint=morphology.disk(config.dilation_px // 2))
    root = np.cbrt(np.maximum(dilated, 0))
    inside = dilated > config.threshold * filters.threshold_otsu(root) ** 3
    cells = segmentation.watershed(-dilated, nuclei, mask=inside | (nuclei > 0)).astype(np.int32)
    return fill_holes(cells)
