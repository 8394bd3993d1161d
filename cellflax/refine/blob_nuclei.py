"""Nuclei by multi-scale Laplacian of Gaussian, multi-level Otsu and splitting by shape: Al-Kofahi 2018 (P3), step 2."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from skimage import segmentation

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.labels import components, remove_small
from cellflax.refine.clean import fill_holes
from cellflax.refine.log_scale import blob_response, scales_of
from cellflax.refine.maxima import split_at_necks
from cellflax.refine.otsu import by_sensitivity, multi_otsu


@dataclass
class BlobNucleiConfig:
    """Settings of the nuclei; every length in micrometres.

    Attributes:
        group: group that the keys belong to, for messages; not a setting.
        min_radius_um: smallest radius that the Laplacian of Gaussian looks for. P3 does not print its scales.
        max_radius_um: largest radius that it looks for.
        n_scales: number of radii from smallest to largest, spaced geometrically.
        n_thresholds: number of thresholds of multi-level Otsu on the response; P3: 5.
        sensitivity: percent; chooses among the thresholds, see `otsu.by_sensitivity`. P3: 60, the third of 5.
        min_response: response of the faintest blob, whatever Otsu finds: in an empty image, noise has levels too.
            The response to a disc of height h is at most 0.74 h.
        split_depth_um: nuclei that touch are cut where the distance to the outline dips by this much: the h of the
            extended h-minima. P3: 3.
        min_nucleus_um2: area of the smallest nucleus.
    """

    group: ClassVar[str] = "refine"

    min_radius_um: float = 2.0
    max_radius_um: float = 10.0
    n_scales: int = 5
    n_thresholds: int = 5
    sensitivity: float = 60.0
    min_response: float = 0.1
    split_depth_um: float = 3.0
    min_nucleus_um2: float = 20.0

    def __post_init__(self):
        check(self, self.group, above(0), "min_radius_um", "max_radius_um", "split_depth_um", "min_nucleus_um2")
        check(self, self.group, at_least(1), "n_scales", "n_thresholds")
        check(self, self.group, above(0, at_most=100), "sensitivity")
        check(self, self.group, at_least(0, below=1), "min_response")
        if self.max_radius_um < self.min_radius_um:
            raise UserError(
                f"{self.group}.max_radius_um must be at least {self.group}.min_radius_um, "
                f"got {self.max_radius_um} and {self.min_radius_um}"
            )


def blob_nuclei(
    config: BlobNucleiConfig, image: np.ndarray, pixel_size_um: float, outline: float | None = None
) -> np.ndarray:
    """Find the nuclei of an image in which they are bright.

    Components of the thresholded response are blobs. Touching nuclei are mostly two blobs already, because the
    response is low between them. Then each blob is cut by shape: between the maxima of its distance to the
    outline that stand out by h.

    The threshold of the response lies inside a nucleus with a sharp outline. If the image itself defines the outline
    (a probability of 0.5), the blobs are first grown up to it.

    Args:
        config: the settings.
        image: (H, W), nuclei near 1 and the rest near 0.
        pixel_size_um: edge of a pixel.
        outline: value of the image at the outline; None takes the blobs as they are.

    Returns:
        (H, W) int32 labels 1...n, each one 4-connected component; n may be 0.
    """
    min_area_px = round(config.min_nucleus_um2 / pixel_size_um**2)
    sigmas_um = scales_of(config.min_radius_um, config.max_radius_um, config.n_scales)
    response = np.maximum(blob_response(image, sigmas_um / pixel_size_um), 0)
    threshold = by_sensitivity(multi_otsu(response, config.n_thresholds), config.sensitivity)
    blobs = components(response >= max(threshold, config.min_response))
    if outline is not None:
        blobs = segmentation.watershed(-response, blobs, mask=(blobs > 0) | (image > outline))
    nuclei = split_by_shape(remove_small(blobs, min_area_px), pixel_size_um, config.split_depth_um)
    return components(remove_small(nuclei, min_area_px))


def split_by_shape(labels: np.ndarray, pixel_size_um: float, depth_um: float) -> np.ndarray:
    """Fill the holes of every label and cut it between the extended h-minima of its negative distance transform.

    Args:
        labels: (H, W) int32, 0 = background.
        pixel_size_um: edge of a pixel.
        depth_um: h. A label too narrow for any minimum of that depth stays whole.

    Returns:
        (H, W) int32 labels 1...n, each one 4-connected component.
    """
    return components(split_at_necks(fill_holes(labels), depth_um, pixel_size=pixel_size_um))
