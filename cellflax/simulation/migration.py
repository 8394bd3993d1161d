"""Simulated movies of crawling HeLa cells with a nuclear marker and a kinase translocation reporter."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.simulation import optics, specimen
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.crawlers import Cast, draw_cast, draw_frame
from cellflax.simulation.migration_config import MigrationConfig
from cellflax.simulation.movie import SimulatedMovie, tracks_in_view
from cellflax.simulation.optics import PhaseOptics, PhasePolarity
from cellflax.simulation.population import per_label
from cellflax.simulation.reporter import Kinetics, concentrations, nuclear_share

CHANNELS = ("phase", "nuclear", "reporter")
_MARGIN_UM = 40.0  # distance from which cells and halos reach into the field
_MEDIUM_FLUORESCENCE = 0.08  # relative to the median cell or nucleus
_ONSET_SPREAD_S = 120.0  # between the first and the last cell that the stimulus reaches
_EXCLUSION = 0.6  # share of the reporter that is missing where organelles fill the cytoplasm
_OPTICS = PhaseOptics(polarity=PhasePolarity.NEGATIVE, stray_light=0.7)
_GAINS = (3.6, 1.8, 1.8)


@dataclass(frozen=True)
class _Contents:
    """Texture maps (H', W'); every cell carries its own part of them along."""

    organelles: np.ndarray
    vesicles: np.ndarray
    nucleoli: np.ndarray
    chromatin: np.ndarray
    excluded: np.ndarray


def simulate_migration(config: MigrationConfig, seed: int) -> SimulatedMovie:
    """Simulate one movie; the same configuration and seed give the same movie, bit for bit.

    A movie with more frames continues it. A cell that leaves the field and comes back is a new track. `truth`
    has the exact `nucleus_to_cytoplasm` ratio of the reporter's concentrations in nucleus and cytosol.
    """
    cell_rng, motion_rng, content_rng, kinetic_rng, lamp_rng, noise_rng = np.random.default_rng(seed).spawn(6)
    margin = round(_MARGIN_UM / config.pixel_size_um)
    shape_px = (config.height + 2 * margin, config.width + 2 * margin)
    field = (slice(margin, -margin), slice(margin, -margin))
    cast = draw_cast(cell_rng, motion_rng, shape_px, margin, config)
    contents = _contents(content_rng, shape_px, config)
    times_s = config.frame_interval_s * np.arange(config.frames)
    n = cast.centres_um.shape[1]
    nuclear, cytosolic = concentrations(nuclear_share(_kinetics(kinetic_rng, n, config), times_s))
    lamps = [
        optics.uneven_illumination(lamp_rng, (config.height, config.width), config.illumination_variation)
        for _ in CHANNELS
    ]
    cameras = [Camera(gain, 100.0, config.read_noise_electrons) for gain in _GAINS]
    images, all_cells, all_nuclei = [], [], []
    for frame in range(config.frames):
        cells, nuclei = draw_frame(cast, frame, shape_px, config.pixel_size_um)
        light = _look(cast, contents, frame, cells, nuclei, nuclear[frame], cytosolic[frame], config)
        exposed = [
            expose(noise_rng, channel[field] * lamp, camera)
            for channel, lamp, camera in zip(light, lamps, cameras, strict=True)
        ]
        images.append(np.stack(exposed, axis=-1).astype(np.float32))
        all_cells.append(cells[field])
        all_nuclei.append(nuclei[field])

    tracks, rows = tracks_in_view(np.stack(all_cells))
    truth = pd.DataFrame({"frame": rows[:, 0], "time_s": times_s[rows[:, 0]], "track": rows[:, 2], "parent": 0})
    truth["nucleus_to_cytoplasm"] = (nuclear / cytosolic)[rows[:, 0], rows[:, 1] - 1]
    return SimulatedMovie(
        images=np.stack(images),
        channels=CHANNELS,
        tracks=tracks,
        nuclei=np.where(np.stack(all_nuclei) > 0, tracks, 0),
        truth=truth,
        pixel_size_um=config.pixel_size_um,
        frame_interval_s=config.frame_interval_s,
    )


def _kinetics(rng: np.random.Generator, n: int, config: MigrationConfig) -> Kinetics:
    import_factor, export_factor, stimulated_factor = rng.lognormal(0.0, config.kinetic_variation, (3, n))
    return Kinetics(
        import_per_min=config.import_per_min * import_factor,
        export_per_min=config.export_per_min * export_factor,
        stimulated_per_min=config.stimulated_per_min * stimulated_factor,
        onset_s=config.stimulus_s + rng.uniform(0.0, _ONSET_SPREAD_S, n),
        adaptation_s=60.0 * config.adaptation_min,
    )


def _contents(rng: np.random.Generator, shape_px: tuple[int, int], config: MigrationConfig) -> _Contents:
    pixel, everywhere = config.pixel_size_um, np.ones(shape_px, bool)
    organelles = specimen.texture(rng, shape_px, 1.5, pixel) + specimen.texture(rng, shape_px, 4.0, pixel)
    return _Contents(
        organelles,
        vesicles=specimen.spots(rng, everywhere, 0.01, (0.5, 0.9), pixel),
        nucleoli=specimen.spots(rng, everywhere, 0.01, (1.0, 1.6), pixel),
        chromatin=specimen.texture(rng, shape_px, 2.5, pixel),
        excluded=1.0 / (1.0 + np.exp(-4.0 * (specimen.texture(rng, shape_px, 4.0, pixel) - 0.4))),
    )


def _look(
    cast: Cast,
    contents: _Contents,
    frame: int,
    cells: np.ndarray,
    nuclei: np.ndarray,
    nuclear: np.ndarray,
    cytosolic: np.ndarray,
    config: MigrationConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected photo-electrons of phase, nuclear marker and reporter, under even illumination.

    Args:
        cast: all cells.
        contents: texture maps.
        frame: which frame.
        cells: (H', W') labels.
        nuclei: (H', W') labels.
        nuclear: (n,) concentration of the reporter in the nuclei.
        cytosolic: (n,) concentration in the cytosol.
        config: microscope.
    """
    pixel, n = config.pixel_size_um, len(nuclear)
    # Contents move with their cell: look them up at the place relative to its centre.
    shifts = np.rint(cast.centres_um[frame] / pixel).astype(int) - cast.origins_px
    shifts = np.concatenate([np.zeros((1, 2), int), shifts])[cells]
    place = tuple((np.indices(cells.shape)[axis] - shifts[..., axis]) % cells.shape[axis] for axis in range(2))
    nucleus, depth_um = nuclei > 0, specimen.smooth_depth_um(cells, pixel)
    nuclear_depth_um = specimen.smooth_depth_um(nuclei, pixel)
    nucleoli = np.where(nucleus, contents.nucleoli[place], 0.0)

    thickness_um = specimen.dome(cells, depth_um, per_label(cast.heights_um), per_label(cast.slopes_um), rim=0.4)
    thickness_um += specimen.dome(nuclei, nuclear_depth_um, np.full(n + 1, 1.5), np.full(n + 1, 4.0))
    grain = np.where(nucleus, 0.03, 0.06) * contents.organelles[place] + 0.4 * nucleoli
    grain += np.where(nucleus, 0.0, 0.5 * contents.vesicles[place])
    path_um = config.index_difference * (thickness_um + grain * np.minimum(thickness_um, 3.0))
    phase = optics.phase_contrast(optics.phase_delay_rad(path_um, _OPTICS.wavelength_um), pixel, _OPTICS)

    rise = specimen.dome(nuclei, nuclear_depth_um, per_label(cast.nuclear), np.full(n + 1, 2.0))
    marker = rise * np.maximum(1.0 + 0.12 * contents.chromatin[place] - 0.3 * np.minimum(nucleoli, 1.0), 0.0)

    body = specimen.dome(cells, depth_um, per_label(cast.reporter), np.full(n + 1, 2.0), rim=0.2)
    cytosol = per_label(cytosolic)[cells] * (1.0 - _EXCLUSION * contents.excluded[place])
    reporter = body * np.where(nucleus, per_label(nuclear)[cells], cytosol)
    return (
        config.phase_electrons * phase,
        config.nuclear_electrons * _fluorescence(marker, pixel),
        config.reporter_electrons * _fluorescence(reporter, pixel),
    )


def _fluorescence(emission: np.ndarray, pixel_size_um: float) -> np.ndarray:
    seen = optics.fluorescence(
        emission, pixel_size_um, wavelength_um=0.55, numerical_aperture=0.45, haze=0.1, haze_sigma_um=6.0
    )
    return _MEDIUM_FLUORESCENCE + seen
