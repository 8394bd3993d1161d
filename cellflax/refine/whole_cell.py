"""Nuclei and whole cells from one cytoplasmic channel and its class probabilities: Al-Kofahi 2018 (P3), steps 2, 3."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cellflax.errors import UserError
from cellflax.refine.base import FieldMaps, RefineConfig
from cellflax.refine.blob_nuclei import blob_nuclei
from cellflax.refine.cell_growth import CellGrowthConfig, grow_cells
from cellflax.refine.classes import ClassMaps
from cellflax.refine.flood import seeds_inside
from cellflax.refine.search_space import KnownCells, shares

# Probability of the nucleus at its outline.
_OUTLINE = 0.5


@dataclass
class WholeCellConfig(CellGrowthConfig, RefineConfig):
    """Settings of P3's refinement, besides those of nuclei and cells.

    Attributes:
        intensity_channel: channel of the image that shows whole cells; null for the first.
        min_nucleus_um2: smallest nucleus; 40 um^2 is a disc 7 um across. Nuclei of a stain may be smaller.
    """

    takes_seeds: ClassVar[bool] = True
    needs_pixel_size: ClassVar[bool] = True
    needs_compartments: ClassVar[bool] = True
    takes_levels: ClassVar[bool] = True

    min_nucleus_um2: float = 40.0
    intensity_channel: str | None = None

    def intensity_plane(self, channels: Sequence[str]) -> int:
        """Index of `intensity_channel`."""
        name = self.intensity_channel
        if name is not None and name not in channels:
            raise UserError(
                f"refine.intensity_channel={name} is not among the channels {', '.join(channels)}; "
                "name one of them, or null for the first"
            )
        return 0 if name is None else list(channels).index(name)

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The nuclei, unless they are given, and the cells; lengths and areas as multiples of the present ones."""
        nuclei: dict[str, list[Any]] = {
            "sensitivity": [20.0, 40.0, 60.0, 80.0, 100.0],
            "split_depth_um": shares(self.split_depth_um, (0.35, 0.5, 0.7, 1, 1.4, 2)),
            "min_response": [0.02, 0.05, 0.1, 0.15, 0.2, 0.3],
            "min_nucleus_um2": shares(self.min_nucleus_um2, (0.25, 0.5, 1, 1.5, 2)),
        }
        return {
            **({} if cells.seeded else nuclei),
            "cell_area_um2": shares(self.cell_area_um2, (0.35, 0.5, 0.7, 1, 1.4, 2)),
            "n_cell_thresholds": [2, 3, 4],
            "smoothing_um": shares(self.smoothing_um, (0.5, 1, 2)),
            "nucleus_margin_um": shares(self.nucleus_margin_um, (0, 0.5, 1, 2)),
        }

    def own_seeds(self, maps: ClassMaps, pixel_size_um: float | None) -> np.ndarray | None:
        """See `whole_cell_nuclei`."""
        return None if maps.nucleus is None else whole_cell_nuclei(self, maps.nucleus, pixel_size_um)

    def label(self, field: FieldMaps) -> np.ndarray:
        """See `refine_by_whole_cell`."""
        assert field.seeds is not None, "needs_compartments: there is a class for nuclei"
        return refine_by_whole_cell(self, field.maps.interior, _checked(field), field.pixel_size_um, field.seeds)


def whole_cell_nuclei(config: WholeCellConfig, nucleus: np.ndarray, pixel_size_um: float | None) -> np.ndarray:
    """Find nuclei in their probability map.

    Args:
        config: the settings.
        nucleus: (H, W) probability.
        pixel_size_um: edge of a pixel.

    Returns:
        (H, W) int32 labels 1...n, each one 4-connected component.

    Raises:
        UserError: if the pixel size is unknown.
    """
    return blob_nuclei(config, nucleus, _known(pixel_size_um), _OUTLINE)


def refine_by_whole_cell(
    config: WholeCellConfig, cell: np.ndarray, intensity: np.ndarray, pixel_size_um: float | None, seeds: np.ndarray
) -> np.ndarray:
    """Grow every nucleus into one cell.

    Args:
        config: the settings.
        cell: (H, W) probability of nucleus or cytoplasm.
        intensity: (H, W) of the channel that shows whole cells.
        pixel_size_um: edge of a pixel.
        seeds: (H, W) integer labels of nuclei, 0 = none, from `whole_cell_nuclei` or elsewhere. Only the largest piece
            of a label counts.

    Returns:
        (H, W) int32 labels 1...n in the order of the nuclei, 0 = background; each cell is one 4-connected component
        that holds its nucleus.

    Raises:
        UserError: if the pixel size is unknown.
    """
    everywhere = np.ones(seeds.shape, bool)  # no nucleus is left out
    return grow_cells(config, seeds_inside(seeds, everywhere, 1.0), intensity, _known(pixel_size_um), cell)


def _checked(field: FieldMaps) -> np.ndarray:
    intensity, needed = field.intensity, field.maps.interior.shape
    if intensity is None or intensity.shape != needed:
        shape = None if intensity is None else intensity.shape
        raise ValueError(f"refine=whole_cell needs intensity_image(...) of {needed}, got {shape}")
    if not np.isfinite(intensity).all():
        raise UserError("the image holds NaN or infinite values; replace them before segmenting")
    return intensity


def _known(pixel_size_um: float | None) -> float:
    if pixel_size_um is None:
        raise UserError(
            "refine=whole_cell measures in micrometres and the pixel size is unknown: add pixel_size_um=... "
            "or save it in the image file"
        )
    return pixel_size_um
