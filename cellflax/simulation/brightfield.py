"""Simulated wells of unstained cells in bright field, with the stains of the same cells and exact labels.

The images follow those of Sadanandan et al. 2017: a few bright-field planes 4 um apart, a nuclear and a cytoplasm
stain in the same planes, and several wells that differ in density, cells, focus and staining.
"""

from dataclasses import dataclass, field

import numpy as np

from cellflax.checks import check, within
from cellflax.errors import UserError
from cellflax.simulation import optics, specimen
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.field import SimulatedField, check_image
from cellflax.simulation.optics import BrightFieldOptics
from cellflax.simulation.population import (
    Culture,
    Population,
    field_labels,
    grow_population,
    per_label,
)
from cellflax.simulation.wells import Well, WellConfig, check_well, crowded_well, sparse_well

_MARGIN_UM = 45.0  # distance from which cells and defocused light reach into the field
_MEDIUM_FLUORESCENCE = 0.06  # of the medium and the plate, relative to a stained cell
_OBJECTIVE_NA = 0.4


@dataclass
class BrightfieldConfig:
    """Sites of stained wells and the microscope that images them.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel in the object plane.
        wells: the wells that are imaged.
        well1: settings of the first well, a typical one.
        well2: settings of the second well, crowded, dim and focused behind the cells.
        well3: settings of the third well, sparse, bright and focused in front of the cells.
        planes: number of focal planes in every channel.
        plane_spacing_um: distance between planes; the middle one lies at the well's `focus_um`.
        touching_fraction: share of the cells that settle beside another one.
        mitotic_fraction: share of rounded-up cells.
        index_difference: refractive index of the cytoplasm minus that of the medium.
        illumination_variation: range of the illumination over the field, relative to its mean.
        brightfield_electrons: photo-electrons per background pixel in bright field.
        stain_electrons: photo-electrons per pixel in the middle of the median cell or nucleus.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
    """

    height: int = 512
    width: int = 512
    pixel_size_um: float = 0.65
    wells: list[Well] = field(default_factory=lambda: list(Well))
    well1: WellConfig = field(default_factory=WellConfig)
    well2: WellConfig = field(default_factory=crowded_well)
    well3: WellConfig = field(default_factory=sparse_well)
    planes: int = 3
    plane_spacing_um: float = 4.0
    touching_fraction: float = 0.7
    mitotic_fraction: float = 0.04
    index_difference: float = 0.02
    illumination_variation: float = 0.25
    brightfield_electrons: float = 5000.0
    stain_electrons: float = 600.0
    read_noise_electrons: float = 4.0

    def __post_init__(self) -> None:
        check_image(self, "data.brightfield")
        check(self, "data.brightfield", within(0.1, 2.0), "pixel_size_um")
        check(self, "data.brightfield", within(1, 15), "planes")
        check(self, "data.brightfield", within(0.1, 20), "plane_spacing_um")
        check(self, "data.brightfield", within(0, 1), "touching_fraction", "mitotic_fraction")
        check(self, "data.brightfield", within(0, 0.1), "index_difference")
        check(self, "data.brightfield", within(10, 9000), "brightfield_electrons", "stain_electrons")
        for well in Well:
            check_well(getattr(self, well.name), f"data.brightfield.{well.name}")
        if not self.wells or len(set(self.wells)) < len(self.wells):
            names = [well.name for well in self.wells]
            raise UserError(f"data.brightfield.wells must be one or more different wells, got {names}")

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the planes, in the order of the image's channels: brightfield_z0, ..., cytoplasm_z2."""
        stains = ("brightfield", "nuclear", "cytoplasm")
        return tuple(f"{stain}_z{plane}" for stain in stains for plane in range(self.planes))


def simulate_brightfield_site(config: BrightfieldConfig, well: Well, seed: int) -> SimulatedField:
    """Simulate one site; the same configuration, well and seed give the same site, bit for bit.

    Cells, optics and noise draw from separate random streams, so another exposure or focus shows the same cells.

    Returns:
        The planes of `config.channels`, bright field first, with the labels of cells and nuclei.
    """
    settings: WellConfig = getattr(config, well.name)
    cell_rng, content_rng, lamp_rng, noise_rng = np.random.default_rng((seed, well.value)).spawn(4)
    culture = Culture(
        cells_per_mm2=settings.cells_per_mm2,
        cell_area_um2=settings.cell_area_um2,
        max_aspect=settings.max_aspect,
        touching_fraction=config.touching_fraction,
        mitotic_fraction=config.mitotic_fraction,
    )
    population = grow_population(cell_rng, culture, (config.height, config.width), _MARGIN_UM, config.pixel_size_um)
    depth_um = specimen.smooth_depth_um(population.cells, config.pixel_size_um)
    nuclear_depth_um = specimen.smooth_depth_um(population.nuclei, config.pixel_size_um)
    offsets_um = settings.focus_um + config.plane_spacing_um * (np.arange(config.planes) - 0.5 * (config.planes - 1))
    stacks = (
        _brightfield_stack(content_rng, population, depth_um, nuclear_depth_um, offsets_um, config),
        _nuclear_stack(content_rng, population, nuclear_depth_um, offsets_um, settings, config),
        _cytoplasm_stack(content_rng, population, depth_um, offsets_um, settings, config),
    )
    recorded = []
    for stack, gain_counts in zip(stacks, (3.0, 2.0, 2.0), strict=True):
        lamp = optics.uneven_illumination(lamp_rng, (config.height, config.width), config.illumination_variation)
        camera = Camera(gain_counts, offset_counts=100.0, read_noise_electrons=config.read_noise_electrons)
        recorded += [expose(noise_rng, plane[population.field] * lamp, camera) for plane in stack]
    cells, nuclei = field_labels(population.cells[population.field], population.nuclei[population.field])
    image = np.stack(recorded, axis=-1).astype(np.float32)
    return SimulatedField(image, config.channels, cells, nuclei, config.pixel_size_um)


