"""Outlines of adherent cells and where the cells sit: geometry in micrometres, no pixels yet."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

N_ANGLES = 256
ANGLES_RAD = np.linspace(0.0, 2.0 * np.pi, N_ANGLES, endpoint=False)
_GAP_JITTER = 0.3  # adhesions sit within +-30 % of their mean angular distance
_PLACEMENT_TRIES = 60  # per cell; the field is taken to be full when they all fail


@dataclass(frozen=True)
class Outline:
    """A star-shaped closed curve around a cell's centre.

    Attributes:
        radii_um: (N_ANGLES,) distance from the centre at `ANGLES_RAD`.
    """

    radii_um: np.ndarray

    @property
    def area_um2(self) -> float:
        """Enclosed area, half the integral of r^2 over the angle."""
        return float(0.5 * np.mean(self.radii_um**2) * 2.0 * np.pi)

    def with_area(self, area_um2: float) -> "Outline":
        """The same shape with another area."""
        return Outline(self.radii_um * np.sqrt(area_um2 / self.area_um2))

    def depth_um(
        self, centre_px: np.ndarray, shape_px: tuple[int, int], pixel_size_um: float
    ) -> tuple[tuple[slice, slice], np.ndarray]:
        """How deep the pixels around a centre lie inside, along the ray from it; not above 0 outside.

        Args:
            centre_px: row and column of the centre.
            shape_px: height and width of the image.
            pixel_size_um: edge of a pixel.

        Returns:
            the part of the image that the outline reaches, and (h, w) depths there.
        """
        reach_px = self.radii_um.max() / pixel_size_um
        low = np.maximum(np.floor(centre_px - reach_px).astype(int), 0)
        high = np.minimum(np.ceil(centre_px + reach_px).astype(int) + 1, shape_px)
        y, x = np.mgrid[low[0] : high[0], low[1] : high[1]]
        dy, dx = y - centre_px[0], x - centre_px[1]
        angle = np.arctan2(dy, dx) % (2 * np.pi) * N_ANGLES / (2 * np.pi)
        radius_um = np.interp(angle, np.arange(N_ANGLES + 1), np.append(self.radii_um, self.radii_um[0]))
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        return window, radius_um - np.hypot(dy, dx) * pixel_size_um


def spread_outline(rng: np.random.Generator, area_um2: float, aspect: float, n_corners: int) -> Outline:
    """Draw a spread cell: cortex drawn taut between a few adhesions, with sides from bulging to concave.

    Between two corners, 1/r as a linear function of the angle is a bulging arc and the sinusoidal
    interpolation is the straight chord; their blend is drawn at random for each side, and is concave beyond 1.

    Args:
        rng: source of the shape.
        area_um2: area of the outline.
        aspect: length over width of the ellipse on which the corners lie, >= 1.
        n_corners: number of adhesions, >= 4 (so that no side spans half a turn).
    """
    jitter = rng.uniform(-_GAP_JITTER / 2, _GAP_JITTER / 2, n_corners)
    corner_rad = (np.arange(n_corners) + jitter) * 2.0 * np.pi / n_corners + rng.uniform(0.0, 2.0 * np.pi)
    reach = rng.lognormal(0.0, 0.2, n_corners)
    stretched = reach * (np.sqrt(aspect) * np.cos(corner_rad) + 1j * np.sin(corner_rad) / np.sqrt(aspect))
    corners = stretched * np.exp(1j * rng.uniform(0.0, np.pi))

    start_rad, gap_rad = np.angle(corners), np.angle(np.roll(corners, -1) / corners)
    along_rad = (ANGLES_RAD[:, None] - start_rad) % (2.0 * np.pi)
    side = np.argmin(np.where(along_rad < gap_rad, along_rad, np.inf), axis=1)
    along, gap = along_rad[np.arange(N_ANGLES), side], gap_rad[side]
    inverse, next_inverse = (1.0 / np.abs(corners))[side], (1.0 / np.abs(np.roll(corners, -1)))[side]
    arc = inverse + (next_inverse - inverse) * along / gap
    chord = (inverse * np.sin(gap - along) + next_inverse * np.sin(along)) / np.sin(gap)
    tautness = rng.uniform(0.5, 1.3, n_corners)[side]
    radii = 1.0 / ((1.0 - tautness) * arc + tautness * chord)
    radii = ndimage.gaussian_filter1d(radii, 2.0, mode="wrap")
    return Outline(radii * _ruffling(rng, amplitude=0.03)).with_area(area_um2)


def rounded_outline(rng: np.random.Generator, area_um2: float) -> Outline:
    """Draw a rounded-up (mitotic) cell: a circle, a little uneven."""
    return Outline(_ruffling(rng, amplitude=0.02)).with_area(area_um2)


def nucleus_outline(rng: np.random.Generator, area_um2: float, aspect: float) -> Outline:
    """Draw a nucleus: an ellipse in any direction, a little uneven.

    Args:
        rng: source of the shape.
        area_um2: area of the outline.
        aspect: length over width, >= 1.
    """
    turned_rad = ANGLES_RAD - rng.uniform(0.0, np.pi)
    radii = 1.0 / np.hypot(np.cos(turned_rad) / np.sqrt(aspect), np.sin(turned_rad) * np.sqrt(aspect))
    return Outline(radii * _ruffling(rng, amplitude=0.04)).with_area(area_um2)


def _ruffling(rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """Smooth random factor around 1 with standard deviation `amplitude`, periodic in the angle."""
    noise = ndimage.gaussian_filter1d(rng.standard_normal(N_ANGLES), 4.0, mode="wrap")
    return 1.0 + amplitude * noise / noise.std()


def settle_cells(
    rng: np.random.Generator,
    n_cells: int,
    extent_um: tuple[float, float],
    margin_um: float,
    spacing_um: float,
    touching_fraction: float,
) -> np.ndarray:
    """Choose cell centres as they lie after some divisions: a cell settles beside another one or on free ground.

    The first cell lies at least `margin_um` from the border of the extent. Centres keep `spacing_um` apart;
    fewer than `n_cells` are returned when there is no room left.

    Args:
        rng: source of the positions.
        n_cells: how many centres are wanted, >= 1.
        extent_um: height and width of the area.
        margin_um: distance of the first cell from the border, less than half the extent.
        spacing_um: smallest distance between two centres; neighbours lie at 1 to 1.35 times this.
        touching_fraction: probability that a cell settles beside an earlier one.

    Returns:
        (n, 2) centres (y, x) in micrometres.
    """
    extent = np.asarray(extent_um)
    centres = rng.uniform(margin_um, extent - margin_um, (1, 2))
    while len(centres) < n_cells:
        beside = rng.random() < touching_fraction
        for _ in range(_PLACEMENT_TRIES):
            if beside:
                angle, distance = rng.uniform(0.0, 2.0 * np.pi), spacing_um * rng.uniform(1.0, 1.35)
                step = distance * np.array([np.sin(angle), np.cos(angle)])
                candidate = centres[rng.integers(len(centres))] + step
            else:
                candidate = rng.uniform(0.0, 1.0, 2) * extent
            inside = np.all((candidate >= 0) & (candidate < extent))
            if inside and np.min(np.sum((centres - candidate) ** 2, axis=1)) >= spacing_um**2:
                centres = np.vstack([centres, candidate])
                break
        else:
            break
    return centres
