"""Distances within cells: to the cell's centre and to its outline, each divided by the cell's largest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.ignored import PAINTED, visible
from cellflax.labels import compact
from cellflax.targets.base import TargetConfig
from cellflax.targets.outputs import Outputs

CENTRE, BOUNDARY = "centre_distance", "boundary_distance"
# Names of the maps, in the order of the planes.
DISTANCES = (CENTRE, BOUNDARY)

# The centre is sought among the pixels that are this deep in the cell, as a share of its deepest.
_DEEP = 0.9
# Classes that `DistancesTarget` does not lose: it has the same cells, and makes no edge of its own.
_REPLACED = {"edge", "interior", "background"}


@dataclass
class ClassesDistancesTarget(TargetConfig):
    """The classes of the data (data.annotation), and two maps of distances; see `distance_maps`.

    The cost of the maps is the mean absolute error over the pixels of cells, plus a share of that over all other
    pixels; it is added to that of the classes (group loss).

    Attributes:
        weight: factor of the maps' cost.
        outside: share of the error outside of cells, where the maps say 0 for the outline and 1 for the centre.
    """

    map_names: ClassVar[tuple[str, ...]] = DISTANCES

    weight: float = 1.0
    outside: float = 0.1

    def __post_init__(self):
        check(self, "target", above(0), "weight")
        check(self, "target", at_least(0), "outside")

    def maps(self, cells: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
        """See `distance_maps`."""
        return distance_maps(cells, ignored)


@dataclass
class DistancesTarget(ClassesDistancesTarget):
    """Two classes, interior (the whole cell up to its outline, also where cells touch) and background, and the maps."""

    own_classes: ClassVar[tuple[str, ...] | None] = ("interior", "background")

    def outputs(self, class_names: Sequence[str]) -> Outputs:
        """See `TargetConfig.outputs`."""
        lost = [name for name in class_names if name not in _REPLACED]
        if lost:
            raise UserError(
                f"target=distances knows no class but interior and background, and the data have {', '.join(lost)}; "
                "take target=classes_distances"
            )
        return super().outputs(class_names)


def distance_maps(cells: np.ndarray, ignored: np.ndarray | None = None) -> np.ndarray:
    """Where every pixel lies in its cell, in 0 ... 1.

    Plane 0 is the Euclidean distance to the cell's centre, divided by the cell's largest: 0 at the centre, 1 at the
    farthest pixel and outside of cells. Plane 1 is the distance to the nearest pixel that is not of this cell, divided
    by the cell's largest: near 0 at the outline, 1 in the deepest place, 0 outside.

    The centre is a deep pixel of the cell, so that both maps have their extreme in one place, which is inside a bent
    cell, too (the centroid of a crescent is not). A rod is equally deep all along its axis; of the pixels that are at
    least 0.9 as deep as the deepest, the centre is the nearest to the centroid.

    The image's border is no outline. Networks see the image mirrored there, and a cell that the border cuts as one with
    its mirror image: the distance to the outline is that within both, and the centre may lie on the border.

    Nothing is known (NaN) where nothing is annotated, in a cell that touches what somebody painted as not annotated
    (it may continue there), and in a cell without any outline in the image.

    Args:
        cells: (H, W) integer labels, 0 = background.
        ignored: (H, W) codes of what is not annotated, see `cellflax.ignored`; None if everything is.

    Returns:
        (H, W, 2) float32, planes as `DISTANCES`.
    """
    labels = compact(visible(cells, ignored))[1]
    maps = np.zeros((*labels.shape, 2), np.float32)
    maps[..., 0] = 1
    if ignored is None:
        cut = np.zeros(labels.shape, bool)
    else:
        maps[ignored != 0] = np.nan
        cut = np.asarray(ndimage.binary_dilation(ignored == PAINTED, np.ones((3, 3), bool)))
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        # With one pixel around it, so that the nearest pixel of another kind is in the window.
        window = tuple(slice(max(span.start - 1, 0), span.stop + 1) for span in box)
        cell = labels[window] == label
        if cell.all() or cut[window][cell].any():
            maps[window][cell] = np.nan
        else:
            maps[window][cell] = _within(cell)
    return maps


def _within(cell: np.ndarray) -> np.ndarray:
    """The two distances of the pixels of one cell, (n, 2) for an (h, w) mask with n pixels."""
    depth = np.asarray(ndimage.distance_transform_edt(cell))[cell]
    at = np.argwhere(cell)
    deep = at[depth >= _DEEP * depth.max()]
    centre = deep[np.argmin(np.square(deep - at.mean(axis=0)).sum(axis=1))]
    away = np.hypot(*(at - centre).T)
    return np.stack([away / max(away.max(), 1), depth / depth.max()], axis=1)
