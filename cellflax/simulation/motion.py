"""Crawling cells: where they go, and how their outlines change on the way."""

from collections.abc import Sequence

import numpy as np
from scipy import spatial

from cellflax.simulation.shapes import ANGLES_RAD, Outline

_MOST_SWEEPS = 50


def crawl(
    rng: np.random.Generator,
    start_um: np.ndarray,
    extent_um: tuple[float, float],
    frames: int,
    interval_s: float,
    speed_um_per_h: float,
    persistence_min: float,
    spacing_um: float,
) -> np.ndarray:
    """Persistent random walks of cells that keep a distance from each other.

    Velocities follow an Ornstein-Uhlenbeck process (Selmeczi et al., Biophys. J. 89:912, 2005); centres nearer
    than `spacing_um` are pushed apart, and nothing leaves the extent.

    Args:
        rng: source of the velocities.
        start_um: (n, 2) centres (y, x) in the first frame.
        extent_um: height and width of the area.
        frames: number of frames.
        interval_s: time between two frames.
        speed_um_per_h: mean speed of a free cell.
        persistence_min: time after which a cell has forgotten its direction.
        spacing_um: smallest distance between two centres.

    Returns:
        (frames, n, 2) centres.
    """
    memory = np.exp(-interval_s / (60.0 * persistence_min))
    # The mean of a Rayleigh distribution is sqrt(pi / 2) times the deviation of either component.
    deviation_um = speed_um_per_h / 3600.0 * interval_s / np.sqrt(np.pi / 2.0)
    steps_um = deviation_um * rng.standard_normal(start_um.shape)
    centres_um = [start_um]
    for _ in range(frames - 1):
        moved = _keep_apart(centres_um[-1] + steps_um, spacing_um)
        centres_um.append(np.clip(moved, 0.0, np.asarray(extent_um)))
        kick_um = deviation_um * np.sqrt(1.0 - memory**2) * rng.standard_normal(start_um.shape)
        steps_um = memory * steps_um + kick_um
    return np.stack(centres_um)


def _keep_apart(centres_um: np.ndarray, spacing_um: float) -> np.ndarray:
    for _ in range(_MOST_SWEEPS):
        pairs = spatial.KDTree(centres_um).query_pairs(0.999 * spacing_um, output_type="ndarray")
        if not len(pairs):
            break
        gaps = centres_um[pairs[:, 1]] - centres_um[pairs[:, 0]]
        distances_um = np.linalg.norm(gaps, axis=-1, keepdims=True)
        push_um = 0.5 * (spacing_um - distances_um) * gaps / np.maximum(distances_um, 1e-9)
        centres_um = centres_um.copy()
        np.add.at(centres_um, pairs[:, 1], push_um)
        np.add.at(centres_um, pairs[:, 0], -push_um)
    return centres_um


def blend_outlines(first: Sequence[Outline], second: Sequence[Outline], share: np.ndarray) -> list[Outline]:
    """Outlines on the way from one shape to another, with the area of the first.

    Args:
        first: shapes of n cells at share 0.
        second: shapes at share 1.
        share: (n,) in [0, 1].
    """
    return [
        Outline((1.0 - s) * a.radii_um + s * b.radii_um).with_area(a.area_um2)
        for a, b, s in zip(first, second, share, strict=True)
    ]


def ellipse_outline(area_um2: float, aspect: float, turn_rad: float) -> Outline:
    """An ellipse with this area, aspect (length over width) and direction of the long axis."""
    angles = ANGLES_RAD - turn_rad
    return Outline(1.0 / np.sqrt(np.cos(angles) ** 2 / aspect + np.sin(angles) ** 2 * aspect)).with_area(area_um2)
