"""Pictures of results, drawn without a display."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from skimage.segmentation import find_boundaries

from cellflax.pictures.palette import BOTH_COLOUR, PREDICTED_COLOUR, REFERENCE_COLOUR
from cellflax.pictures.png import save_png

# Of predicted outlines, of reference outlines, and where they coincide.
OUTLINE_COLOURS = (PREDICTED_COLOUR, REFERENCE_COLOUR, BOTH_COLOUR)
_PANEL_PX = 800  # longer side of a panel
_DPI = 100


@dataclass(frozen=True)
class Panel:
    """One picture of an overlay.

    Attributes:
        title: printed above it.
        predicted: (H, W) integer labels.
        reference: (H, W) integer labels, or None where there is no truth.
        image: (H, W) intensities for the background; without it the reference cells are drawn in grey.
    """

    title: str
    predicted: np.ndarray
    reference: np.ndarray | None = None
    image: np.ndarray | None = None


def stretch(image: np.ndarray) -> np.ndarray:
    """Scale an (H, W) image to [0, 1] between its percentiles 0.5 and 99.5."""
    low, high = np.percentile(image, (0.5, 99.5))
    scale = high - low if high > low else 1.0
    return np.clip((image.astype(np.float32) - low) / scale, 0, 1)


def outline_overlay(panel: Panel, side_px: int = _PANEL_PX) -> np.ndarray:
    """Draw a panel as (H', W', 3) float32 in [0, 1].

    Small images are enlarged and large ones thinned out by a whole factor. Reference outlines are orange,
    predicted ones blue; they are white where they coincide.

    Args:
        panel: what to draw.
        side_px: its longer side will be this to twice this.
    """
    zoom, step = scale_of(panel, side_px)
    grey = background(panel)[::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1)
    picture = np.repeat(grey[..., None].astype(np.float32), 3, axis=-1)
    outlines = outlines_of(panel, side_px)
    for number, colour in enumerate(OUTLINE_COLOURS, start=1):
        picture[outlines == number] = to_rgb(colour)
    return picture


def background(panel: Panel) -> np.ndarray:
    """What the outlines of a panel are drawn on, (H, W) in [0, 1]."""
    cells = panel.predicted if panel.reference is None else panel.reference
    return 0.25 * (cells > 0) if panel.image is None else stretch(panel.image)


def outlines_of(panel: Panel, side_px: int, thick: bool = False) -> np.ndarray:
    """The outlines of a panel, (H', W') uint8: 0 without, else the place in `OUTLINE_COLOURS`, from 1.

    Args:
        panel: what to draw.
        side_px: as for `outline_overlay`.
        thick: whether outlines are two pixels wide whatever the size.
    """
    zoom, step = scale_of(panel, side_px)
    side = max(panel.predicted.shape)
    mode = "inner" if side * zoom == side_px and not thick else "thick"  # two pixels survive the reduction to a panel

    def boundaries(labels: np.ndarray) -> np.ndarray:
        return find_boundaries(labels[::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1), mode=mode)

    found = boundaries(panel.predicted).astype(np.uint8)
    if panel.reference is not None:
        reference = boundaries(panel.reference)
        found[reference] += 2  # 2, and 3 on a predicted one
    return found


def scale_of(panel: Panel, side_px: int) -> tuple[int, int]:
    """Factors by which a panel is enlarged and thinned out."""
    side = max(panel.predicted.shape)
    return math.ceil(side_px / side), math.ceil(side / (2 * side_px))


def overlay_figure(panels: Sequence[Panel]) -> Figure:
    """Draw panels, up to three in a row, under one legend."""
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    inches = _PANEL_PX / _DPI
    aspect = max(panel.predicted.shape[0] / panel.predicted.shape[1] for panel in panels)
    figure = Figure(figsize=(columns * inches, rows * (inches * min(aspect, 2) + 0.4) + 0.4), dpi=_DPI)
    figure.set_layout_engine("compressed")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, panel in zip(axes, panels, strict=False):
        ax.imshow(outline_overlay(panel))
        ax.set_title(panel.title)
    entries = [(PREDICTED_COLOUR, "prediction")]
    if any(panel.reference is not None for panel in panels):
        entries = [(REFERENCE_COLOUR, "reference"), *entries, (BOTH_COLOUR, "both")]
    figure.legend(
        handles=[Patch(facecolor=colour, edgecolor="black", label=label) for colour, label in entries],
        loc="outside lower center",
        ncols=len(entries),
        frameon=False,
    )
    return figure


def save_overlay(path: Path, panels: Sequence[Panel]) -> None:
    """Write `overlay_figure` as a PNG."""
    save_png(overlay_figure(panels), path, trim=True)
