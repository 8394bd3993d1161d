"""Length and width of rod-shaped cells."""

import numpy as np
import pandas as pd

_BISECTIONS = 60  # halves the interval to the precision of a float
_PIXEL_MOMENT = 1 / 12  # second moment of a unit square: a pixel is an area, not a point


def rod_table(labels: np.ndarray, pixel_size_um: float | None = None) -> pd.DataFrame:
    """Length and width of every cell as a rod: a cylinder with hemispherical ends, seen from the side.

    The rod has the same area A and the same second moment m (mean squared distance from the centroid)
    along the longest direction. Its outline is a rectangle of length qR between two half discs of radius R, so that

        A = R^2 (pi + 2q),    m / A = (q^3 / 6 + pi q^2 / 4 + 4q / 3 + pi / 4) / (pi + 2q)^2.

    The second expression grows with q from the disc's 1 / (4 pi) and is solved for q. Length = (q + 2) R, width = 2R.
    Area and moments average over all pixels of a cell, so both have a precision far below a pixel, unlike the
    perimeter and the skeleton. A bent cell counts as a straight rod of the same reach.

    Args:
        labels: (H, W) integer labels, 0 = background; they need not be consecutive.
        pixel_size_um: edge of a pixel, if known.

    Returns:
        One row per label, ascending: `label`, `centroid-0_px`, `centroid-1_px`, `area_px`, `length_px`, `width_px`;
        if the pixel size is known, also the same in `_um` and the area in `_um2`.
    """
    position = np.nonzero(labels > 0)
    cells, index = np.unique(labels[position], return_inverse=True)
    n = len(cells)
    area = np.bincount(index, minlength=n)
    centroid = [np.bincount(index, axis, n) / area for axis in position]
    y, x = (axis - mean[index] for axis, mean in zip(position, centroid, strict=True))
    yy, xx = (np.bincount(index, axis**2, n) / area + _PIXEL_MOMENT for axis in (y, x))
    xy = np.bincount(index, x * y, n) / area
    moment = (yy + xx) / 2 + np.hypot((yy - xx) / 2, xy)  # larger eigenvalue of the covariance
    elongation = _elongation(moment / area)
    radius = np.sqrt(area / (np.pi + 2 * elongation))
    lengths = {
        "centroid-0": centroid[0],
        "centroid-1": centroid[1],
        "length": (elongation + 2) * radius,
        "width": 2 * radius,
    }
    table = {"label": cells, "area_px": area, **{f"{name}_px": values for name, values in lengths.items()}}
    if pixel_size_um is not None:
        table["area_um2"] = area * pixel_size_um**2
        table |= {f"{name}_um": values * pixel_size_um for name, values in lengths.items()}
    return pd.DataFrame(table)


def _elongation(moment: np.ndarray) -> np.ndarray:
    """Length of a rod between its ends, in radii, from (n,) second moments over the area; 0 for a disc."""
    low, high = np.zeros_like(moment), 24 * moment  # the moment of a rod is above q / 24
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = _rod_moment(middle) > moment
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return low


def _rod_moment(q: np.ndarray) -> np.ndarray:
    return (q**3 / 6 + np.pi * q**2 / 4 + 4 * q / 3 + np.pi / 4) / (np.pi + 2 * q) ** 2
