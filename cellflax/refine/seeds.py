"""One seed per cell, from a nuclear-marker image."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial
from scipy import ndimage
from skimage import filters, measure

from cellflax.checks import above, at_least, check, check_value
from cellflax.errors import UserError
from cellflax.labels import components
from cellflax.refine.maxima import split_at_necks
from cellflax.refine.noise import noise_deviation

# Lengths of the method as shares of the nucleus diameter.
_SMOOTHING = 0.06  # of the image: removes camera noise and chromatin texture, keeps gaps between nuclei
_BACKGROUND_WINDOW = 2.0  # nothing as large as a nucleus survives an opening of this width
_SPLIT_SMOOTHING = 0.05  # of the distance transform: its ridge follows every notch of the outline


@dataclass
class NucleiSeedsConfig:
    """How nuclei are found in a nuclear-marker image.

    Attributes:
        diameter_px: typical diameter of a nucleus in pixels; every other length follows from it.
        diameter_um: the same in micrometres; replaces diameter_px where the pixel size is known.
        outline: a nucleus ends where its brightness over the background has fallen to this share.
        split_depth: touching nuclei are cut where the distance to the outline dips by this share of the
            diameter; smaller values cut more.
        min_contrast: the faintest nucleus, in standard deviations of the background.
        min_area: smallest nucleus, as a share of a disc of the typical diameter.
        max_area: largest nucleus, as a share of the same disc.
    """

    diameter_px: float = 24.0
    diameter_um: float | None = None
    outline: float = 0.5
    split_depth: float = 0.025
    min_contrast: float = 5.0
    min_area: float = 0.15
    max_area: float = 6.0

    def __post_init__(self):
        check(self, "seeds", above(0), "diameter_px", "diameter_um", "split_depth", "max_area")
        check(self, "seeds", above(0, below=1), "outline")
        check(self, "seeds", at_least(0), "min_contrast", "min_area")
        if self.min_area >= self.max_area:
            raise UserError(f"seeds.min_area must be less than seeds.max_area, got {self.min_area} and {self.max_area}")


def nuclei_seeds(nuclear: np.ndarray, config: NucleiSeedsConfig, pixel_size_um: float | None = None) -> np.ndarray:
    """Find nuclei in a nuclear-marker image.

    The brightness of nuclei varies tenfold within a field, so one threshold either loses the dim ones or
    swells the bright ones. Here Otsu's threshold on the logarithm of the signal over the noise only finds
    candidates; each is then cut at a share of its own brightness, where a blurred outline really lies.
    Touching nuclei are split by a watershed of the distance transform, both before the cut (so that a dim
    nucleus is not judged by a bright neighbour) and after it.

    Args:
        nuclear: (H, W) raw intensities.
        config: the method.
        pixel_size_um: edge of a pixel, needed for `diameter_um`.

    Returns:
        (H, W) int32 labels 1...n in reading order, each one 4-connected component without holes.

    Raises:
        UserError: for an image that is not (H, W) or holds values that are not finite.
    """
    if nuclear.ndim != 2:
        raise UserError(f"a nuclear image must be (height, width), got shape {nuclear.shape}: give one channel")
    if not np.isfinite(nuclear).all():
        raise UserError("a nuclear image holds NaN or infinite values; replace them before segmenting")
    diameter = _diameter_px(config, pixel_size_um)
    depth_px, smoothing_px = config.split_depth * diameter, _SPLIT_SMOOTHING * diameter
    signal, noise = _signal_and_noise(nuclear.astype(np.float32), diameter)
    if signal.max() <= 0:
        return np.zeros(nuclear.shape, np.int32)
    brightness = np.log1p(signal / noise)
    candidates = np.asarray(ndimage.binary_fill_holes(brightness > filters.threshold_otsu(brightness)))
    nuclei = split_at_necks(components(candidates), depth_px, smoothing_px=smoothing_px)
    nuclei = cut_at_own_brightness(nuclei, signal, config.outline, config.min_contrast * noise)
    nuclei = split_at_necks(nuclei, depth_px, smoothing_px=smoothing_px)
    disc = np.pi * diameter**2 / 4
    return solid_components(nuclei, config.min_area * disc, config.max_area * disc)


def _diameter_px(config: NucleiSeedsConfig, pixel_size_um: float | None) -> float:
    if pixel_size_um is not None:
        check_value("pixel_size_um", pixel_size_um, above(0))
    if config.diameter_um is None or pixel_size_um is None:
        return config.diameter_px
    return config.diameter_um / pixel_size_um


def _signal_and_noise(nuclear: np.ndarray, diameter: float) -> tuple[np.ndarray, float]:
    """Smoothed intensity minus the local background, at least 0, and the noise."""
    smooth = ndimage.gaussian_filter(nuclear, _SMOOTHING * diameter)
    window = max(3, round(_BACKGROUND_WINDOW * diameter))
    smooth -= _illumination(_background(smooth, window), window)
    contrast = smooth - _background(smooth, window)
    # The background follows the lowest values; the median is the middle of what the nuclei leave free.
    contrast -= np.median(contrast)
    return np.maximum(contrast, 0), noise_deviation(contrast, float(contrast.max()))


def _background(smooth: np.ndarray, window: int) -> np.ndarray:
    return ndimage.gaussian_filter(ndimage.grey_opening(smooth, size=(window, window)), window / 2)


def _illumination(background: np.ndarray, window: int) -> np.ndarray:
    """Quadratic trend of the background, from the part where the window stays within the image.

    Towards a bright side of the image the opening is too low, because there are no pixels beyond the border.
    The rest of a trend there would look like a nucleus.
    """
    rows, columns = (np.arange(window, n - window, max(1, window // 4)) for n in background.shape)
    if min(len(rows), len(columns)) < 3:
        return np.zeros_like(background)
    sample = background[np.ix_(rows, columns)]
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in background.shape)
    powers = polynomial.polyvander2d(*np.meshgrid(y[rows], x[columns], indexing="ij"), [2, 2])
    fit, *_ = np.linalg.lstsq(powers.reshape(sample.size, 9), sample.ravel())
    return polynomial.polygrid2d(y, x, fit.reshape(3, 3)).astype(np.float32)


def cut_at_own_brightness(labels: np.ndarray, signal: np.ndarray, share: float, min_signal: float) -> np.ndarray:
    """Keep the pixels above a share of the 90th percentile of their own label; drop those fainter than `min_signal`."""
    threshold = np.full(labels.max() + 1, np.inf)
    for region in measure.regionprops(labels, intensity_image=signal):
        # Not the maximum: a bright speck of chromatin or debris would shrink the nucleus.
        bright = np.percentile(region.image_intensity[region.image], 90)
        if bright >= min_signal:
            threshold[region.label] = share * bright
    return np.where(signal > threshold[labels], labels, 0)


def solid_components(labels: np.ndarray, min_area: float, max_area: float) -> np.ndarray:
    """Fill the holes of every component and number those within the area limits, in reading order."""
    solid = np.zeros(labels.shape, np.int32)
    n = 0
    for region in measure.regionprops(components(labels)):
        shape = np.asarray(ndimage.binary_fill_holes(region.image))
        if min_area <= shape.sum() <= max_area:
            n += 1
            solid[region.slice][shape] = n
    return solid