def _brightfield_stack(
    rng: np.random.Generator,
    population: Population,
    depth_um: np.ndarray,
    nuclear_depth_um: np.ndarray,
    offsets_um: np.ndarray,
    config: BrightfieldConfig,
) -> list[np.ndarray]:
    """Expected photo-electrons of the bright-field planes, under even illumination.

    Cell bodies delay light; granules, which gather around the nucleus, delay it more and also absorb.
    """
    pixel, mitotic, n = config.pixel_size_um, population.mitotic, len(population.mitotic)
    heights_um = np.where(mitotic, 11.0, 3.0) * rng.lognormal(0.0, np.where(mitotic, 0.1, 0.25))
    slopes_um = np.where(mitotic, 4.0, rng.lognormal(np.log(2.5), 0.3, n))
    nuclear_heights_um = np.where(mitotic, 0.5, 1.2) * rng.lognormal(0.0, 0.2, n)
    thickness_um = specimen.dome(
        population.cells, depth_um, per_label(heights_um), per_label(slopes_um), rim=0.45
    ) + specimen.dome(population.nuclei, nuclear_depth_um, per_label(nuclear_heights_um), np.full(n + 1, 1.0))

    nuclear = population.nuclei > 0
    cytoplasm = (population.cells > 0) & ~nuclear
    around_nucleus = cytoplasm & (specimen.inside_px(~nuclear) * pixel < 6.0)
    organelles = specimen.texture(rng, population.shape_px, 1.5, pixel)
    organelles += specimen.texture(rng, population.shape_px, 4.0, pixel)
    granules = specimen.spots(rng, around_nucleus, 0.07, (0.3, 0.6), pixel)
    granules += specimen.spots(rng, cytoplasm, 0.01, (0.3, 0.6), pixel)
    debris = specimen.spots(rng, np.ones(population.shape_px, bool), 6e-5, (0.6, 2.0), pixel)
    contents_um = np.where(nuclear, 0.05, 0.1) * organelles + 0.6 * granules + 0.5 * population.nucleoli
    contents_um = contents_um * np.minimum(thickness_um, 3.0)  # organelles do not grow with a rounded cell

    light = BrightFieldOptics(numerical_aperture=_OBJECTIVE_NA)
    path_um = config.index_difference * (thickness_um + contents_um + 4.0 * debris)
    delay_rad = optics.phase_delay_rad(path_um, light.wavelength_um)
    absorbance = 0.002 * thickness_um + 0.1 * granules + 0.3 * debris
    return [
        config.brightfield_electrons * optics.bright_field(delay_rad, absorbance, offset, pixel, light)
        for offset in offsets_um
    ]


def _nuclear_stack(
    rng: np.random.Generator,
    population: Population,
    nuclear_depth_um: np.ndarray,
    offsets_um: np.ndarray,
    well: WellConfig,
    config: BrightfieldConfig,
) -> list[np.ndarray]:
    """Expected photo-electrons of the nuclear stain, under even illumination."""
    mitotic, n = population.mitotic, len(population.mitotic)
    brightness = per_label(np.where(mitotic, 1.8, 1.0) * rng.lognormal(0.0, 0.35, n))
    rise = specimen.dome(population.nuclei, nuclear_depth_um, brightness, np.full(n + 1, 1.5))
    chromatin = 1.0 + 0.12 * specimen.texture(rng, population.shape_px, 2.5, config.pixel_size_um)
    emission = rise * np.maximum(chromatin - 0.3 * np.minimum(population.nucleoli, 1.0), 0.0)
    return _stain_stack(emission + 0.02 * (population.cells > 0), offsets_um, 0.46, well, config)


def _cytoplasm_stack(
    rng: np.random.Generator,
    population: Population,
    depth_um: np.ndarray,
    offsets_um: np.ndarray,
    well: WellConfig,
    config: BrightfieldConfig,
) -> list[np.ndarray]:
    """Expected photo-electrons of the cytoplasm stain, under even illumination; it fills nuclei as well."""
    mitotic, n, pixel = population.mitotic, len(population.mitotic), config.pixel_size_um
    brightness = per_label(np.where(mitotic, 2.0, 1.0) * rng.lognormal(0.0, 0.3, n))
    rise = specimen.dome(population.cells, depth_um, np.ones(n + 1), np.full(n + 1, 3.0), rim=0.35)
    grains = 0.08 * specimen.texture(rng, population.shape_px, 1.5, pixel)
    grains += 0.12 * specimen.texture(rng, population.shape_px, 6.0, pixel)
    fill = np.where(population.nuclei > 0, 1.2, 1.0) * np.maximum(1.0 + grains, 0.0)
    return _stain_stack(brightness[population.cells] * rise * fill, offsets_um, 0.6, well, config)


def _stain_stack(
    emission: np.ndarray, offsets_um: np.ndarray, wavelength_um: float, well: WellConfig, config: BrightfieldConfig
) -> list[np.ndarray]:
    planes = [
        optics.fluorescence(
            emission,
            config.pixel_size_um,
            wavelength_um,
            _OBJECTIVE_NA,
            haze=0.15,
            haze_sigma_um=8.0,
            defocus_um=offset,
        )
        for offset in offsets_um
    ]
    electrons = config.stain_electrons * well.stain_brightness
    return [electrons * plane + config.stain_electrons * _MEDIUM_FLUORESCENCE for plane in planes]
