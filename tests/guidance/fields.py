"""A field of touching cells, what a good network sees in it, and made-up faults of its annotation."""

import numpy as np
from scipy import ndimage

from cellflax.data.example import CLASS_NAMES
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.refine import refine
from cellflax.refine.watershed import WatershedConfig

SIZE = 240
PITCH = 40


def cells() -> np.ndarray:
    """Pairs of cells that touch, 30 px wide each, in a grid; (240, 240) int32 labels 1 ... 30."""
    labels = np.zeros((SIZE, SIZE), np.int32)
    y, x = np.indices(labels.shape)
    for i, (row, column) in enumerate(np.ndindex(6, 5), start=1):
        middle = PITCH * row + 20, 22 + PITCH * column + (4 if column % 2 == 0 else -4)
        labels[(np.hypot(y - middle[0], x - middle[1]) < 16.5) & (labels == 0)] = i
    return labels


def seen(labels: np.ndarray) -> np.ndarray:
    """(H, W, 3) probabilities of a network that knows the true cells, blurred a little."""
    classes = pixel_classes(Annotation.boundaries, labels, None, 2)
    hot = np.stack([classes == k for k in range(len(CLASS_NAMES))], axis=-1).astype(np.float32)
    blurred = ndimage.gaussian_filter(hot, (0.5, 0.5, 0))
    return blurred / blurred.sum(-1, keepdims=True)


def found(probability: np.ndarray) -> np.ndarray:
    """The cells that the refinement finds in the probabilities."""
    return refine(WatershedConfig(seed_smoothing_px=1.0), probability, CLASS_NAMES)


def moved(labels: np.ndarray, label: int, by: tuple[int, int]) -> np.ndarray:
    """An annotation in which one cell lies elsewhere."""
    mask = np.roll(labels == label, by, axis=(0, 1))
    return np.where(mask, label, np.where(labels == label, 0, labels)).astype(np.int32)
