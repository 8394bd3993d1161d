"""A sheet of small crops with both outlines, each with a line above it."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cellflax.pictures.overlay import Panel, outline_overlay
from cellflax.pictures.palette import BOTH_COLOUR, PREDICTED_COLOUR, REFERENCE_COLOUR

_COLUMNS = 6
_CROP_PX = 240
_CROP_INCHES = 2.2


def crops_figure(panels: Sequence[Panel]) -> Figure:
    """Draw crops, six in a row, under one legend: the annotation, the network, and where both agree."""
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(columns * _CROP_INCHES + 0.4, rows * (_CROP_INCHES + 0.6) + 0.6), dpi=120)
    figure.set_layout_engine("compressed")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, panel in zip(axes, panels, strict=False):
        ax.imshow(outline_overlay(panel, _CROP_PX))
        ax.set_title(panel.title, fontsize=6)
    names = ((REFERENCE_COLOUR, "annotated"), (PREDICTED_COLOUR, "network"), (BOTH_COLOUR, "both"))
    handles = [Patch(facecolor=colour, edgecolor="black", label=label) for colour, label in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False)
    return figure
