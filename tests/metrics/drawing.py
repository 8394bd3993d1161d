"""Random label images for the metric tests."""

import numpy as np
from scipy import ndimage


def random_labels(seed: int, shape: tuple[int, int] = (14, 17), n: int = 7) -> np.ndarray:
    """Touching and split cells with arbitrary labels: nearest-seed regions, some of them background."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, int)
    names = rng.choice(np.arange(1, 1000), n, replace=False)
    names[rng.random(n) < 0.25] = 0
    at = rng.choice(seeds.size, n, replace=False)
    nearest = ndimage.distance_transform_edt(
        ~np.isin(np.arange(seeds.size), at).reshape(shape), return_distances=False, return_indices=True
    )
    seeds.ravel()[at] = names
    return seeds[tuple(nearest)]


def perturbed(labels: np.ndarray, seed: int) -> np.ndarray:
    """A prediction of `labels`: shifted, some cells cut in two, some joined, some erased."""
    rng = np.random.default_rng(seed)
    out = np.roll(labels, rng.integers(-1, 2, 2), axis=(0, 1))
    for label in np.unique(labels[labels > 0]):
        fate = rng.random()
        if fate < 0.15:
            out[out == label] = 0
        elif fate < 0.35:
            out[out == label] = rng.choice(labels[labels > 0])
        elif fate < 0.55:
            half = (out == label) & (np.arange(labels.shape[1]) > rng.integers(labels.shape[1]))
            out[half] = label + 2000
    return out


def grid(text: str) -> np.ndarray:
    """Label image from rows of digits; a dot is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in text.split()], np.int32)
