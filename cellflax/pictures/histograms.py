"""Histograms of cells by type: their areas, and the scores that their types were chosen by (P1, Fig 5c)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cellflax.io import results
from cellflax.pictures.palette import bar_colours

_SCORE_BINS = np.linspace(0, 1, 21)


def area_histogram(cells: pd.DataFrame, area: str) -> Figure:
    """Distribution of the area, stacked by cell type.

    Args:
        cells: the column `area`; `cell_type` where the types are known.
        area: name of the column, "area_um2" or "area_px".
    """
    figure = Figure(figsize=(5, 4), dpi=150, layout="constrained")
    ax = figure.subplots()
    groups = dict(list(cells.groupby(results.CELL_TYPE)[area])) if results.CELL_TYPE in cells else {"all": cells[area]}
    labels = [f"{name} ({len(values)} cells)" for name, values in groups.items()]
    if len(cells):
        ax.hist(list(groups.values()), bins=30, stacked=True, color=bar_colours(len(groups)), label=labels)
        ax.legend(frameon=False)
    ax.set_xlabel(f"area [{'µm²' if area == 'area_um2' else 'px'}]")
    ax.set_ylabel("cells")
    return figure


def score_histogram(scores: Mapping[str, Mapping[str, np.ndarray]], panels: Sequence[str]) -> Figure:
    """Histogram of the classification score for each reference type.

    Args:
        scores: by the type that is scored and the reference type, scores of cells, 0 to 1.
        panels: types whose score is drawn.
    """
    figure = Figure(figsize=(5 * len(panels), 4), dpi=150, layout="constrained")
    for ax, scored in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for (name, values), colour in zip(scores[scored].items(), bar_colours(len(scores[scored])), strict=True):
            ax.hist(values, _SCORE_BINS, alpha=0.6, color=colour, label=f"{name} by its marker ({len(values)} cells)")
        ax.set_xlabel(f"classification score for {scored}")
        ax.set_ylabel("cells")
        ax.legend(frameon=False)
    return figure
