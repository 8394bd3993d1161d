"""Simulated single-channel cells: bright, textured cytoplasm with dark or faint nuclei, and exact labels.

The images follow those that Al-Kofahi et al. 2018 segment, by stain, treatment and magnification. They include the
nuclear channel of their two-channel truth. The specimen is drawn on a grid of `GRID_UM`, the pixel at 20x. A camera
pixel spans a whole number of grid points, so the same seed and extent at another pixel size show the same specimen.
"""

from dataclasses import dataclass

import numpy as np

from cellflax.checks import check, within
from cellflax.errors import UserError
from cellflax.simulation import optics, specimen
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.field import SimulatedField, check_image
from cellflax.simulation.packing import keep_largest_parts
from cellflax.simulation.population import (
    MAX_ASPECT,
    MIN_ASPECT,
    Culture,
    Population,
    check_culture,
    field_labels,
    grow_population,
    per_label,
)
from cellflax.simulation.stains import CytoplasmStain, Treatment

CHANNELS = ("cytoplasm", "nuclear")
GRID_UM = 0.325
_MOST_BINNING = 4
_MARGIN_UM = 96 * GRID_UM  # distance from which cells and haze reach into the field; divisible by all binnings
_MEDIUM_FLUORESCENCE = 0.05  # relative to the middle of the median cell or nucleus


@dataclass
class CytoplasmFieldConfig:
    """A field of cells with one cytoplasmic stain, and the microscope that images it.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel, 1 to 4 times 0.325 um: 0.325 at 20x, 0.65 at 10x.
        stain: texture and contrast of the cytoplasm.
        treatment: change of the numbers below, as a drug causes it.
        cells_per_mm2: density of untreated cells.
        cell_area_um2: median area of an untreated cell that nothing constrains.
        max_aspect: length over width of the longest untreated cells.
        touching_fraction: share of the cells that settle beside another one.
        mitotic_fraction: share of rounded-up cells without treatment.
        numerical_aperture: numerical aperture of the objective.
        illumination_variation: range of the illumination over the field, relative to its mean.
        cytoplasm_electrons: photo-electrons per pixel in the cytoplasm of the median cell.
        nuclear_electrons: photo-electrons per pixel of the median nucleus.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
    """

    height: int = 512
    width: int = 512
    pixel_size_um: float = 0.65
    stain: CytoplasmStain = CytoplasmStain.reticulum
    treatment: Treatment = Treatment.control
    cells_per_mm2: float = 300.0
    cell_area_um2: float = 1300.0
    max_aspect: float = 2.8
    touching_fraction: float = 0.7
    mitotic_fraction: float = 0.03
    numerical_aperture: float = 0.4
    illumination_variation: float = 0.2
    cytoplasm_electrons: float = 1200.0
    nuclear_electrons: float = 700.0
    read_noise_electrons: float = 4.0

    def __post_init__(self) -> None:
        check_culture(self, "data.cytoplasm")
        check_image(self, "data.cytoplasm")
        check(self, "data.cytoplasm", within(0.1, 0.95), "numerical_aperture")
        check(self, "data.cytoplasm", within(10, 9000), "cytoplasm_electrons", "nuclear_electrons")
        sizes_um = [round(GRID_UM * factor, 3) for factor in range(1, _MOST_BINNING + 1)]
        if not any(abs(self.pixel_size_um - size) < 1e-6 for size in sizes_um):
            allowed = ", ".join(map(str, sizes_um))
            raise UserError(f"data.cytoplasm.pixel_size_um must be one of {allowed}, got {self.pixel_size_um}")

    @property
    def binning(self) -> int:
        """Edge of a camera pixel in points of the specimen's grid."""
        return round(self.pixel_size_um / GRID_UM)


def simulate_cytoplasm_field(config: CytoplasmFieldConfig, seed: int) -> SimulatedField:
    """Simulate one field; the same configuration and seed give the same field, bit for bit.

    Cells, contents, lamp and noise draw from separate random streams, so another stain, exposure or pixel
    size shows the same cells.
    """
    cell_rng, content_rng, lamp_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    response = config.treatment.value
    culture = Culture(
        cells_per_mm2=config.cells_per_mm2 * response.density,
        cell_area_um2=config.cell_area_um2 * response.area,
        max_aspect=float(np.clip(config.max_aspect * response.aspect, MIN_ASPECT, MAX_ASPECT)),
        touching_fraction=config.touching_fraction,
        mitotic_fraction=config.mitotic_fraction + (1.0 - config.mitotic_fraction) * response.rounded,
    )
    factor, field_px = config.binning, (config.height, config.width)
    grid_px = (config.height * factor, config.width * factor)
    population = grow_population(cell_rng, culture, grid_px, _MARGIN_UM, GRID_UM)
    stained = _cytoplasm_image(content_rng, population, config)
    emitted = _nuclear_image(content_rng, population, config)

    recorded = []
    camera = Camera(gain_counts=2.0, offset_counts=100.0, read_noise_electrons=config.read_noise_electrons)
    for light in (stained, emitted):
        lamp = optics.uneven_illumination(lamp_rng, field_px, config.illumination_variation)
        binned = _blocks(light[population.field], factor).mean(axis=-1)
        recorded.append(expose(noise_rng, binned * lamp, camera))
    own, nuclear = (_majority(labels, factor) for labels in (population.cells, population.nuclei))
    cells = keep_largest_parts(own)
    nuclei = keep_largest_parts(np.where(nuclear == cells, nuclear, 0))
    margin = population.margin_px // factor
    field = (slice(margin, -margin), slice(margin, -margin))
    cells, nuclei = field_labels(cells[field], nuclei[field])
    return SimulatedField(np.stack(recorded, axis=-1).astype(np.float32), CHANNELS, cells, nuclei, config.pixel_size_um)


