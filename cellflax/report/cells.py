"""Crops of single cells for a report: the best, the middle and the worst of those that are scored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellflax.metrics.overlap import CellAccuracy
from cellflax.pictures.layers import Layers, panel_layers
from cellflax.pictures.overlay import Panel
from cellflax.pictures.palette import BOTH_COLOUR, PREDICTED_COLOUR, REFERENCE_COLOUR
from cellflax.report.model import Gallery, Picture

Window = tuple[slice, slice]

EACH = 6  # crops of the worst, the middle and the best cells
_MARGIN = 0.5  # of the cell's box, on each side
_LEAST_PX, _MOST_PX = 48, 400
_SIDE_PX = 240
_WHOLE_PX = 640
PREDICTED_OUTLINES = ((PREDICTED_COLOUR, "predicted"),)


@dataclass(frozen=True)
class Pick:
    """A reference cell that is shown.

    Attributes:
        place: "worst", "middle" or "best".
        image: name of its image.
        label: its number there.
        jaccard: index with the predicted cell of best overlap.
    """

    place: str
    image: str
    label: int
    jaccard: float


def picked_cells(accuracy: Mapping[str, CellAccuracy], each: int = EACH) -> list[Pick]:
    """The worst, the middle and the best cells of all images, each cell at most once.

    Args:
        accuracy: overlaps of the reference cells, by image.
        each: at most so many of each.
    """
    names = np.array([name for name, a in accuracy.items() for _ in range(a.n_cells)], dtype=object)
    if not len(names):
        return []
    labels = np.concatenate([a.reference_label[a.in_index] for a in accuracy.values()])
    jaccard = np.concatenate([a.jaccard[a.in_index] for a in accuracy.values()])
    # Of equal ones, such as all that were missed, a fixed draw: they are not all of the first image.
    order = np.lexsort((np.random.default_rng(0).permutation(len(jaccard)), jaccard))
    each = min(each, -(-len(order) // 3))
    middle = max((len(order) - each) // 2, 0)
    picks, taken = [], set()
    for place, chosen in (
        ("worst", order[:each]),
        ("middle", order[middle : middle + each]),
        ("best", order[::-1][:each]),
    ):
        for i in chosen.tolist():
            if i not in taken:
                taken.add(i)
                picks.append(Pick(place, str(names[i]), int(labels[i]), float(jaccard[i])))
    return picks


def cell_window(labels: np.ndarray, label: int) -> Window:
    """The surroundings of a cell, at most 400 px wide.

    Args:
        labels: (H, W) labels that hold the cell.
        label: its number.
    """
    rows, columns = np.nonzero(labels == label)
    return window_around(
        (int(rows.min()), int(rows.max()) + 1), (int(columns.min()), int(columns.max()) + 1), labels.shape
    )


def window_around(rows: tuple[int, int], columns: tuple[int, int], shape: tuple[int, ...]) -> Window:
    """A square around a box, moved into the image, with the box in its middle where the image allows it."""
    longest = max(rows[1] - rows[0], columns[1] - columns[0])
    length = min(max(round(longest * (1 + 2 * _MARGIN)), _LEAST_PX), _MOST_PX)
    spans = []
    for (first, last), size in zip((rows, columns), shape, strict=False):
        start = min(max((first + last - length) // 2, 0), max(size - length, 0))
        spans.append(slice(start, min(start + length, size)))
    return spans[0], spans[1]


def crop_panel(
    title: str, window: Window, predicted: np.ndarray, reference: np.ndarray | None, image: np.ndarray | None
) -> Panel:
    """A copy of a small part of an image and its labels, all (H, W)."""
    cut = [None if part is None else part[window].copy() for part in (reference, image)]
    return Panel(title, predicted[window].copy(), *cut)


def scored_panel(pick: Pick, predicted: np.ndarray, reference: np.ndarray, image: np.ndarray | None) -> Panel:
    """The surroundings of a scored cell, with its own outline and those of the predicted cells that overlap it."""
    panel = crop_panel(pick_title(pick), cell_window(reference, pick.label), predicted, reference, image)
    assert panel.reference is not None, "given above"
    own = panel.reference == pick.label
    there = np.isin(panel.predicted, panel.predicted[own & (panel.predicted > 0)])
    return replace(panel, predicted=np.where(there, panel.predicted, 0), reference=np.where(own, panel.reference, 0))


def pick_title(pick: Pick) -> str:
    """What stands below the crop of a scored cell."""
    return f"{pick.jaccard:.2f}  {pick.image}, cell {pick.label}"


def crop_picture(panel: Panel, text: str) -> Picture:
    """A panel as a small picture."""
    return picture_of(panel.title, text, panel_layers(panel, _SIDE_PX))


def whole_picture(panel: Panel, text: str) -> Picture:
    """A panel as a large picture, thinned out where the image is larger still."""
    return picture_of(panel.title, text, panel_layers(panel, _WHOLE_PX))


def picture_of(title: str, text: str, layers: Layers, link: str = "", warns: bool = False) -> Picture:
    """Encoded layers with their words."""
    return Picture(title, text, layers.image, layers.outlines, layers.size, link, warns)


def scored_galleries(crops: Iterable[tuple[Pick, Panel]], reference: str = "reference") -> list[Gallery]:
    """A gallery each for the worst, the middle and the best cells.

    Args:
        crops: the cells and their surroundings.
        reference: what the orange outline is.
    """
    by_place: dict[str, list[Picture]] = {}
    for pick, panel in crops:
        text = (
            f"Cell {pick.label} of {pick.image}, one of the {pick.place}: Jaccard index {pick.jaccard:.2f}. "
            f"Blue: predicted outline, orange: {reference}."
        )
        by_place.setdefault(pick.place, []).append(crop_picture(panel, text))
    return [
        Gallery(f"The {place} cells", tuple(by_place[place]), _NOTES[place], _both(reference))
        for place in ("worst", "middle", "best")
        if place in by_place
    ]


def _both(reference: str) -> tuple[tuple[str, str], ...]:
    """The legend of two kinds of outlines."""
    return (*PREDICTED_OUTLINES, (REFERENCE_COLOUR, reference), (BOTH_COLOUR, "both, at the same place"))


_NOTES = {
    "worst": "The number is the Jaccard index of the cell with the prediction that overlaps it most: 0 where nothing "
    "was found, 1 where both agree in every pixel. Only this cell and its prediction are outlined.",
    "middle": "Around the median Jaccard index.",
    "best": "",
}


def image_gallery(panels: Sequence[Panel], words: str, reference: str = "reference") -> Gallery:
    """Whole images with outlines.

    Args:
        panels: at most a handful.
        words: what they show, for people who do not see them.
        reference: what orange outlines are.
    """
    scored = any(panel.reference is not None for panel in panels)
    pictures = tuple(whole_picture(panel, f"{panel.title}. {words}") for panel in panels)
    legend = _both(reference) if scored else PREDICTED_OUTLINES
    return Gallery("Images", pictures, legend=legend, wide=True)
