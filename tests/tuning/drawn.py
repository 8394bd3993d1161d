"""Held-out regions with cells drawn by hand, whose best settings are known."""

import numpy as np
from scipy import ndimage

from cellflax.data.example import IGNORE
from cellflax.losses import Activation
from cellflax.models import Geometry
from cellflax.refine import RefineConfig
from cellflax.training.held_out import HeldOut, Validator

CLASSES = ("edge", "interior", "background")
SIZE = 96
RADIUS = 8


def cells_of(seed: int) -> np.ndarray:
    """A field of discs on a jittered grid; none touches another."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIZE, SIZE))
    cells = np.zeros((SIZE, SIZE), np.int32)
    for number, (row, column) in enumerate(np.ndindex(4, 4), 1):
        y, x = 24 * np.array([row, column]) + 12 + rng.uniform(-2, 2, 2)
        cells[np.hypot(rows - y, columns - x) <= RADIUS] = number
    return cells


def probability_of(cells: np.ndarray, inside: float, between: float, seed: int = 0) -> np.ndarray:
    """(H, W, 3): interior `inside` within the cells and `between` outside, smooth in between, with a little noise."""
    noise = np.random.default_rng(seed).normal(0, 0.01, cells.shape)
    interior = between + (inside - between) * ndimage.gaussian_filter((cells > 0).astype(float), 0.7) + noise
    interior = np.clip(interior, 0, 1)
    return np.stack([np.zeros_like(interior), interior, 1 - interior], axis=-1).astype(np.float32)


def region_of(cells: np.ndarray, seeds: np.ndarray | None = None) -> HeldOut:
    """A whole image held out."""
    image = (cells > 0).astype(np.float32)[..., None]
    everything = slice(0, cells.shape[0]), slice(0, cells.shape[1])
    return HeldOut(image, everything, np.full(cells.shape, IGNORE, np.int8), cells, seeds, image, None)


def validator_of(fields: list[np.ndarray], refine: RefineConfig) -> Validator:
    """The validator of these cells."""
    regions = tuple(map(region_of, fields))
    return Validator(regions, ("phase",), CLASSES, Activation.softmax, refine, 1.0, Geometry())
