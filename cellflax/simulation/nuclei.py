"""Simulated fields of nuclei in one fluorescent channel, from sparse to crowded, with exact labels.

Nuclei touch and overlap, and their light adds where they do. Debris and light from above and below the plane are in the
image and not in the labels. Everything is in micrometres: another pixel size shows nuclei of another size in pixels.
"""

from dataclasses import dataclass

import numpy as np

from cellflax.checks import check, within
from cellflax.simulation import optics, shapes, specimen
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.field import SimulatedField, check_image
from cellflax.simulation.packing import keep_largest_parts
from cellflax.simulation.population import field_labels

_MARGIN_UM = 20.0  # distance from which nuclei and haze reach into the field
_WAVELENGTH_UM = 0.46  # of DAPI
_LEAST_PX = 12  # smaller parts of a nucleus, at the border or under others, are not labelled


@dataclass
class NucleiFieldConfig:
    """A field of nuclei and the microscope that images it.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel in the object plane.
        nuclei_per_mm2: density; a field that fills up before reaching it stays full.
        nucleus_area_um2: median area of a nucleus.
        max_aspect: length over width of the longest nuclei; the shortest have 1.0.
        touching_fraction: share of the nuclei that settle beside another one.
        overlap: share of a diameter by which the closest neighbours overlap.
        mitotic_fraction: share of small, bright nuclei.
        debris_per_mm2: density of bright specks that are no nuclei.
        numerical_aperture: numerical aperture of the objective.
        haze: share of the light that is out of focus.
        background: light of the medium, relative to the median nucleus.
        illumination_variation: range of the illumination over the field, relative to its mean.
        nuclear_electrons: photo-electrons per pixel of the median nucleus.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
    """

    height: int = 512
    width: int = 512
    pixel_size_um: float = 0.65
    nuclei_per_mm2: float = 900.0
    nucleus_area_um2: float = 180.0
    max_aspect: float = 1.9
    touching_fraction: float = 0.6
    overlap: float = 0.15
    mitotic_fraction: float = 0.04
    debris_per_mm2: float = 150.0
    numerical_aperture: float = 0.4
    haze: float = 0.15
    background: float = 0.05
    illumination_variation: float = 0.3
    nuclear_electrons: float = 700.0
    read_noise_electrons: float = 4.0

    def __post_init__(self) -> None:
        check_image(self, "nuclei")
        check(self, "nuclei", within(0.1, 4.0), "pixel_size_um")
        check(self, "nuclei", within(1, 20000), "nuclei_per_mm2")
        check(self, "nuclei", within(20, 2000), "nucleus_area_um2")
        check(self, "nuclei", within(1, 5), "max_aspect")
        check(self, "nuclei", within(0, 1), "touching_fraction", "mitotic_fraction", "haze")
        check(self, "nuclei", within(0, 0.5), "overlap")
        check(self, "nuclei", within(0, 10000), "debris_per_mm2")
        check(self, "nuclei", within(0.1, 0.95), "numerical_aperture")
        check(self, "nuclei", within(0, 10), "background")
        check(self, "nuclei", within(10, 9000), "nuclear_electrons")


def simulate_nuclei_field(config: NucleiFieldConfig, seed: int) -> SimulatedField:
    """Simulate one field; the same configuration and seed give the same field, bit for bit.

    Nuclei, contents, lamp and noise draw from separate random streams, so that another exposure shows the same nuclei.
    """
    place_rng, content_rng, lamp_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    pixel, field_px = config.pixel_size_um, (config.height, config.width)
    margin_px = round(_MARGIN_UM / pixel)
    shape_px = (field_px[0] + 2 * margin_px, field_px[1] + 2 * margin_px)
    labels, light = _nuclei(place_rng, config, shape_px, margin_px)
    chromatin = 1.0 + 0.15 * specimen.texture(content_rng, shape_px, 2.0, pixel)
    nucleoli = specimen.spots(content_rng, labels > 0, 0.01, (0.5, 1.2), pixel)
    light *= np.maximum(chromatin - 0.3 * np.minimum(nucleoli, 1.0), 0.1)
    everywhere = np.ones(shape_px, bool)
    light += 1.5 * specimen.spots(content_rng, everywhere, config.debris_per_mm2 * 1e-6, (0.3, 1.0), pixel)
    seen = optics.fluorescence(
        light, pixel, _WAVELENGTH_UM, config.numerical_aperture, haze=config.haze, haze_sigma_um=6.0
    )
    inner = (slice(margin_px, -margin_px),) * 2
    lamp = optics.uneven_illumination(lamp_rng, field_px, config.illumination_variation)
    camera = Camera(gain_counts=2.0, offset_counts=100.0, read_noise_electrons=config.read_noise_electrons)
    electrons = config.nuclear_electrons * (config.background + seen[inner]) * lamp
    image = expose(noise_rng, electrons, camera)[..., None].astype(np.float32)
    cells, nuclei = field_labels(labels[inner], labels[inner])
    small = np.bincount(cells.ravel()) < _LEAST_PX
    cells, nuclei = field_labels(np.where(small[cells], 0, cells), np.where(small[nuclei], 0, nuclei))
    return SimulatedField(image, ("nuclear",), cells, nuclei, pixel)


def _nuclei(
    rng: np.random.Generator, config: NucleiFieldConfig, shape_px: tuple[int, int], margin_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the light of all nuclei; where several overlap, a pixel belongs to the one it is deepest in."""
    pixel = config.pixel_size_um
    extent_um = (shape_px[0] * pixel, shape_px[1] * pixel)
    wanted = max(1, rng.poisson(config.nuclei_per_mm2 * extent_um[0] * extent_um[1] * 1e-6))
    spacing_um = (1.0 - config.overlap) * np.sqrt(4.0 / np.pi * config.nucleus_area_um2)
    centres_um = shapes.settle_cells(rng, wanted, extent_um, margin_px * pixel, spacing_um, config.touching_fraction)
    labels, light, depth = np.zeros(shape_px, np.int32), np.zeros(shape_px), np.zeros(shape_px)
    for index, centre_um in enumerate(centres_um):
        mitotic = rng.random() < config.mitotic_fraction
        area_um2 = config.nucleus_area_um2 * rng.lognormal(0.0, 0.3) * (0.5 if mitotic else 1.0)
        outline = shapes.nucleus_outline(rng, area_um2, aspect=rng.uniform(1.0, config.max_aspect))
        brightness = rng.lognormal(0.0, 0.4) * (2.0 if mitotic else 1.0)
        window, inside_um = outline.depth_um(centre_um / pixel, shape_px, pixel)
        rise = 1.0 - 0.7 * np.exp(-((inside_um / 2.0) ** 2))
        light[window] += brightness * np.where(inside_um > 0, rise, 0.0)
        won = inside_um > depth[window]
        labels[window][won], depth[window][won] = index + 1, inside_um[won]
    return keep_largest_parts(labels), light
