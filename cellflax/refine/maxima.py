"""Markers for watersheds: the maxima of a landscape that stand out from their surroundings."""

import warnings

import numpy as np
from skimage import measure, morphology


def prominent_maxima(height: np.ndarray, region: np.ndarray, depth: float) -> np.ndarray:
    """Mark the maxima of a connected region from which every way to a higher one descends by `depth`.

    These are the h-maxima of Vincent (1993), IEEE Trans Image Process 2:176. A region too shallow to hold
    any is its own marker, so that it is never lost.

    Args:
        height: (H, W) float; taken as 0 outside the region.
        region: (H, W) bool.
        depth: the least descent, in the units of `height`.

    Returns:
        (H, W) int32 markers 1...n, 0 elsewhere.
    """
    height = np.where(region, height, 0.0)
    with warnings.catch_warnings():
        # scikit-image 0.26 sets the shape of an array, which NumPy 2.5 deprecates.
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        flattened = morphology.reconstruction(height - depth, height)
    markers = np.asarray(measure.label(morphology.local_maxima(flattened) & region), np.int32)
    return markers if markers.any() else region.astype(np.int32)
