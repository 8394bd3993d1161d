"""Cells that crawl through a movie: the properties of each, and its place in every frame."""

from dataclasses import dataclass

import numpy as np

from cellflax.simulation import motion, packing, shapes, specimen
from cellflax.simulation.migration_config import MigrationConfig

_ADHESION_UM = 1.5
_CLEARANCE_UM = 1.5  # width of cytoplasm kept around a nucleus


@dataclass(frozen=True)
class Cast:
    """The cells of a movie; row i belongs to the label i + 1 of every frame.

    Attributes:
        centres_um: (T, n, 2) centres (y, x).
        outlines: the two shapes between which each cell changes.
        swing_rad: (T, n) phase of that change.
        nuclei: (T, n) outlines of the nuclei.
        heights_um, slopes_um, nuclear, reporter: (n,) thickness, width of the flank, and brightness of the two markers.
        origins_px: (n, 2) place of a cell's contents in the texture maps.
    """

    centres_um: np.ndarray
    outlines: tuple[list[shapes.Outline], list[shapes.Outline]]
    swing_rad: np.ndarray
    nuclei: list[list[shapes.Outline]]
    heights_um: np.ndarray
    slopes_um: np.ndarray
    nuclear: np.ndarray
    reporter: np.ndarray
    origins_px: np.ndarray


def draw_cast(
    rng: np.random.Generator,
    motion_rng: np.random.Generator,
    shape_px: tuple[int, int],
    margin: int,
    config: MigrationConfig,
) -> Cast:
    """Draw the cells of a movie on the field and its margin: their properties, and their places in all frames.

    Args:
        rng: source of everything except the motion.
        motion_rng: source of the motion; each frame draws more from it.
        shape_px: height and width with the margin.
        margin: width of the margin in pixels.
        config: cells and frames.
    """
    pixel = config.pixel_size_um
    extent_um = (shape_px[0] * pixel, shape_px[1] * pixel)
    n_wanted = max(1, rng.poisson(config.cells_per_mm2 * extent_um[0] * extent_um[1] * 1e-6))
    spacing_um = 0.75 * np.sqrt(config.cell_area_um2)
    start_um = shapes.settle_cells(rng, n_wanted, extent_um, margin * pixel, spacing_um, touching_fraction=0.7)
    n = len(start_um)
    centres_um = motion.crawl(
        motion_rng,
        start_um,
        extent_um,
        config.frames,
        config.frame_interval_s,
        config.speed_um_per_h,
        config.persistence_min,
        spacing_um,
    )
    areas_um2 = config.cell_area_um2 * rng.lognormal(0.0, 0.2, n)
    first, second = (
        [shapes.spread_outline(rng, area, rng.uniform(1.1, 2.2), int(rng.integers(5, 8))) for area in areas_um2]
        for _ in range(2)
    )
    times_s = config.frame_interval_s * np.arange(config.frames)[:, None]
    swing_rad = rng.uniform(0.0, 2.0 * np.pi, n) + 2.0 * np.pi * times_s / rng.uniform(7200.0, 14400.0, n)
    nucleus_um2 = 0.2 * config.cell_area_um2 * rng.lognormal(0.0, 0.15, n)
    aspects = rng.uniform(1.1, 1.5, n)
    turns_rad = rng.uniform(0.0, np.pi, n) + rng.normal(0.0, 0.5, n) * times_s / 3600.0
    nuclei = [
        [motion.ellipse_outline(*ellipse) for ellipse in zip(nucleus_um2, aspects, turns, strict=True)]
        for turns in turns_rad
    ]
    return Cast(
        centres_um,
        (first, second),
        swing_rad,
        nuclei,
        heights_um=2.5 * rng.lognormal(0.0, 0.25, n),
        slopes_um=rng.lognormal(np.log(2.2), 0.3, n),
        nuclear=rng.lognormal(0.0, 0.4, n),
        reporter=rng.lognormal(0.0, 0.4, n),
        origins_px=rng.integers(0, shape_px, (n, 2)),
    )


def draw_frame(
    cast: Cast, frame: int, shape_px: tuple[int, int], pixel_size_um: float
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of cells and nuclei in one frame, (H', W') each."""
    outlines = motion.blend_outlines(*cast.outlines, share=0.5 + 0.5 * np.sin(cast.swing_rad[frame]))
    centres_um = cast.centres_um[frame]
    cells = packing.pack_cells(outlines, centres_um, shape_px, pixel_size_um, adhesion_um=_ADHESION_UM)
    nuclei = packing.pack_cells(cast.nuclei[frame], centres_um, shape_px, pixel_size_um, adhesion_um=0.0)
    covered = specimen.depth_um(cells, pixel_size_um) > _CLEARANCE_UM
    return cells, packing.keep_largest_parts(np.where((nuclei == cells) & covered, nuclei, 0))
