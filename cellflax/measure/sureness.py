"""What tells a right cell from a wrong one, where the truth is not known: its shape, and the network's own sureness."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from cellflax.io.results import UNCERTAINTY
from cellflax.labels import compact
from cellflax.refine.classes import class_maps

# Names of the columns of `sureness_table`. Cells for which several predictions were averaged also have `UNCERTAINTY`.
SURENESS = (
    "log_area",
    "fullness",
    "log_elongation",
    "foreground",
    "interior",
    "entropy",
    "core_entropy",
    "edge_contrast",
    "contact",
    "touches_border",
)

_BAND_PX = 2  # half the width of the band along an outline
_PIXEL_MOMENT = 1 / 12  # second moment of a unit square: a pixel is an area, not a point
_BACKGROUND = "background"

Sides = tuple[bool, bool, bool, bool]  # of an array: top, left, bottom, right


def sureness_table(
    labels: np.ndarray,
    probability: np.ndarray,
    class_names: Sequence[str],
    uncertainty: np.ndarray | None = None,
    *,
    at_border: Sides = (True, True, True, True),
) -> pd.DataFrame:
    """Measure every cell, on the network's own grid.

    `log_area` is of pixels. `fullness` is the area divided by that of the ellipse of the same second moments (1 for
    ellipses, less for bent or ragged cells); `log_elongation` is that of the ellipse's axes. `foreground` (not
    background) and `interior` are mean probabilities. `entropy` is the mean entropy of the classes, 0 ... 1, over the
    cell, and `core_entropy` over its pixels that are more than 2 px from the outline (over all if there are none).
    `edge_contrast` is the mean foreground probability within 2 px inside the outline minus that in the background
    within 2 px outside; NaN where there is no background around the cell. `contact` is the share of the former band
    within 2 px of another cell. `touches_border` is 1 where the image's border cuts the cell, else 0.

    Args:
        labels: (H, W) integer labels, 0 = background; they need not be consecutive.
        probability: (H, W, K) probabilities of the classes.
        class_names: K names.
        uncertainty: (n,) of the cells, ascending, where several predictions were averaged.
        at_border: which sides of the array are the image's border.

    Returns:
        One row per label, ascending: the columns of `SURENESS`, and `uncertainty` if it is given.

    Raises:
        UserError: if the probability does not fit the classes.
    """
    values, number = compact(labels)
    n = len(values)
    interior = class_maps(probability, class_names).interior
    foreground = 1 - probability[..., list(class_names).index(_BACKGROUND)] if _BACKGROUND in class_names else interior
    entropy = _entropy(probability)
    rim, touching, rings = _bands(number)

    def mean(plane: np.ndarray, where: np.ndarray, of: np.ndarray = number) -> np.ndarray:
        """Mean of a plane over some pixels of each cell, NaN where there are none."""
        cell = of[where]
        count = np.bincount(cell, minlength=n + 1)[1:]
        total = np.bincount(cell, plane[where], n + 1)[1:]
        return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)

    inside = number > 0
    whole = mean(entropy, inside)
    core = mean(entropy, inside & ~rim)
    outside = _mean_of_rings(foreground, rings, n)
    table = _shape(number, n) | {
        "foreground": mean(foreground, inside),
        "interior": mean(interior, inside),
        "entropy": whole,
        "core_entropy": np.where(np.isnan(core), whole, core),
        "edge_contrast": mean(foreground, rim) - outside,
        "contact": np.nan_to_num(mean(touching.astype(np.float64), rim)),
        "touches_border": _touches(number, n, at_border),
    }
    found = pd.DataFrame({name: np.asarray(table[name], np.float64) for name in SURENESS})
    return found if uncertainty is None else found.assign(**{UNCERTAINTY: np.asarray(uncertainty, np.float64)})


def _entropy(probability: np.ndarray) -> np.ndarray:
    """(H, W) entropy of the classes, 0 ... 1; independent outputs are made to sum to 1 first."""
    tiny = np.finfo(np.float32).tiny
    share = probability / np.maximum(probability.sum(axis=-1, keepdims=True), tiny)
    return -(share * np.log(np.maximum(share, tiny))).sum(axis=-1) / np.log(max(probability.shape[-1], 2))


def _bands(number: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Pixels of cells near their outline, and near another cell; and the cells that background pixels are near to.

    Returns:
        (H, W) bool twice; and the highest and the lowest number of a cell near each background pixel, 0 elsewhere.
    """
    size, beyond = 2 * _BAND_PX + 1, number.max(initial=0) + 1
    highest = ndimage.maximum_filter(number, size, mode="nearest")
    lowest = ndimage.minimum_filter(number, size, mode="nearest")
    nearest_cell = ndimage.minimum_filter(np.where(number > 0, number, beyond), size, mode="nearest")
    cell = number > 0
    rim = cell & ((highest != number) | (lowest != number))
    touching = cell & ((highest != number) | (nearest_cell != number))
    near = ~cell & (highest > 0)
    return rim, touching, (np.where(near, highest, 0), np.where(near, nearest_cell, 0))


def _mean_of_rings(plane: np.ndarray, rings: tuple[np.ndarray, np.ndarray], n: int) -> np.ndarray:
    """Mean of a plane over the background pixels near each cell; one between two cells is near to both."""
    count, total = np.zeros(n + 1), np.zeros(n + 1)
    first, second = rings
    for ring in (first, np.where(second != first, second, 0)):
        at = ring > 0
        count += np.bincount(ring[at], minlength=n + 1)
        total += np.bincount(ring[at], plane[at], n + 1)
    return np.divide(total, count, out=np.full(n + 1, np.nan), where=count > 0)[1:]


def _shape(number: np.ndarray, n: int) -> dict[str, np.ndarray]:
    position = np.nonzero(number)
    index = number[position] - 1
    area = np.bincount(index, minlength=n).astype(np.float64)
    y, x = (axis - (np.bincount(index, axis, n) / area)[index] for axis in position)
    yy, xx = (np.bincount(index, axis**2, n) / area + _PIXEL_MOMENT for axis in (y, x))
    xy = np.bincount(index, x * y, n) / area
    spread = np.hypot((yy - xx) / 2, xy)
    longer, shorter = (yy + xx) / 2 + spread, (yy + xx) / 2 - spread
    shorter = np.maximum(shorter, _PIXEL_MOMENT / 2)  # of a line of pixels, rounding may leave less
    return {
        "log_area": np.log(area),
        "fullness": area / (4 * np.pi * np.sqrt(longer * shorter)),
        "log_elongation": np.log(longer / shorter) / 2,
    }


def _touches(number: np.ndarray, n: int, at_border: Sides) -> np.ndarray:
    touches = np.zeros(n + 1)
    for line, counts in zip((number[0], number[:, 0], number[-1], number[:, -1]), at_border, strict=True):
        if counts:
            touches[line] = 1
    return touches[1:]
