"""What a refinement knows of the cells when it names the values of its settings that are worth trying."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownCells:
    """Annotated cells, by which candidates for lengths and areas are chosen.

    Attributes:
        width_px: typical width of a cell: twice the largest distance from its outline, the median over the cells.
        area_px: typical area of a cell, the median.
        seeded: whether nuclei are given, so that settings for a refinement's own seeds have no effect.
    """

    width_px: float
    area_px: float
    seeded: bool = False


def thresholds(low: float = 0.1, high: float = 0.9) -> list[float]:
    """Probabilities in steps of 0.05, both ends included."""
    return [round(0.05 * step, 2) for step in range(round(low / 0.05), round(high / 0.05) + 1)]


def own_seeds(cells: KnownCells) -> dict[str, list[float]]:
    """Smoothing and depth of the maxima that a refinement finds by itself, in a map of 0 to 1."""
    return {
        "seed_smoothing_px": shares(cells.width_px, (0, 1 / 32, 1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4)),
        "seed_depth": [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6],
    }


def shares(whole: float, parts: Iterable[float]) -> list[float]:
    """Shares of a length, rounded to three digits."""
    return sorted({float(f"{whole * part:.3g}") for part in parts})


def whole_shares(whole: float, parts: Iterable[float]) -> list[int]:
    """Shares of a length or an area as whole numbers."""
    return sorted({round(whole * part) for part in parts})
