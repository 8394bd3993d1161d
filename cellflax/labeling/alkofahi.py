"""Annotation as in Al-Kofahi 2018 (P3), BMC Bioinformatics 19:365: its steps 2 and 3 on a real nuclear channel."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.refine.blob_nuclei import blob_nuclei
from cellflax.refine.cell_growth import CellGrowthConfig, grow_cells, log_intensity
from cellflax.refine.noise import noise_deviation
from cellflax.refine.seeds import cut_at_own_brightness, solid_components


@dataclass
class AlkofahiConfig(CellGrowthConfig):
    """Settings of the method, besides those that it shares with `refine=whole_cell`.

    Attributes:
        tophat_um: first, a white top-hat with a square of this width removes wider structures from the stains. P3:
            200 pixels, which at its 0.65 um is 130 um.
        outline: a nucleus ends where the stain falls to this share of the nucleus's brightness. On the logarithmic
            image alone, nuclei would include the blur around bright ones.
        min_contrast: brightness of the faintest nucleus above the background's median, in standard deviations of the
            background. It rejects the brightest spots of a field without nuclei.
    """

    group: ClassVar[str] = "alkofahi"

    tophat_um: float = 130.0
    outline: float = 0.3
    min_contrast: float = 5.0

    def __post_init__(self):
        super().__post_init__()
        check(self, self.group, above(0), "tophat_um")
        check(self, self.group, above(0, below=1), "outline")
        check(self, self.group, at_least(0), "min_contrast")


def label_two_channels(
    nuclear: np.ndarray, cell: np.ndarray, config: AlkofahiConfig, pixel_size_um: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the background of both stains, find nuclei and grow each into a cell.

    Args:
        nuclear: (H, W) raw intensities.
        cell: (H, W) raw intensities of a stain of whole cells or cytoplasm, of the same field.
        config: the settings.
        pixel_size_um: edge of a pixel.

    Returns:
        nuclei and cells, both (H, W) int32: cell k is one 4-connected component that holds nucleus k, for
        k = 1...n, and background is 0.

    Raises:
        UserError: if the stains are not two planes of one field, hold values that are not finite, or the pixel size
            is unknown.
    """
    if nuclear.ndim != 2 or nuclear.shape != cell.shape:
        raise UserError(f"the nuclear and the cell stain must be (height, width), got {nuclear.shape}, {cell.shape}")
    if not (np.isfinite(nuclear).all() and np.isfinite(cell).all()):
        raise UserError("the nuclear or the cell stain holds NaN or infinite values; replace them before labelling")
    if pixel_size_um is None:
        raise UserError(
            "method=alkofahi measures in micrometres and the pixel size is unknown: add pixel_size_um=... "
            "or save it in the image files"
        )
    width = max(round(config.tophat_um / pixel_size_um), 1)
    nuclear, cell = (
        np.asarray(ndimage.white_tophat(stain.astype(np.float32), size=(width, width))) for stain in (nuclear, cell)
    )
    nuclei = label_blobs(config, nuclear, pixel_size_um)
    return nuclei, grow_cells(config, nuclei, cell, pixel_size_um)


def label_blobs(config: AlkofahiConfig, stain: np.ndarray, pixel_size_um: float) -> np.ndarray:
    """Find the nuclei in a stain.

    They are found in its logarithm: nuclei differ tenfold in brightness, and there a single threshold suits all.

    Args:
        config: the settings.
        stain: (H, W) intensities, background removed; nuclei cover less than half of it.
        pixel_size_um: edge of a pixel.

    Returns:
        (H, W) int32 labels 1...n, each one 4-connected component without holes; n may be 0.
    """
    smoothing_px = config.smoothing_um / pixel_size_um
    nuclei = blob_nuclei(config, log_intensity(stain, smoothing_px), pixel_size_um)
    signal = np.asarray(ndimage.gaussian_filter(stain, smoothing_px))
    signal -= np.median(signal)
    nuclei = cut_at_own_brightness(nuclei, signal, config.outline, config.min_contrast * noise_deviation(signal))
    return solid_components(nuclei, config.min_nucleus_um2 / pixel_size_um**2, np.inf)
