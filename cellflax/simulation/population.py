"""A culture of adherent cells on a slide, before any microscope: which pixel belongs to which cell."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflax.checks import check, within
from cellflax.labels import components
from cellflax.simulation import packing, shapes, specimen

MIN_ASPECT = 1.1  # of the least elongated spread cells
MAX_ASPECT = 5.0


def check_cells(config: Any, group: str) -> None:
    """Refuse settings of cells that cannot be grown; `group` is where they are configured."""
    check(config, group, within(1, 2000), "cells_per_mm2")
    check(config, group, within(200, 5000), "cell_area_um2")
    check(config, group, within(MIN_ASPECT, MAX_ASPECT), "max_aspect")


def check_culture(config: Any, group: str) -> None:
    """The same for settings that also say how the cells lie."""
    check_cells(config, group)
    check(config, group, within(0, 1), "touching_fraction", "mitotic_fraction")


@dataclass(frozen=True)
class Culture:
    """Density and shape of cells that grow together.

    Attributes:
        cells_per_mm2: density; a field that fills up before reaching it stays confluent.
        cell_area_um2: median area of a spread cell that nothing constrains.
        max_aspect: length over width of the longest cells; the shortest have `MIN_ASPECT`.
        touching_fraction: share of the cells that settle beside another one.
        mitotic_fraction: share of rounded-up cells.
    """

    cells_per_mm2: float
    cell_area_um2: float
    max_aspect: float
    touching_fraction: float
    mitotic_fraction: float


@dataclass(frozen=True)
class Population:
    """Cells on a field and on a margin around it, from which cells and stray light reach into the field.

    Attributes:
        cells: (H', W') labels; numbers may be missing.
        nuclei: (H', W') labels of the nuclei.
        nucleoli: (H', W') density of nucleoli.
        mitotic: (n,) bool for the labels 1..n.
        margin_px: width of the margin on each side.
    """

    cells: np.ndarray
    nuclei: np.ndarray
    nucleoli: np.ndarray
    mitotic: np.ndarray
    margin_px: int

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width with the margin."""
        return self.cells.shape[0], self.cells.shape[1]

    @property
    def field(self) -> tuple[slice, slice]:
        """The field without its margin, as an index."""
        inner = slice(self.margin_px, -self.margin_px)
        return inner, inner


def grow_population(
    rng: np.random.Generator, culture: Culture, field_px: tuple[int, int], margin_um: float, pixel_size_um: float
) -> Population:
    """Draw cells and nuclei on a field and its margin; at least one cell lies in the field."""
    margin_px = round(margin_um / pixel_size_um)
    shape_px = (field_px[0] + 2 * margin_px, field_px[1] + 2 * margin_px)
    extent_um = (shape_px[0] * pixel_size_um, shape_px[1] * pixel_size_um)
    n_wanted = max(1, rng.poisson(culture.cells_per_mm2 * extent_um[0] * extent_um[1] * 1e-6))
    spacing_um = 0.75 * np.sqrt(culture.cell_area_um2)
    centres_um = shapes.settle_cells(
        rng, n_wanted, extent_um, margin_px * pixel_size_um, spacing_um, culture.touching_fraction
    )

    n = len(centres_um)
    mitotic = rng.random(n) < culture.mitotic_fraction
    areas_um2 = culture.cell_area_um2 * rng.lognormal(0.0, 0.3, n) * np.where(mitotic, 0.35, 1.0)
    outlines = [
        shapes.rounded_outline(rng, area)
        if round_up
        else shapes.spread_outline(
            rng, area, aspect=rng.uniform(MIN_ASPECT, culture.max_aspect), n_corners=int(rng.integers(4, 8))
        )
        for area, round_up in zip(areas_um2, mitotic, strict=True)
    ]
    cells = packing.pack_cells(outlines, centres_um, shape_px, pixel_size_um, adhesion_um=1.5)
    nucleus_um2 = 0.28 * culture.cell_area_um2 * rng.lognormal(0.0, 0.2, n) * np.where(mitotic, 0.5, 1.0)
    nuclei = packing.place_nuclei(rng, cells, nucleus_um2, pixel_size_um, clearance_um=1.5)
    nucleoli = specimen.spots(rng, nuclei > 0, 0.008, (1.0, 1.6), pixel_size_um)
    return Population(cells, nuclei, nucleoli, mitotic, margin_px)


def field_labels(cells: np.ndarray, nuclei: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the cells of a field 1..n, and give their nuclei the same numbers.

    A cell that the border of the field cuts in two becomes two cells, because only the field is in view.
    """
    numbered = components(cells)
    return numbered, np.where(nuclei > 0, numbered, 0).astype(np.int32)


def per_label(values: np.ndarray) -> np.ndarray:
    """Values of the cells 1..n as a table indexed by label, with an entry for the background."""
    return np.concatenate([[1.0], values])
