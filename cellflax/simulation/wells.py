"""Differences between the wells of a plate: cells, focus and staining."""

from dataclasses import dataclass
from enum import Enum

from cellflax.checks import check, within
from cellflax.simulation.population import check_cells


class Well(Enum):
    """Wells of the simulated plate."""

    well1 = 1
    well2 = 2
    well3 = 3


@dataclass
class WellConfig:
    """What makes one well of a plate differ from another.

    Attributes:
        cells_per_mm2: density; a field that fills up before reaching it stays confluent.
        cell_area_um2: median area of a cell that nothing constrains.
        max_aspect: length over width of the longest cells.
        focus_um: position of the middle plane relative to the cells; positive is behind them.
        stain_brightness: brightness of both stains, relative to `stain_electrons`.
    """

    cells_per_mm2: float = 250.0
    cell_area_um2: float = 1200.0
    max_aspect: float = 3.0
    focus_um: float = 0.0
    stain_brightness: float = 1.0


def check_well(config: WellConfig, group: str) -> None:
    """Refuse a well that cannot be imaged; `group` is where it is configured."""
    check_cells(config, group)
    check(config, group, within(-20, 20), "focus_um")
    check(config, group, within(0.05, 10), "stain_brightness")


def crowded_well() -> WellConfig:
    """Many small, dim cells; the middle plane lies behind them."""
    return WellConfig(cells_per_mm2=520.0, cell_area_um2=850.0, max_aspect=2.2, focus_um=1.5, stain_brightness=0.6)


def sparse_well() -> WellConfig:
    """Few large, bright cells; the middle plane lies in front of them."""
    return WellConfig(cells_per_mm2=110.0, cell_area_um2=1700.0, max_aspect=4.0, focus_um=-2.0, stain_brightness=1.6)
