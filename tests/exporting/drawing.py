"""Label images with all that outlines find hard."""

import numpy as np


def hard_cells(height: int = 60, width: int = 80) -> np.ndarray:
    """(H, W) int32: touching cells, cells of one pixel, a ring, a cell within it, parts apart, labels above 65,535."""
    labels = np.zeros((height, width), np.int32)
    labels[2:20, 2:20] = 7
    labels[5:15, 5:15] = 0  # a hole,
    labels[8:11, 8:11] = 12  # with another cell in it
    labels[5, 5] = 7  # the hole touches itself in corners
    labels[30, 30] = 70_000
    labels[31, 31] = 70_000  # two pixels that meet in a corner
    labels[25:30, 40:50] = 3
    labels[25:30, 50:60] = 9  # share an edge
    labels[0, 0] = labels[height - 1, width - 1] = 1  # corners of the image, far apart
    labels[40, 5] = 2_000_000_000
    labels[45:50, 20:26] = 4
    labels[46, 21] = labels[47, 22] = 0  # two holes that meet in a corner
    return labels


def random_cells(seed: int, height: int = 12, width: int = 15) -> np.ndarray:
    """(H, W) int32 of three labels at random, in many parts with many holes."""
    rng = np.random.default_rng(seed)
    return rng.choice([0, 0, 1, 5, 99_999], (height, width)).astype(np.int32)
