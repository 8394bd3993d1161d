"""The classes of pixels, made from hand annotations and instance labels, and turned back into instance labels.

P1 is Van Valen et al. 2016, P2 Sadanandan et al. 2017, P3 Al-Kofahi et al. 2018.
"""

from enum import Enum

import numpy as np
from scipy import ndimage
from skimage import morphology

from cellflax.data.example import BACKGROUND, CLASS_NAMES, EDGE, IGNORE, INTERIOR
from cellflax.ignored import UNDRAWN, visible
from cellflax.labels import components, dilated, remove_small, renumber


class Annotation(Enum):
    """Which classes are made from cells: P1's, P2's or P3's; background is always last."""

    boundaries = CLASS_NAMES
    foreground = ("interior", "background")
    compartments = ("nucleus", "cytoplasm", "background")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by index."""
        return self.value

    @property
    def needs_nuclei(self) -> bool:
        """Whether these classes require nucleus labels."""
        return self is Annotation.compartments


def pixel_classes(
    annotation: Annotation,
    cells: np.ndarray,
    nuclei: np.ndarray | None,
    edge_px: int = 2,
    ignored: np.ndarray | None = None,
) -> np.ndarray:
    """Classes of every pixel from instance labels.

    Where only a part is annotated, a pixel has a class only if that class is the same whatever the other part shows.
    Near it, background may be the edge of a cell there, and the rim of a cell the edge to another. Beside an annotated
    cell, a pixel of `ignored.UNDRAWN` is the edge in any case (boundaries) or the gap (foreground).

    Args:
        annotation: which classes.
        cells: (H, W) integer labels, 0 = background.
        nuclei: (H, W) integer labels, 0 = background; needed for compartments only.
        edge_px: width of the edge in pixels, at least 1; see `classes_from_labels`. For foreground, the edge is
            background and lies only where cells touch: without a gap a network of two classes learns to merge them.
            P2's labels came from a watershed, and its networks under-estimate the extent of cells, but its text does
            not say how it separated them.
        ignored: (H, W) codes of what is not annotated, see `ignored.SparseLabels.take_out`; None if everything is.

    Returns:
        (H, W) int8 indices into `annotation.class_names`, -1 where nothing is known.

    Raises:
        ValueError: for compartments without nuclei.
    """
    if ignored is not None:
        return _known_classes(annotation, cells, nuclei, edge_px, ignored)
    if annotation is Annotation.boundaries:
        return classes_from_labels(cells, edge_px)
    if annotation is Annotation.foreground:
        return np.where((cells > 0) & ~_touching(cells, edge_px), 0, 1).astype(np.int8)
    if nuclei is None:
        raise ValueError("compartments need nucleus labels")
    return _compartments(cells, nuclei)


def _known_classes(
    annotation: Annotation, cells: np.ndarray, nuclei: np.ndarray | None, edge_px: int, ignored: np.ndarray
) -> np.ndarray:
    """The classes of `pixel_classes` that do not depend on what is not annotated."""
    cells = visible(cells, ignored)
    nuclei = None if nuclei is None else visible(nuclei, ignored)
    classes = pixel_classes(annotation, cells, nuclei, edge_px)
    unknown = ignored != 0
    known = ~unknown
    if annotation is not Annotation.compartments:
        near = _near(edge_px)
        inside = classes == annotation.class_names.index("interior")
        known &= ~(inside & ndimage.binary_dilation(unknown, near))
        beside = (ignored == UNDRAWN) & ndimage.binary_dilation(cells > 0, near)
        classes[beside] = 0 if annotation is Annotation.boundaries else 1
        known |= beside
    if annotation is Annotation.boundaries:
        known &= ~((classes == BACKGROUND) & dilated(unknown, edge_px))
    return np.where(known, classes, IGNORE).astype(np.int8)


def _compartments(cells: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """P3's classes: 0 nucleus, also where no cell was drawn around it, 1 the rest of a cell, 2 background."""
    return np.select([nuclei > 0, cells > 0], [0, 1], 2).astype(np.int8)


def classes_from_features(edge: np.ndarray, interior: np.ndarray) -> np.ndarray:
    """Classes of P1's hand annotation: strokes dilated by disk(1), without the interiors; the rest is background.

    Args:
        edge: (H, W) edge strokes, non-zero where drawn.
        interior: (H, W) filled cell interiors, non-zero inside.

    Returns:
        (H, W) int8 classes.
    """
    classes = np.full(interior.shape, BACKGROUND, np.int8)
    classes[morphology.dilation(edge != 0, morphology.disk(1))] = EDGE
    classes[interior != 0] = INTERIOR
    return classes


def classes_from_labels(labels: np.ndarray, edge_px: int = 2) -> np.ndarray:
    """Classes of instance labels, with edges where P1's annotators drew them.

    The edge lies around a cell and not on it: it is the background pixels within `edge_px` of a cell. Where cells
    touch, it also takes the pixels of each within ceil(edge_px / 2) of the other. In HeLa_joint, 66 % of the
    edge pixels are 1 px from an interior and 33 % are 2 px from it, which corresponds to `edge_px` = 2.

    Args:
        labels: (H, W) integer labels, 0 = background.
        edge_px: width of the edge in pixels, at least 1.

    Returns:
        (H, W) int8 classes; interiors of different cells never touch, not even at a corner.
    """
    cell = labels > 0
    classes = np.full(labels.shape, BACKGROUND, np.int8)
    classes[dilated(cell, edge_px)] = EDGE
    classes[cell & ~_touching(labels, edge_px)] = INTERIOR
    return classes


def _touching(labels: np.ndarray, edge_px: int) -> np.ndarray:
    """Pixels of a cell within ceil(edge_px / 2) of another; also background pixels as near to a cell."""
    labels = renumber(labels)  # the largest number plus one must exist
    near = _near(edge_px)
    largest = ndimage.maximum_filter(labels, footprint=near)
    smallest = ndimage.minimum_filter(np.where(labels > 0, labels, labels.max() + 1), footprint=near)
    return (largest != labels) | (smallest != labels)


def _near(edge_px: int) -> np.ndarray:
    """Pixels around one at which another cell touches it."""
    reach = (edge_px + 1) // 2
    return np.asarray(morphology.disk(reach)) if reach > 1 else np.ones((3, 3), bool)  # corners count as touching


def cells_from_classes(classes: np.ndarray, min_area_px: int = 0) -> np.ndarray:
    """Instance labels of annotated classes: connected interiors.

    Interiors that meet only at a corner are different cells (connectivity 1): the 172 cells of
    HeLa_joint/set1 would be 101 if corners connected them.

    Args:
        classes: (H, W) classes.
        min_area_px: components smaller than this are specks of the drawing, not cells.

    Returns:
        (H, W) int32 labels 1 ... n, 0 = background.
    """
    return renumber(remove_small(components(classes == INTERIOR), min_area_px))
