"""What cytoplasmic stains show, and what treatments do to a culture: presets by name."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class StainLook:
    """What a cytoplasmic stain shows of a cell.

    Attributes:
        nucleus: brightness of the nucleus relative to the cytoplasm around it.
        nucleoli: brightness that nucleoli add.
        grain_um: size of the fine grains.
        grain_contrast: their standard deviation, relative to the mean.
        threads: share of the light that comes from a network of threads.
        reach_um: distance from the nucleus over which the stain fades.
        periphery: brightness far from the nucleus, relative to that beside it.
        haze: share of the light that is out of focus.
    """

    nucleus: float
    nucleoli: float
    grain_um: float
    grain_contrast: float
    threads: float
    reach_um: float
    periphery: float
    haze: float


class CytoplasmStain(Enum):
    """Stains by what they mark."""

    reticulum = StainLook(
        nucleus=0.25,
        nucleoli=0.05,
        grain_um=0.9,
        grain_contrast=0.2,
        threads=0.0,
        reach_um=14.0,
        periphery=0.4,
        haze=0.1,
    )
    rna = StainLook(
        nucleus=0.6,
        nucleoli=0.6,
        grain_um=1.5,
        grain_contrast=0.08,
        threads=0.0,
        reach_um=16.0,
        periphery=0.5,
        haze=0.2,
    )
    mitochondria = StainLook(
        nucleus=0.15,
        nucleoli=0.0,
        grain_um=0.8,
        grain_contrast=0.15,
        threads=0.55,
        reach_um=12.0,
        periphery=0.35,
        haze=0.2,
    )
    whole_cell = StainLook(
        nucleus=0.6,
        nucleoli=0.0,
        grain_um=2.0,
        grain_contrast=0.06,
        threads=0.0,
        reach_um=25.0,
        periphery=0.8,
        haze=0.15,
    )


@dataclass(frozen=True)
class Response:
    """What a treatment does to a culture.

    Attributes:
        density: factor on the number of cells.
        area: factor on the area of a cell.
        aspect: factor on the elongation of the longest cells, within what the simulator can draw.
        rounded: share of the spread cells that round up.
    """

    density: float
    area: float
    aspect: float
    rounded: float


class Treatment(Enum):
    """Changes of density and shape such as drugs cause."""

    control = Response(density=1.0, area=1.0, aspect=1.0, rounded=0.0)
    cytotoxic = Response(density=0.4, area=0.6, aspect=0.7, rounded=0.3)
    spreading = Response(density=0.5, area=2.0, aspect=0.8, rounded=0.0)
    elongating = Response(density=0.8, area=0.9, aspect=1.8, rounded=0.0)
