"""Simulated fields of HeLa cells: phase contrast and a nuclear marker, with exact labels.

Sizes, densities, brightness and noise follow the public HeLa-S3 images of Van Valen et al. 2016 (1080 x 1280,
taken to be 0.65 um per pixel): about 250 cells per mm^2 of 1000 um^2 in the median, nearly all of them in
contact with others.
"""

from dataclasses import dataclass

import numpy as np
from skimage import measure

from cellflax.data.simulation import optics, packing, shapes, specimen
from cellflax.data.simulation.camera import Camera, expose
from cellflax.data.simulation.optics import PhaseOptics, PhasePolarity
from cellflax.errors import UserError

CHANNELS = ("phase", "nuclear")
_MARGIN_UM = 45.0  # so far, cells and halos from outside reach into the field
_MEDIUM_FLUORESCENCE = 0.085  # of the culture medium, relative to the median nucleus
_MIN_ASPECT = 1.1
_RANGES: dict[str, tuple[float, float]] = {
    "height": (32, 4096),
    "width": (32, 4096),
    "pixel_size_um": (0.1, 2.0),
    "cells_per_mm2": (1, 2000),
    "cell_area_um2": (200, 5000),
    "max_aspect": (_MIN_ASPECT, 5.0),
    "touching_fraction": (0, 1),
    "mitotic_fraction": (0, 1),
    "index_difference": (0, 0.1),
    "illumination_variation": (0, 0.8),
    "phase_electrons": (10, 9000),
    "nuclear_electrons": (10, 9000),
    "read_noise_electrons": (0, 100),
}


@dataclass
class HelaFieldConfig:
    """A field of adherent cells and the microscope that looks at it.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel in the object plane.
        cells_per_mm2: density; a field that is full before this is reached stays at confluence.
        cell_area_um2: median area of a cell that nothing constrains.
        max_aspect: length over width of the longest cells; the shortest have 1.1.
        touching_fraction: share of the cells that settle beside another one.
        mitotic_fraction: share of rounded-up cells.
        index_difference: refractive index of the cytoplasm minus that of the medium: phase contrast.
        polarity: positive or negative phase contrast; the published HeLa-S3 images show cells brighter than
            their surroundings with dark outlines, as negative contrast does.
        illumination_variation: range of the illumination over the field, relative to its mean.
        phase_electrons: photo-electrons per background pixel in the phase image.
        nuclear_electrons: photo-electrons per pixel of the median nucleus.
        read_noise_electrons: of the camera.
    """

    height: int = 512
    width: int = 512
    pixel_size_um: float = 0.65
    cells_per_mm2: float = 250.0
    cell_area_um2: float = 1200.0
    max_aspect: float = 3.2
    touching_fraction: float = 0.85
    mitotic_fraction: float = 0.04
    index_difference: float = 0.015
    polarity: PhasePolarity = PhasePolarity.NEGATIVE
    illumination_variation: float = 0.1
    phase_electrons: float = 3600.0
    nuclear_electrons: float = 700.0
    read_noise_electrons: float = 4.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"data.field.{name} must be in [{low}, {high}], got {value}")


@dataclass(frozen=True)
class SimulatedField:
    """A simulated image and its exact truth.

    Attributes:
        image: (H, W, 2) float32, camera counts (integers from 0 to 65535), channels as in `channels`.
        channels: names of the channels.
        cells: (H, W) int32 labels 1..n, each 4-connected.
        nuclei: (H, W) int32; label i is the nucleus of cell i. Cells that the border of the field cuts may
            have none.
        pixel_size_um: edge of a pixel.
    """

    image: np.ndarray
    channels: tuple[str, ...]
    cells: np.ndarray
    nuclei: np.ndarray
    pixel_size_um: float


@dataclass(frozen=True)
class _Population:
    """The cells before any microscope, with a margin around the field.

    Attributes:
        cells: (H', W') labels; numbers may be missing.
        nuclei: (H', W') labels of the nuclei.
        nucleoli: (H', W') density of nucleoli: dense for light, empty of the nuclear marker.
        mitotic: (n,) bool for the labels 1..n.
    """

    cells: np.ndarray
    nuclei: np.ndarray
    nucleoli: np.ndarray
    mitotic: np.ndarray


def simulate_hela_field(config: HelaFieldConfig, seed: int) -> SimulatedField:
    """Simulate one field; the same configuration and seed give the same field, bit for bit.

    Cells, optics and noise draw from separate random streams: another exposure or illumination shows the
    same cells.
    """
    cell_rng, content_rng, lamp_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    population = _grow_cells(cell_rng, config)
    transmitted = _phase_image(content_rng, population, config)
    emitted = _nuclear_image(content_rng, population, config)

    margin = round(_MARGIN_UM / config.pixel_size_um)
    field = (slice(margin, margin + config.height), slice(margin, margin + config.width))
    field_px = (config.height, config.width)
    recorded = []
    # The gains that turn shot noise into the public images' noise: 216 counts at 13000, 16 counts at 210.
    for light, gain_counts in ((transmitted, 3.6), (emitted, 1.8)):
        lamp = optics.uneven_illumination(lamp_rng, field_px, config.illumination_variation)
        camera = Camera(gain_counts, offset_counts=100.0, read_noise_electrons=config.read_noise_electrons)
        recorded.append(expose(noise_rng, light[field] * lamp, camera))

    # A cell that the border of the field cuts in two is two cells to whoever sees only the field.
    cells = np.asarray(measure.label(population.cells[field], connectivity=1), np.int32)
    nuclei = np.where(population.nuclei[field] > 0, cells, 0).astype(np.int32)
    image = np.stack(recorded, axis=-1).astype(np.float32)
    return SimulatedField(image, CHANNELS, cells, nuclei, config.pixel_size_um)


