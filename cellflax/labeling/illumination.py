"""Uneven illumination: a smooth surface is fitted to the background repeatedly until it settles.

The iterative spline fit of Lindblad and Bengtsson (2001), Proc SCIA 12:264, which Wählby et al. (2002), Anal Cell
Pathol 24:101, apply to fluorescence and Sadanandan et al. (2017) to every plane: fit a cubic B-spline surface by
least squares, treat what is brighter by more than a number of standard deviations as cells, and fit to the rest.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

from cellflax.checks import above, at_least, check, within

_DEGREE = 3
_SAMPLES = 48  # per side: the surface is fitted to means of blocks, much smaller than its bends
_CONVERGED = 1e-3  # of the range of the values: the surface has settled
# Weight of the surface's second differences against one sample: it matters only where cells leave too few samples.
_ROUGHNESS = 1e-3
_MIN_BACKGROUND = 0.01  # of the samples; with fewer the surface follows chance


@dataclass
class IlluminationConfig:
    """Settings of the fit.

    Attributes:
        correct: whether to correct at all.
        points: control points of the surface along each side; more points follow finer shading, then also large cells.
        cutoff: pixels brighter than the surface by more than this many standard deviations of the background are cells.
        iterations: maximum number of fits.
    """

    correct: bool = True
    points: int = 5
    cutoff: float = 2.0
    iterations: int = 40

    def __post_init__(self):
        check(self, "sadanandan.illumination", within(_DEGREE + 1, _SAMPLES // 2), "points")
        check(self, "sadanandan.illumination", above(0), "cutoff")
        check(self, "sadanandan.illumination", at_least(1), "iterations")


def fit_background(plane: np.ndarray, config: IlluminationConfig) -> np.ndarray:
    """Fit the background of a plane of a stain, on which cells are brighter.

    Args:
        plane: (H, W) intensities.
        config: the settings; `correct` is ignored.

    Returns:
        (H, W) float32 surface, in the intensity units of the plane.
    """
    means, rows, columns = _block_means(plane.astype(np.float32))
    design = np.kron(_splines(rows, config.points), _splines(columns, config.points))
    penalty = _ROUGHNESS * _second_differences(config.points)
    values = means.ravel()
    used = np.ones(values.size, bool)
    settled = _CONVERGED * np.ptp(values)
    coefficients = _least_squares(design, values, penalty)
    for _ in range(config.iterations - 1):
        deviation = values - design @ coefficients
        background = deviation <= config.cutoff * deviation[used].std()
        if background.mean() < _MIN_BACKGROUND:
            break
        used, previous = background, coefficients
        coefficients = _least_squares(design[used], values[used], penalty)
        if np.std(design @ (coefficients - previous)) <= settled:
            break
    y, x = ((np.arange(n) + 0.5) / n for n in plane.shape)
    grid = coefficients.reshape(config.points, config.points)
    return (_splines(y, config.points) @ grid @ _splines(x, config.points).T).astype(np.float32)


def subtract_background(planes: np.ndarray, config: IlluminationConfig) -> tuple[np.ndarray, np.ndarray]:
    """Correct every plane of a stack separately.

    Args:
        planes: (Z, H, W) intensities.
        config: the settings.

    Returns:
        Planes without their background, and the background, both (Z, H, W) float32. Without correction it is zero.
    """
    planes = planes.astype(np.float32)
    if not config.correct:
        return planes, np.zeros_like(planes)
    surfaces = np.stack([fit_background(plane, config) for plane in planes])
    return planes - surfaces, surfaces


def _least_squares(design: np.ndarray, values: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    return np.linalg.solve(design.T @ design + penalty, design.T @ values)


def _block_means(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of about _SAMPLES x _SAMPLES blocks, and the centres of their rows and columns in (0, 1)."""
    edges = [np.unique(np.linspace(0, n, min(n, _SAMPLES) + 1).astype(int)) for n in plane.shape]
    sums = np.add.reduceat(np.add.reduceat(plane, edges[0][:-1], axis=0, dtype=float), edges[1][:-1], axis=1)
    means = sums / np.outer(np.diff(edges[0]), np.diff(edges[1]))
    rows, columns = ((edge[:-1] + edge[1:]) / (2 * n) for edge, n in zip(edges, plane.shape, strict=True))
    return means, rows, columns


def _splines(at: np.ndarray, points: int) -> np.ndarray:
    """Values of `points` cubic B-splines over [0, 1], (len(at), points)."""
    inner = np.linspace(0, 1, points - _DEGREE + 1)
    knots = np.concatenate([np.zeros(_DEGREE), inner, np.ones(_DEGREE)])
    return BSpline.design_matrix(at, knots, _DEGREE).toarray()


def _second_differences(points: int) -> np.ndarray:
    """Quadratic form of a surface's second differences along rows and columns (Eilers and Marx 1996)."""
    second = np.diff(np.eye(points), 2, axis=0)
    along, identity = second.T @ second, np.eye(points)
    return np.kron(along, identity) + np.kron(identity, along)
