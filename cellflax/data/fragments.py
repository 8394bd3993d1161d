"""Pieces of an annotation that are no cells of their own: far smaller than the others, and without a nucleus.

Outlines that were drawn as lines, or cut from classes of pixels, leave specks between the cells. Of the NIH-3T3 images
of Van Valen et al. 2016, 285 of 687 annotated pieces are such specks. Cells that grow from nuclei are never these, so
that they must not decide how wide cells are and how they are refined.
"""

from collections.abc import Iterable

import numpy as np

from cellflax.labels import compact

_SHARE = 0.1  # a fragment is below this share of the median area of the cells that hold a nucleus
_FEWEST = 5  # with fewer such cells, nothing is known


def largest_fragment_px(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The area in pixels below which a piece without a nucleus is a fragment; 0 with fewer than 5 cells that hold one.

    Args:
        pairs: (H, W) labels of the annotated cells of an image, and its nuclei (not zero inside).
    """
    areas = []
    for cells, nuclei in pairs:
        area, with_nucleus = _areas(cells, nuclei)
        areas.append(area[with_nucleus])
    together = np.concatenate(areas) if areas else np.zeros(0)
    return _SHARE * float(np.median(together)) if len(together) >= _FEWEST else 0.0


def is_fragment(cells: np.ndarray, nuclei: np.ndarray, largest_px: float) -> np.ndarray:
    """Which cells are fragments, (n,) bool by ascending label.

    Args:
        cells: (H, W) labels, 0 = background.
        nuclei: (H, W), not zero inside nuclei.
        largest_px: see `largest_fragment_px`.
    """
    area, with_nucleus = _areas(cells, nuclei)
    return ~with_nucleus & (area < largest_px)


def _areas(cells: np.ndarray, nuclei: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area of every cell in pixels, and whether it holds a pixel of a nucleus."""
    values, numbered = compact(cells)
    area = np.bincount(numbered.ravel(), minlength=len(values) + 1)[1:]
    inside = np.bincount(numbered[nuclei != 0], minlength=len(values) + 1)[1:]
    return area, inside > 0