def _grow_cells(rng: np.random.Generator, config: HelaFieldConfig) -> _Population:
    """Cells and nuclei on the field and its margin; at least one cell lies in the field."""
    margin = round(_MARGIN_UM / config.pixel_size_um)
    shape_px = (config.height + 2 * margin, config.width + 2 * margin)
    extent_um = (shape_px[0] * config.pixel_size_um, shape_px[1] * config.pixel_size_um)
    n_wanted = max(1, rng.poisson(config.cells_per_mm2 * extent_um[0] * extent_um[1] * 1e-6))
    spacing_um = 0.75 * np.sqrt(config.cell_area_um2)
    centres_um = shapes.settle_cells(
        rng, n_wanted, extent_um, margin * config.pixel_size_um, spacing_um, config.touching_fraction
    )

    n = len(centres_um)
    mitotic = rng.random(n) < config.mitotic_fraction
    areas_um2 = config.cell_area_um2 * rng.lognormal(0.0, 0.3, n) * np.where(mitotic, 0.35, 1.0)
    outlines = [
        shapes.rounded_outline(rng, area)
        if round_up
        else shapes.spread_outline(
            rng, area, aspect=rng.uniform(_MIN_ASPECT, config.max_aspect), n_corners=int(rng.integers(4, 8))
        )
        for area, round_up in zip(areas_um2, mitotic, strict=True)
    ]
    cells = packing.pack_cells(outlines, centres_um, shape_px, config.pixel_size_um, adhesion_um=1.5)
    nucleus_um2 = 0.28 * config.cell_area_um2 * rng.lognormal(0.0, 0.2, n) * np.where(mitotic, 0.5, 1.0)
    nuclei = packing.place_nuclei(rng, cells, nucleus_um2, config.pixel_size_um, clearance_um=1.5)
    nucleoli = specimen.spots(rng, nuclei > 0, 0.008, (1.0, 1.6), config.pixel_size_um)
    return _Population(cells, nuclei, nucleoli, mitotic)


def _per_label(values: np.ndarray) -> np.ndarray:
    """Values of the cells as a table indexed by label, with an entry for the background."""
    return np.concatenate([[1.0], values])


def _phase_image(rng: np.random.Generator, population: _Population, config: HelaFieldConfig) -> np.ndarray:
    """Expected photo-electrons of the phase-contrast channel, under even illumination."""
    pixel, mitotic, shape_px = config.pixel_size_um, population.mitotic, population.cells.shape
    n = len(mitotic)
    heights_um = np.where(mitotic, 16.0, 2.5) * rng.lognormal(0.0, np.where(mitotic, 0.1, 0.3))
    slopes_um = np.where(mitotic, 4.0, rng.lognormal(np.log(2.2), 0.4, n))
    nuclear_heights_um = np.where(mitotic, 0.5, 1.5) * rng.lognormal(0.0, 0.25, n)
    thickness_um = specimen.dome_thickness_um(
        population.cells, pixel, _per_label(heights_um), _per_label(slopes_um), rim_um=0.4
    ) + specimen.dome_thickness_um(population.nuclei, pixel, _per_label(nuclear_heights_um), np.full(n + 1, 4.0))

    nuclear = population.nuclei > 0
    organelles = specimen.texture(rng, shape_px, 1.5, pixel) + specimen.texture(rng, shape_px, 4.0, pixel)
    vesicles = specimen.spots(rng, (population.cells > 0) & ~nuclear, 0.01, (0.5, 0.9), pixel)
    contents = np.where(nuclear, 0.03, 0.06) * organelles + 0.5 * vesicles + 0.4 * population.nucleoli
    contents_um = contents * np.minimum(thickness_um, 3.0)  # organelles do not grow with a rounded cell

    phase_optics = PhaseOptics(polarity=config.polarity, stray_light=0.7)
    path_um = config.index_difference * (thickness_um + contents_um)
    delay_rad = optics.phase_delay_rad(path_um, phase_optics.wavelength_um)
    return config.phase_electrons * optics.phase_contrast(delay_rad, pixel, phase_optics)


def _nuclear_image(rng: np.random.Generator, population: _Population, config: HelaFieldConfig) -> np.ndarray:
    """Expected photo-electrons of the nuclear marker, under even illumination."""
    pixel, mitotic, shape_px = config.pixel_size_um, population.mitotic, population.cells.shape
    n = len(mitotic)
    brightness = _per_label(np.where(mitotic, 2.0, 1.0) * rng.lognormal(0.0, 0.6, n))
    dome = specimen.dome_thickness_um(population.nuclei, pixel, np.ones(n + 1), np.full(n + 1, 2.0))
    chromatin = 1.0 + 0.12 * specimen.texture(rng, shape_px, 2.5, pixel) - 0.3 * np.minimum(population.nucleoli, 1.0)
    cytoplasm = 0.02 * specimen.dome_thickness_um(population.cells, pixel, np.ones(n + 1), np.full(n + 1, 4.0))
    emission = brightness[population.cells] * (dome * np.maximum(chromatin, 0.0) + cytoplasm)
    seen = optics.fluorescence(
        emission, pixel, wavelength_um=0.6, numerical_aperture=0.45, haze=0.12, haze_sigma_um=6.0
    )
    return config.nuclear_electrons * (_MEDIUM_FLUORESCENCE + seen)
