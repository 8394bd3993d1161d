"""Drawn cells of known place and size in micrometres: bright discs with dark nuclei, two of which touch."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

COMPARTMENTS = ("nucleus", "cytoplasm", "background")
FIELD_UM = (130.0, 195.0)
CELL_RADIUS_UM, NUCLEUS_RADIUS_UM = 20.0, 7.0
# The first two are nearer than two radii: their border is the line half way.
CENTRES_UM = np.array([(32.0, 35.0), (32.0, 69.0), (95.0, 40.0), (96.0, 100.0), (35.0, 135.0), (90.0, 160.0)])
_BLUR_UM = 0.65


@dataclass(frozen=True)
class Drawing:
    """A field on a grid of pixels, its labels in the order of the centres.

    Attributes:
        nuclei: (H, W) int32.
        cells: (H, W) int32.
        intensity: (H, W) of the cytoplasm, brightness falling from the middle outwards, the nucleus dark.
        nuclear: (H, W) of the nuclei, bright and dim.
        probability: (H, W, 3) of the compartments, as from a network that is sure of them.
    """

    nuclei: np.ndarray
    cells: np.ndarray
    intensity: np.ndarray
    nuclear: np.ndarray
    probability: np.ndarray


def draw(pixel_size_um: float) -> Drawing:
    y, x = (np.arange(round(size / pixel_size_um)) * pixel_size_um + pixel_size_um / 2 for size in FIELD_UM)
    distance = np.hypot(y[:, None, None] - CENTRES_UM[:, 0], x[:, None] - CENTRES_UM[:, 1])
    number, nearest = distance.argmin(-1) + 1, distance.min(-1)
    nuclei = np.where(nearest <= NUCLEUS_RADIUS_UM, number, 0).astype(np.int32)
    cells = np.where(nearest <= CELL_RADIUS_UM, number, 0).astype(np.int32)

    def blur(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, _BLUR_UM / pixel_size_um)

    brightness = np.where(number % 2, 3000, 1500)
    cytoplasm = (cells > 0) * brightness * (1.3 - nearest / CELL_RADIUS_UM)
    intensity = 200 + blur(np.where(nuclei > 0, 0.4 * cytoplasm, cytoplasm))
    nuclear = 150 + blur((nuclei > 0) * np.where(number % 2, 4000, 400))
    p_nucleus, p_cell = 0.95 * blur((nuclei > 0) * 1.0), 0.95 * blur((cells > 0) * 1.0)
    probability = np.stack([p_nucleus, p_cell - p_nucleus, 1 - p_cell], -1).astype(np.float32)
    return Drawing(nuclei, cells, intensity, nuclear, probability)


def overlaps(labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Jaccard index of each reference label with the label that most of its pixels have, (n,)."""
    result = []
    for k in range(1, reference.max() + 1):
        inside = reference == k
        found = labels == np.bincount(labels[inside]).argmax()
        result.append(np.sum(inside & found) / np.sum(inside | found))
    return np.array(result)