def _blocks(values: np.ndarray, factor: int) -> np.ndarray:
    """(H, W) to (H / factor, W / factor, factor^2): the grid points of every camera pixel."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    blocks = values.reshape(height, factor, width, factor).swapaxes(1, 2)
    return blocks.reshape(height, width, factor * factor)


def _majority(labels: np.ndarray, factor: int) -> np.ndarray:
    """Most frequent label among the grid points of every camera pixel."""
    blocks = _blocks(labels, factor)
    votes = np.stack([np.sum(blocks == blocks[..., i : i + 1], axis=-1) for i in range(blocks.shape[-1])], axis=-1)
    return np.take_along_axis(blocks, votes.argmax(axis=-1)[..., None], axis=-1)[..., 0]


def _cytoplasm_image(rng: np.random.Generator, population: Population, config: CytoplasmFieldConfig) -> np.ndarray:
    """Expected photo-electrons of the cytoplasmic stain on the grid, under even illumination."""
    look, mitotic, shape_px = config.stain.value, population.mitotic, population.shape_px
    n = len(mitotic)
    brightness = per_label(np.where(mitotic, 2.0, 1.0) * rng.lognormal(0.0, 0.4, n))
    slopes_um = per_label(np.where(mitotic, 2.0, rng.lognormal(np.log(3.0), 0.2, n)))
    depth_um = specimen.smooth_depth_um(population.cells, GRID_UM)
    thickness = specimen.dome(population.cells, depth_um, np.ones(n + 1), slopes_um, rim=0.4)

    grains = look.grain_contrast * specimen.texture(rng, shape_px, look.grain_um, GRID_UM)
    clumps = 0.15 * specimen.texture(rng, shape_px, 6.0, GRID_UM)
    # The zero line of a smooth texture is a network of smooth curves.
    network = np.exp(-((specimen.texture(rng, shape_px, 2.0, GRID_UM) / 0.3) ** 2))
    network *= np.maximum(1.0 + 0.5 * specimen.texture(rng, shape_px, 3.0, GRID_UM), 0.0)
    mesh = 1.0 - look.threads + look.threads * network / network.mean()
    nucleus_um = specimen.inside_px(population.nuclei == 0) * GRID_UM
    fading = look.periphery + (1.0 - look.periphery) * np.exp(-((nucleus_um / look.reach_um) ** 2))
    stain = np.maximum(1.0 + grains + clumps, 0.0) * mesh * fading
    chromatin = 1.0 + 0.12 * specimen.texture(rng, shape_px, 2.5, GRID_UM) + clumps
    nuclear = look.nucleus * np.maximum(chromatin, 0.0) + look.nucleoli * np.minimum(population.nucleoli, 1.0)
    emission = brightness[population.cells] * thickness * np.where(population.nuclei > 0, nuclear, stain)
    return config.cytoplasm_electrons * _seen(emission, 0.6, look.haze, config)


def _nuclear_image(rng: np.random.Generator, population: Population, config: CytoplasmFieldConfig) -> np.ndarray:
    """Expected photo-electrons of the nuclear stain on the grid, under even illumination."""
    mitotic, n = population.mitotic, len(population.mitotic)
    brightness = per_label(np.where(mitotic, 1.8, 1.0) * rng.lognormal(0.0, 0.35, n))
    depth_um = specimen.smooth_depth_um(population.nuclei, GRID_UM)
    rise = specimen.dome(population.nuclei, depth_um, brightness, np.full(n + 1, 1.5))
    chromatin = 1.0 + 0.12 * specimen.texture(rng, population.shape_px, 2.5, GRID_UM)
    emission = rise * np.maximum(chromatin - 0.3 * np.minimum(population.nucleoli, 1.0), 0.0)
    return config.nuclear_electrons * _seen(emission + 0.02 * (population.cells > 0), 0.46, 0.12, config)


def _seen(emission: np.ndarray, wavelength_um: float, haze: float, config: CytoplasmFieldConfig) -> np.ndarray:
    light = optics.fluorescence(
        emission, GRID_UM, wavelength_um, config.numerical_aperture, haze=haze, haze_sigma_um=6.0
    )
    return _MEDIUM_FLUORESCENCE + light
