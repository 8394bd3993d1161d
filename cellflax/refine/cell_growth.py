"""Cells around known nuclei by multi-level Otsu and a watershed of the log intensity: Al-Kofahi 2018 (P3), step 3."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import segmentation

from cellflax.checks import above, at_least, check
from cellflax.labels import dilated
from cellflax.refine.blob_nuclei import BlobNucleiConfig
from cellflax.refine.clean import fill_holes
from cellflax.refine.otsu import multi_otsu

# Intensities are rescaled to 1...256, the range of an 8-bit image, before their logarithm is taken.
_RANGE = 255
# Percentiles that are rescaled to the ends of this range, so that hot and dead pixels have no effect.
_DARKEST, _BRIGHTEST = 0.1, 99.9


@dataclass
class CellGrowthConfig(BlobNucleiConfig):
    """Settings of the cells, besides those of their nuclei.

    Attributes:
        smoothing_um: standard deviation of the Gaussian over the intensity.
        cell_area_um2: expected area of a cell; decides which threshold marks the background. It only needs to
            distinguish whole cells from their bright middles. The default suits spread cells (U2OS, Schwann cells).
        n_cell_thresholds: number of thresholds of multi-level Otsu on the cells; P3: 3.
        nucleus_margin_um: within this distance of the nuclei, cells are divided by distance alone. Blur makes the
            surroundings of a dark nucleus dark, and by brightness a bright neighbour would flood them first.
        fill_holes: close holes that one cell encloses.
    """

    smoothing_um: float = 1.0
    cell_area_um2: float = 1800.0
    n_cell_thresholds: int = 3
    nucleus_margin_um: float = 3.0
    fill_holes: bool = True

    def __post_init__(self):
        super().__post_init__()
        check(self, self.group, above(0), "smoothing_um", "cell_area_um2")
        check(self, self.group, at_least(1), "n_cell_thresholds")
        check(self, self.group, at_least(0), "nucleus_margin_um")


def log_intensity(image: np.ndarray, smoothing_px: float) -> np.ndarray:
    """Smooth an image, rescale it to 1...256 and take the logarithm, (H, W) in 0...1; all 0 for a uniform image."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), smoothing_px)
    low, high = np.percentile(smooth, [_DARKEST, _BRIGHTEST]).astype(np.float32)
    if high <= low:
        return np.zeros_like(smooth)
    rescaled = np.clip((smooth - low) / (high - low), 0, 1)
    return np.log1p(_RANGE * rescaled) / np.log1p(np.float32(_RANGE))


def grow_cells(
    config: CellGrowthConfig,
    nuclei: np.ndarray,
    intensity: np.ndarray,
    pixel_size_um: float,
    probability: np.ndarray | None = None,
) -> np.ndarray:
    """Grow every nucleus into one cell.

    Background is below a threshold of the marker image, log intensity x probability. Among the thresholds of
    multi-level Otsu, it is the one whose foreground is nearest in area to (number of nuclei) x (expected cell area).
    The rest is divided by a watershed of the marker image, from the nuclei and their close surroundings: cells meet
    where it is darkest between them.

    Args:
        config: the settings.
        nuclei: (H, W) int32 labels 1...n, each one 4-connected component.
        intensity: (H, W) with bright cells, whose nuclei need not be bright.
        pixel_size_um: edge of a pixel.
        probability: (H, W) probability of being within a cell; None for 1 everywhere.

    Returns:
        (H, W) int32: cell k is one 4-connected component that holds nucleus k, and background is 0.
    """
    n = int(nuclei.max(initial=0))
    if n == 0:
        return np.zeros(nuclei.shape, np.int32)
    marker_image = log_intensity(intensity, config.smoothing_um / pixel_size_um)
    if probability is not None:
        marker_image *= probability
    expected_px = n * config.cell_area_um2 / pixel_size_um**2
    foregrounds = [
        (marker_image >= threshold) | (nuclei > 0) for threshold in multi_otsu(marker_image, config.n_cell_thresholds)
    ]
    inside = min(foregrounds, key=lambda foreground: abs(np.count_nonzero(foreground) - expected_px))
    # A watershed floods dark parts last: before it left a dark nucleus, a bright neighbour would have flooded the cell.
    near = dilated(nuclei > 0, config.nucleus_margin_um / pixel_size_um)
    height = np.where(near, -1, -marker_image)
    cells = segmentation.watershed(height, nuclei, mask=inside).astype(np.int32)
    return fill_holes(cells) if config.fill_holes else cells
