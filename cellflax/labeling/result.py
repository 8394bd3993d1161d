"""The input and output of every method of annotation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# The stains of a site by what they mark, each (Z, H, W); some methods do not need CELL.
NUCLEAR, CELL = "nuclear", "cell"
Stains = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Labels:
    """Annotation of one site.

    Attributes:
        nuclei: (H, W) int32 labels, 0 = background.
        cells: (H, W) int32; each cell has the number of its nucleus. The nuclei themselves if only nuclei are sought.
        projections: (H, W) float32 picture of each stain that was segmented, for review.
        backgrounds: (Z, H, W) float32 background that was subtracted from each stain, if the method does so.
    """

    nuclei: np.ndarray
    cells: np.ndarray
    projections: dict[str, np.ndarray]
    backgrounds: dict[str, np.ndarray] = field(default_factory=dict)
