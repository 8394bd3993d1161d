"""Annotation as in Sadanandan et al. (2017), Sci Rep 7:7860: nuclei by threshold and watershed, cells around them."""

from dataclasses import dataclass, field

from cellflax.labeling.cells import CellsConfig, label_cells
from cellflax.labeling.illumination import IlluminationConfig, subtract_background
from cellflax.labeling.nuclei import NucleiConfig, label_nuclei
from cellflax.labeling.result import CELL, NUCLEAR, Labels, Stains


@dataclass
class SadanandanConfig:
    """Settings of the method.

    Attributes:
        illumination: correction of every focal plane.
        nuclei: how nuclei are found.
        cells: how cells are found around them.
    """

    illumination: IlluminationConfig = field(default_factory=IlluminationConfig)
    nuclei: NucleiConfig = field(default_factory=NucleiConfig)
    cells: CellsConfig = field(default_factory=CellsConfig)


def annotate_sadanandan(config: SadanandanConfig, stains: Stains, pixel_size_um: float | None = None) -> Labels:
    """Correct the illumination of every plane, average the planes, and segment.

    Args:
        config: the settings.
        stains: (Z, H, W) of the nuclear stain, and of the cell stain where whole cells are sought.
        pixel_size_um: edge of a pixel, if known.
    """
    projections, backgrounds = {}, {}
    for name in stains:
        corrected, backgrounds[name] = subtract_background(stains[name], config.illumination)
        projections[name] = corrected.mean(0)
    nuclei = label_nuclei(projections[NUCLEAR], config.nuclei, pixel_size_um)
    cells = label_cells(projections[CELL], nuclei, config.cells) if CELL in stains else nuclei
    return Labels(nuclei, cells, projections, backgrounds)
