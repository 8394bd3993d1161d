"""Sizes, shapes and neighbours of annotated cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import measure, segmentation

from cellflax.data.example import Example
from cellflax.labels import compact
from cellflax.measure.shape import rod_table
from cellflax.planning.spread import Spread

# Two cells touch if at most this many pixels lie between them.
_GAP_PX = 2
# A convex hull takes long; the solidity of this many cells, evenly over all images, is enough for a median.
_MOST_HULLS = 400
# Cells that the image's border cuts off are left out, unless fewer whole ones than this are left.
_FEW_CELLS = 10


@dataclass(frozen=True)
class CellShapes:
    """Annotated cells of all images; lengths are in pixels of the images.

    Attributes:
        count: number of cells, without fragments.
        whole: number of cells that no border of an image cuts off; sizes and shapes are theirs, or those of all cells
            if there are fewer than 10.
        per_image: cells in an image.
        diameter: of a disc of the cell's area.
        diameter_um: the same in micrometres; None if the pixel size of an image with cells is unknown.
        width: of a rod of the cell's area and second moment, which is the diameter for a disc.
        elongation: length of that rod divided by its width, median.
        solidity: share of its convex hull that a cell fills, median.
        smallest_area: 1st, 2.5th and 5th percentile of the areas.
        touching: share of cells with another cell at most 2 pixels away.
        area_share: share of the annotated pixels that are in a cell, over all images.
        least_area_share: the same in the emptiest image that has a cell.
        annotated: share of all pixels that are annotated.
        fragments: number of pieces that are taken for fragments, see `cellflax.data.fragments`.
    """

    count: int
    whole: int
    per_image: Spread
    diameter: Spread
    diameter_um: Spread | None
    width: Spread
    elongation: float
    solidity: float
    smallest_area: tuple[float, float, float]
    touching: float
    area_share: float
    least_area_share: float
    annotated: float
    fragments: int = 0


def measure_cells(examples: Sequence[Example], fragment_px: float = 0.0) -> CellShapes:
    """Measure the cells of images, of which at least one has a cell.

    Args:
        examples: the images.
        fragment_px: pieces with a smaller area in pixels are no cells.
    """
    tables, inner, near, counts, shares, hulls, edges_um = [], [], [], [], [], [], []
    pixels = annotated = inside = fragments = 0
    with_cells = sum(bool(example.annotated_cells.any()) for example in examples)
    for example in examples:
        annotation = compact(example.annotated_cells)[1]
        small = np.bincount(annotation.ravel()) < fragment_px
        fragments += int(small[1:].sum())
        values, cells = compact(np.where(small[annotation], 0, annotation))
        known = cells.size if example.ignored is None else int((example.ignored == 0).sum())
        pixels, annotated, inside = pixels + cells.size, annotated + known, inside + int((cells > 0).sum())
        counts.append(len(values))
        if not len(values):
            continue
        shares.append(float((cells > 0).sum()) / max(known, 1))
        tables.append(rod_table(cells)[["area_px", "length_px", "width_px"]].to_numpy(np.float64))
        at_border = np.unique(np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]]))
        inner.append(~np.isin(np.arange(1, len(values) + 1), at_border))
        near.append(touching_cells(cells))
        edges_um.append(np.full(len(values), example.pixel_size_um or np.nan))
        hulls.append(_solidities(cells, inner[-1], max(_MOST_HULLS // with_cells, 1)))
    area, length, width = np.concatenate(tables).T
    whole = np.concatenate(inner)
    used = whole if whole.sum() >= _FEW_CELLS else np.ones_like(whole)
    small = np.percentile(area[used], (1, 2.5, 5))
    diameter = np.sqrt(4 * area / np.pi)
    diameter_um = diameter * np.concatenate(edges_um)
    return CellShapes(
        count=len(area),
        whole=int(whole.sum()),
        per_image=Spread.of(np.array(counts)),
        diameter=Spread.of(diameter[used]),
        diameter_um=None if np.isnan(diameter_um).any() else Spread.of(diameter_um[used]),
        width=Spread.of(width[used]),
        elongation=float(np.median(length[used] / width[used])),
        solidity=float(np.median(np.concatenate(hulls))),
        smallest_area=(float(small[0]), float(small[1]), float(small[2])),
        touching=float(np.mean(np.concatenate(near))),
        area_share=inside / max(annotated, 1),
        least_area_share=min(shares),
        annotated=annotated / pixels,
        fragments=fragments,
    )


def touching_cells(cells: np.ndarray) -> np.ndarray:
    """Which cells have another one at most 2 pixels away.

    Args:
        cells: (H, W) labels 1...n, 0 = background.

    Returns:
        (n,) bool.
    """
    grown = segmentation.expand_labels(cells, _GAP_PX // 2)
    largest = ndimage.maximum_filter(grown, 3)
    smallest = ndimage.minimum_filter(np.where(grown > 0, grown, np.iinfo(grown.dtype).max), 3)
    beside = (grown > 0) & ((largest != grown) | (smallest != grown))
    found = np.zeros(int(cells.max()) + 1, bool)
    found[grown[beside]] = True
    return found[1:]


def _solidities(cells: np.ndarray, inner: np.ndarray, most: int) -> np.ndarray:
    """Solidity of `most` of the cells 1...n, evenly chosen among the inner ones if there are any."""
    chosen = np.flatnonzero(inner) if inner.any() else np.arange(len(inner))
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(most, len(chosen))).astype(int)]
    regions = measure.regionprops(np.where(np.isin(cells, chosen + 1), cells, 0))
    return np.array([_solidity(region.image) for region in regions])


def _solidity(mask: np.ndarray) -> float:
    """Share of the convex hull; 1 where all pixels are on one line, whose hull has no area."""
    if min(mask.shape) < 3:
        return 1.0
    return float(measure.regionprops(mask.astype(np.uint8))[0].solidity)
