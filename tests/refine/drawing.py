"""Hand-made probabilities: discs, and the three-class maps of a network that is sure of them."""

import numpy as np
from scipy import ndimage

CLASSES = ("edge", "interior", "background")


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def probability_of(interior: np.ndarray, edge: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) maps from an (H, W) interior probability or mask; the rest is background."""
    interior = interior.astype(np.float32)
    edge = np.zeros_like(interior) if edge is None else edge.astype(np.float32)
    return np.stack([edge, interior, 1 - interior - edge], -1)


def random_probability(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> np.ndarray:
    """Softmax of smooth noise."""
    logits = ndimage.gaussian_filter(rng.normal(size=(*shape, 3)), (grain, grain, 0))
    logits = np.exp(4 * logits / logits.std())
    return (logits / logits.sum(-1, keepdims=True)).astype(np.float32)


def n_components(mask: np.ndarray) -> int:
    """Number of 4-connected components."""
    return ndimage.label(mask)[1]


def seeds_at(shape: tuple[int, int], *centres: tuple[int, int]) -> np.ndarray:
    """Seeds 1, 2, ... with a radius of 3 pixels."""
    seeds = np.zeros(shape, np.int32)
    for label, (y, x) in enumerate(centres, 1):
        seeds[disc(shape, y, x, 3)] = label
    return seeds
