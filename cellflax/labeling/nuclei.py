"""Nuclei from their stain (Sadanandan et al. 2017): one global threshold, then a watershed between touching ones."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import filters, measure

from cellflax.checks import above, at_least, check
from cellflax.labels import components, remove_small, renumber
from cellflax.refine.blob_nuclei import split_by_shape
from cellflax.refine.noise import noise_deviation

_FIRST_SMOOTHING_PX = 1.0  # before a diameter is known
_ROUNDS = 2  # of smoothing by the diameter measured so far, and of limiting bright nuclei to the usual brightness


@dataclass
class NucleiConfig:
    """Settings for nuclei.

    Attributes:
        diameter_px: typical diameter of a nucleus in pixels; null measures it in every image.
        diameter_um: the same in micrometres; overrides diameter_px if the pixel size is known.
        smoothing: standard deviation of a Gaussian before the threshold, in diameters.
        threshold: a pixel is in a nucleus above this share of the automatic threshold; a smaller one keeps dim nuclei
            among bright ones, but makes all nuclei larger.
        split_depth: touching nuclei are cut where the distance to the outline dips by this share of the diameter;
            smaller values cut more.
        min_contrast: brightness of the faintest nucleus above the background, in standard deviations of the background.
        min_area: smallest nucleus, as a share of a disc of the typical diameter.
    """

    diameter_px: float | None = None
    diameter_um: float | None = None
    smoothing: float = 0.06
    threshold: float = 1.0
    split_depth: float = 0.05
    min_contrast: float = 5.0
    min_area: float = 0.15

    def __post_init__(self):
        check(self, "sadanandan.nuclei", above(0), "diameter_px", "diameter_um", "threshold", "split_depth")
        check(self, "sadanandan.nuclei", at_least(0), "smoothing", "min_contrast", "min_area")


def label_nuclei(stain: np.ndarray, config: NucleiConfig, pixel_size_um: float | None = None) -> np.ndarray:
    """Find the nuclei in a stain.

    The whole image has one threshold: Otsu's, of intensities limited to that of the usual nucleus. Holes are
    filled, and components are cut between the prominent maxima of their distance transform. If no diameter is given,
    it is measured: twice the radius of the largest disc within a component, as the median over components weighted by
    area, so that neither specks nor a few clumps decide.

    Args:
        stain: (H, W) intensities, background removed.
        config: the settings.
        pixel_size_um: edge of a pixel, for `diameter_um`.

    Returns:
        (H, W) int32 labels 1...n in reading order; n may be 0.
    """
    diameter = _given_diameter_px(config, pixel_size_um)
    if diameter is None:
        diameter = _measure_diameter_px(stain, config)
    smooth, mask = _threshold(stain, config.smoothing * diameter, config.threshold)
    smallest = round(config.min_area * np.pi * diameter**2 / 4)
    # Lengths are in diameters, so the size of a pixel is 1 / diameter.
    nuclei = split_by_shape(remove_small(components(mask), smallest), 1 / max(diameter, 1.0), config.split_depth)
    return renumber(_remove_faint(remove_small(nuclei, smallest), smooth, config.min_contrast))


def measured_diameter_px(mask: np.ndarray) -> float:
    """Typical width of the components of an (H, W) mask in pixels; 0 if there are none."""
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    parts = measure.regionprops_table(components(mask), distance, properties=("area", "intensity_max"))
    order = np.argsort(parts["intensity_max"])
    area = np.cumsum(parts["area"][order])
    if not len(area):
        return 0.0
    return 2 * float(parts["intensity_max"][order][np.searchsorted(area, area[-1] / 2)])


def _given_diameter_px(config: NucleiConfig, pixel_size_um: float | None) -> float | None:
    if config.diameter_um is not None and pixel_size_um is not None:
        return config.diameter_um / pixel_size_um
    return config.diameter_px


def _measure_diameter_px(stain: np.ndarray, config: NucleiConfig) -> float:
    sigma_px, diameter = _FIRST_SMOOTHING_PX, 0.0
    for _ in range(_ROUNDS):
        diameter = measured_diameter_px(_threshold(stain, sigma_px, config.threshold)[1])
        sigma_px = config.smoothing * diameter
    return diameter


def _threshold(stain: np.ndarray, sigma_px: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The smoothed stain, and where it exceeds a share of the threshold, without holes."""
    smooth = ndimage.gaussian_filter(stain.astype(np.float32), sigma_px)
    if np.ptp(smooth) == 0:
        return smooth, np.zeros(smooth.shape, bool)
    threshold = filters.threshold_otsu(smooth)
    for _ in range(_ROUNDS):
        # Brightness is limited to the usual one, so that a few bright nuclei do not raise the threshold for all.
        usual = np.median(smooth[smooth > threshold])
        threshold = filters.threshold_otsu(np.minimum(smooth, usual))
    return smooth, np.asarray(ndimage.binary_fill_holes(smooth > share * threshold))


def _remove_faint(labels: np.ndarray, smooth: np.ndarray, min_contrast: float) -> np.ndarray:
    """Drop labels whose mean is less than `min_contrast` standard deviations above the background's median."""
    background = smooth[labels == 0]
    if not background.size:
        return labels
    middle = np.median(background)
    noise = noise_deviation(background - middle)
    faint = np.zeros(labels.max() + 1, bool)
    for region in measure.regionprops(labels, smooth):
        faint[region.label] = region.intensity_mean < middle + min_contrast * noise
    return np.where(faint[labels], 0, labels)
