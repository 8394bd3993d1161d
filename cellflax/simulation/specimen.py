"""Maps of what light meets on its way through a cell: thickness, refractive index and texture."""

import numpy as np
from scipy import ndimage
from skimage import segmentation

_RIDGE_SIGMA_UM = 0.5  # rounds the ridges of the distance from the border


def inside_px(mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel of a mask to the nearest pixel outside; 0 outside."""
    return np.asarray(ndimage.distance_transform_edt(mask))


def depth_um(labels: np.ndarray, pixel_size_um: float) -> np.ndarray:
    """Distance of every labelled pixel's centre to the border of its own label; 0 in the background."""
    borders = segmentation.find_boundaries(labels, mode="inner", connectivity=1)
    return np.where(labels > 0, inside_px(~borders) + 0.5, 0.0) * pixel_size_um


def dome_thickness_um(
    labels: np.ndarray,
    pixel_size_um: float,
    heights_um: np.ndarray,
    slopes_um: np.ndarray,
    rim_um: float = 0.0,
) -> np.ndarray:
    """Thickness of objects that rise from a rim to a plateau with the distance from their border.

    A small slope length makes a steep flank. A large one makes a thin lamella around a dome, and the rim is
    the edge of that lamella. Pixels are in the object or not; the optics smooth the step.

    Args:
        labels: (H, W) labels.
        pixel_size_um: edge of a pixel.
        heights_um: (n + 1,) plateau h per label; entry 0 is not used.
        slopes_um: (n + 1,) distance d from the border over which the object rises, > 0.
        rim_um: thickness r at the border.
    """
    return dome(labels, smooth_depth_um(labels, pixel_size_um), heights_um, slopes_um, rim_um)


def smooth_depth_um(labels: np.ndarray, pixel_size_um: float) -> np.ndarray:
    """`depth_um` with its ridges rounded."""
    return np.asarray(ndimage.gaussian_filter(depth_um(labels, pixel_size_um), _RIDGE_SIGMA_UM / pixel_size_um))


def dome(
    labels: np.ndarray, distance_um: np.ndarray, heights: np.ndarray, slopes_um: np.ndarray, rim: float = 0.0
) -> np.ndarray:
    """Rise of objects from rim r to height h with the distance d inside: r + (h - r) (1 - exp(-(d / slope)^2)).

    Like `dome_thickness_um`, but from a known distance and with heights in any unit.
    """
    profile = 1.0 - np.exp(-((distance_um / slopes_um[labels]) ** 2))
    return np.where(labels > 0, rim + (heights[labels] - rim) * profile, 0.0)


def texture(rng: np.random.Generator, shape_px: tuple[int, int], grain_um: float, pixel_size_um: float) -> np.ndarray:
    """Smooth random texture with mean 0 and standard deviation 1 and grains of about `grain_um`."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape_px), grain_um / 2 / pixel_size_um, mode="wrap")
    return (noise - noise.mean()) / noise.std()


def spots(
    rng: np.random.Generator,
    region: np.ndarray,
    spots_per_um2: float,
    sigma_um: tuple[float, float],
    pixel_size_um: float,
) -> np.ndarray:
    """Scatter round spots (vesicles, nucleoli) over a region; each is a Gaussian of peak about 1.

    Args:
        rng: source of number, places and sizes.
        region: (H, W) bool, where the centres may lie.
        spots_per_um2: mean number per area of the region.
        sigma_um: smallest and largest spot; sizes come in three steps.
        pixel_size_um: edge of a pixel.
    """
    y, x = np.nonzero(region)
    amplitude = np.zeros(region.shape)
    for sigma_px in np.linspace(*sigma_um, 3) / pixel_size_um:
        chosen = rng.random(len(y)) < spots_per_um2 / 3 * pixel_size_um**2
        points = np.zeros(region.shape)
        points[y[chosen], x[chosen]] = rng.uniform(0.5, 1.5, chosen.sum()) * 2 * np.pi * sigma_px**2
        amplitude += ndimage.gaussian_filter(points, sigma_px)
    return amplitude
