"""Simulated fields of HeLa cells: phase contrast and a nuclear marker, with exact labels.

Sizes, densities, brightness and noise follow the public HeLa-S3 images of Van Valen et al. 2016 (1080 x 1280,
taken to be 0.65 um per pixel): about 250 cells per mm^2 with a median area of 1000 um^2, nearly all of them
in contact with others.
"""

from dataclasses import dataclass

import numpy as np

from cellflax.checks import check, within
from cellflax.simulation import optics, specimen
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.field import SimulatedField, check_image
from cellflax.simulation.optics import PhaseOptics, PhasePolarity
from cellflax.simulation.population import Culture, Population, check_culture, field_labels, grow_population, per_label

CHANNELS = ("phase", "nuclear")
_MARGIN_UM = 45.0  # distance from which cells and halos reach into the field
_MEDIUM_FLUORESCENCE = 0.085  # of the culture medium, relative to the median nucleus


@dataclass
class HelaFieldConfig:
    """A field of adherent cells and the microscope that images it.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel in the object plane.
        cells_per_mm2: density; a field that fills up before reaching it stays confluent.
        cell_area_um2: median area of a cell that nothing constrains.
        max_aspect: length over width of the longest cells; the shortest have 1.1.
        touching_fraction: share of the cells that settle beside another one.
        mitotic_fraction: share of rounded-up cells.
        index_difference: refractive index of the cytoplasm minus that of the medium; it causes phase contrast.
        polarity: positive or negative phase contrast; the published HeLa-S3 images show cells brighter than
            their surroundings with dark outlines, as negative contrast does.
        illumination_variation: range of the illumination over the field, relative to its mean.
        phase_electrons: photo-electrons per background pixel in the phase image.
        nuclear_electrons: photo-electrons per pixel of the median nucleus.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
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
        check_culture(self, "data.field")
        check_image(self, "data.field")
        check(self, "data.field", within(0.1, 2.0), "pixel_size_um")
        check(self, "data.field", within(0, 0.1), "index_difference")
        check(self, "data.field", within(10, 9000), "phase_electrons", "nuclear_electrons")


def simulate_hela_field(config: HelaFieldConfig, seed: int) -> SimulatedField:
    """Simulate one field; the same configuration and seed give the same field, bit for bit.

    Cells, optics and noise draw from separate random streams, so another exposure or illumination shows the
    same cells.
    """
    cell_rng, content_rng, lamp_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    culture = Culture(
        cells_per_mm2=config.cells_per_mm2,
        cell_area_um2=config.cell_area_um2,
        max_aspect=config.max_aspect,
        touching_fraction=config.touching_fraction,
        mitotic_fraction=config.mitotic_fraction,
    )
    field_px = (config.height, config.width)
    population = grow_population(cell_rng, culture, field_px, _MARGIN_UM, config.pixel_size_um)
    field = population.field
    transmitted = _phase_image(content_rng, population, config)
    emitted = _nuclear_image(content_rng, population, config)

    recorded = []
    # These gains turn shot noise into the noise of the public images: 216 counts at 13000, 16 counts at 210.
    for light, gain_counts in ((transmitted, 3.6), (emitted, 1.8)):
        lamp = optics.uneven_illumination(lamp_rng, field_px, config.illumination_variation)
        camera = Camera(gain_counts, offset_counts=100.0, read_noise_electrons=config.read_noise_electrons)
        recorded.append(expose(noise_rng, light[field] * lamp, camera))

    cells, nuclei = field_labels(population.cells[field], population.nuclei[field])
    image = np.stack(recorded, axis=-1).astype(np.float32)
    return SimulatedField(image, CHANNELS, cells, nuclei, config.pixel_size_um)


def _phase_image(rng: np.random.Generator, population: Population, config: HelaFieldConfig) -> np.ndarray:
    """Expected photo-electrons of the phase-contrast channel, under even illumination."""
    pixel, mitotic, shape_px = config.pixel_size_um, population.mitotic, population.shape_px
    n = len(mitotic)
    heights_um = np.where(mitotic, 16.0, 2.5) * rng.lognormal(0.0, np.where(mitotic, 0.1, 0.3))
    slopes_um = np.where(mitotic, 4.0, rng.lognormal(np.log(2.2), 0.4, n))
    nuclear_heights_um = np.where(mitotic, 0.5, 1.5) * rng.lognormal(0.0, 0.25, n)
    thickness_um = specimen.dome_thickness_um(
        population.cells, pixel, per_label(heights_um), per_label(slopes_um), rim_um=0.4
    ) + specimen.dome_thickness_um(population.nuclei, pixel, per_label(nuclear_heights_um), np.full(n + 1, 4.0))

    nuclear = population.nuclei > 0
    organelles = specimen.texture(rng, shape_px, 1.5, pixel) + specimen.texture(rng, shape_px, 4.0, pixel)
    vesicles = specimen.spots(rng, (population.cells > 0) & ~nuclear, 0.01, (0.5, 0.9), pixel)
    contents = np.where(nuclear, 0.03, 0.06) * organelles + 0.5 * vesicles + 0.4 * population.nucleoli
    contents_um = contents * np.minimum(thickness_um, 3.0)  # organelles do not grow with a rounded cell

    phase_optics = PhaseOptics(polarity=config.polarity, stray_light=0.7)
    path_um = config.index_difference * (thickness_um + contents_um)
    delay_rad = optics.phase_delay_rad(path_um, phase_optics.wavelength_um)
    return config.phase_electrons * optics.phase_contrast(delay_rad, pixel, phase_optics)


def _nuclear_image(rng: np.random.Generator, population: Population, config: HelaFieldConfig) -> np.ndarray:
    """Expected photo-electrons of the nuclear marker, under even illumination."""
    pixel, mitotic, shape_px = config.pixel_size_um, population.mitotic, population.shape_px
    n = len(mitotic)
    brightness = per_label(np.where(mitotic, 2.0, 1.0) * rng.lognormal(0.0, 0.6, n))
    dome = specimen.dome_thickness_um(population.nuclei, pixel, np.ones(n + 1), np.full(n + 1, 2.0))
    chromatin = 1.0 + 0.12 * specimen.texture(rng, shape_px, 2.5, pixel) - 0.3 * np.minimum(population.nucleoli, 1.0)
    cytoplasm = 0.02 * specimen.dome_thickness_um(population.cells, pixel, np.ones(n + 1), np.full(n + 1, 4.0))
    emission = brightness[population.cells] * (dome * np.maximum(chromatin, 0.0) + cytoplasm)
    seen = optics.fluorescence(
        emission, pixel, wavelength_um=0.6, numerical_aperture=0.45, haze=0.12, haze_sigma_um=6.0
    )
    return config.nuclear_electrons * (_MEDIUM_FLUORESCENCE + seen)
