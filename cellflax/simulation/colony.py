"""Simulated micro-colonies of E. coli: growth and division with known rates, as phase-contrast movies."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.simulation import optics, rods, shapes, specimen
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.colony_config import ColonyConfig
from cellflax.simulation.movie import SimulatedMovie
from cellflax.simulation.optics import PhaseOptics, PhasePolarity
from cellflax.simulation.rods import Rods

CHANNELS = ("phase",)
_MARGIN_PX = 32  # empty, for the halo and for borders that wrap around
_STEP_S = 60.0  # longest time between two relaxations of the contacts
_TOLERANCE_UM = 0.01
_OPTICS = PhaseOptics(numerical_aperture=1.25, annulus_na=0.55, ring_width_na=0.12, polarity=PhasePolarity.POSITIVE)


@dataclass(frozen=True)
class _Colony:
    """Living cells; row i of every array is one cell.

    Attributes:
        rods: positions relative to the centre of the field, and lengths.
        tracks: numbers of the cells, never reused.
        parents: number of the mother, 0 for founders.
        rates_per_s: exponential growth rate of the area.
        division_um: length at which the cell divides.
    """

    rods: Rods
    tracks: np.ndarray
    parents: np.ndarray
    rates_per_s: np.ndarray
    division_um: np.ndarray


def simulate_colony(config: ColonyConfig, seed: int) -> SimulatedMovie:
    """Simulate one movie; the same configuration and seed give the same movie, bit for bit.

    `truth` has `length_um`, `area_um2` and `growth_rate_per_h`, the rate d ln(area) / dt that the cell keeps for
    life.

    Raises:
        UserError: if the colony outgrows the field.
    """
    cell_rng, content_rng, lamp_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    lamp = optics.uneven_illumination(lamp_rng, (config.height, config.width), config.illumination_variation)
    camera = Camera(gain_counts=2.0, offset_counts=100.0, read_noise_electrons=config.read_noise_electrons)
    grain = specimen.texture(content_rng, _padded_px(config), 0.25, config.pixel_size_um)
    colony = _found(cell_rng, config)
    images, tracks, rows = [], [], []
    for frame in range(config.frames):
        if frame > 0:
            colony = _grow(cell_rng, colony, config)
        _require_inside(colony.rods, frame, config)
        labels, light = _look(colony, grain, config)
        images.append(expose(noise_rng, light * lamp, camera))
        tracks.append(labels)
        rows.append(_describe(colony, frame, config))
    return SimulatedMovie(
        images=np.stack(images)[..., None].astype(np.float32),
        channels=CHANNELS,
        tracks=np.stack(tracks),
        nuclei=None,
        truth=pd.concat(rows, ignore_index=True),
        pixel_size_um=config.pixel_size_um,
        frame_interval_s=config.frame_interval_s,
    )


def _found(rng: np.random.Generator, config: ColonyConfig) -> _Colony:
    """The founders, at random phases between two divisions."""
    spacing_um = config.division_length_um  # rods this far apart cannot cross
    extent_um = (4.0 * spacing_um * np.sqrt(config.founders),) * 2
    centres_um = shapes.settle_cells(rng, config.founders, extent_um, 0.4 * extent_um[0], spacing_um, 1.0)
    n = len(centres_um)
    placed = Rods(
        centres_um=centres_um - centres_um.mean(axis=0),
        angles_rad=rng.uniform(0.0, np.pi, n),
        lengths_um=config.division_length_um * 2.0 ** rng.uniform(-1.0, 0.0, n),
        width_um=config.cell_width_um,
    )
    rates, division_um = _draw_fate(rng, n, config)
    placed = rods.push_apart(placed, _TOLERANCE_UM)
    return _Colony(placed, np.arange(1, n + 1), np.zeros(n, int), rates, division_um)


def _draw_fate(rng: np.random.Generator, n: int, config: ColonyConfig) -> tuple[np.ndarray, np.ndarray]:
    """Growth rates (1/s) and division lengths (um) of new cells."""
    rate_per_s = np.log(2.0) / (60.0 * config.doubling_time_min)
    rate_spread, length_spread = np.clip(rng.standard_normal((2, n)), -2.0, 2.0)
    rates = rate_per_s * np.exp(config.rate_variation * rate_spread)
    return rates, config.division_length_um * np.exp(config.division_variation * length_spread)


def _grow(rng: np.random.Generator, colony: _Colony, config: ColonyConfig) -> _Colony:
    """Advance by one frame interval in short steps: grow, divide, push apart."""
    n_steps = int(np.ceil(config.frame_interval_s / _STEP_S))
    for _ in range(n_steps):
        grown_um2 = colony.rods.areas_um2 * np.exp(colony.rates_per_s * config.frame_interval_s / n_steps)
        lengths_um = rods.length_of_area_um(grown_um2, config.cell_width_um)
        colony = replace(colony, rods=replace(colony.rods, lengths_um=lengths_um))
        colony = _divide(rng, colony, config)
        colony = replace(colony, rods=rods.push_apart(colony.rods, _TOLERANCE_UM))
    return colony


def _divide(rng: np.random.Generator, colony: _Colony, config: ColonyConfig) -> _Colony:
    """Replace every cell that has reached its division length by two daughters, end to end."""
    ready = colony.rods.lengths_um >= colony.division_um
    if not ready.any():
        return colony
    mothers, n = colony.rods, int(ready.sum())
    share = np.clip(rng.normal(0.5, 0.02, n), 0.46, 0.54)
    lengths_um = mothers.lengths_um[ready] * np.stack([share, 1.0 - share])
    shifts_um = 0.5 * (mothers.lengths_um[ready] - lengths_um) * np.array([[-1.0], [1.0]])
    centres_um = mothers.centres_um[ready] + shifts_um[..., None] * mothers.axes[ready]
    angles_rad = mothers.angles_rad[ready] + rng.normal(0.0, 0.08, (2, n))  # from which colonies start to buckle
    rates, division_um = _draw_fate(rng, 2 * n, config)
    # The fastest cell grows less than this between two frames, so every cell is seen before it divides.
    division_um = np.maximum(division_um, 1.4 * lengths_um.ravel())
    first = int(colony.tracks.max()) + 1
    stay = ~ready

    def joined(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.concatenate([old[stay], new])

    return _Colony(
        Rods(
            joined(mothers.centres_um, centres_um.reshape(-1, 2)),
            joined(mothers.angles_rad, angles_rad.ravel()),
            joined(mothers.lengths_um, lengths_um.ravel()),
            config.cell_width_um,
        ),
        joined(colony.tracks, np.arange(first, first + 2 * n)),
        joined(colony.parents, np.tile(colony.tracks[ready], 2)),
        joined(colony.rates_per_s, rates),
        joined(colony.division_um, division_um),
    )


def _require_inside(placed: Rods, frame: int, config: ColonyConfig) -> None:
    reach_um = np.abs(placed.centres_um) + np.abs(placed.half_axes_um) + 0.5 * config.cell_width_um
    if (reach_um > 0.5 * config.pixel_size_um * np.array([config.height, config.width])).any():
        raise UserError(
            f"colony.frames={config.frames}: the colony outgrows the field at frame {frame}; choose fewer frames or "
            "larger colony.height and colony.width"
        )


def _padded_px(config: ColonyConfig) -> tuple[int, int]:
    return config.height + 2 * _MARGIN_PX, config.width + 2 * _MARGIN_PX


def _look(colony: _Colony, grain: np.ndarray, config: ColonyConfig) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the field, and expected photo-electrons under even illumination."""
    labels, thickness_um = rods.draw_rods(colony.rods, colony.tracks, _padded_px(config), config.pixel_size_um)
    path_um = config.index_difference * thickness_um * (1.0 + 0.08 * grain)
    delay_rad = optics.phase_delay_rad(path_um, _OPTICS.wavelength_um)
    light = config.phase_electrons * optics.phase_contrast(delay_rad, config.pixel_size_um, _OPTICS)
    field = (slice(_MARGIN_PX, -_MARGIN_PX), slice(_MARGIN_PX, -_MARGIN_PX))
    return labels[field], light[field]


def _describe(colony: _Colony, frame: int, config: ColonyConfig) -> pd.DataFrame:
    """Rows of the truth for one frame."""
    return pd.DataFrame(
        {
            "frame": frame,
            "time_s": frame * config.frame_interval_s,
            "track": colony.tracks,
            "parent": colony.parents,
            "length_um": colony.rods.lengths_um,
            "area_um2": colony.rods.areas_um2,
            "growth_rate_per_h": 3600.0 * colony.rates_per_s,
        }
    )
