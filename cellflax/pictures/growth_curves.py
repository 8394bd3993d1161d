"""Growth as pictures: curves, histograms, and the colony coloured by rate."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cellflax.io import results
from cellflax.measure.tracks import times
from cellflax.pictures.palette import BLUE

_BINS = 30


def growth_figure(cells: pd.DataFrame, tracks: pd.DataFrame, unit: str) -> Figure:
    """Area of every cell over time, and histograms of the growth rates and of the division times."""
    figure = Figure(figsize=(13, 4), dpi=150, layout="constrained")
    curves, rates, cycles = figure.subplots(1, 3)
    time = times(cells)
    area = "area_um2" if "area_um2" in cells else "area_px"
    areas, generation = cells[area].to_numpy(), cells[results.GENERATION].to_numpy()
    _, first = np.unique(cells[results.TRACK].to_numpy(), return_index=True)
    for rows in np.split(np.arange(len(cells)), first[1:]):
        colour = colormaps["viridis"](0.25 + 0.6 * generation[rows[0]] / max(1, generation.max()))
        curves.plot(time[rows], areas[rows], color=colour, linewidth=0.8, marker=".", markersize=2)
    curves.set_yscale("log")
    curves.set_xlabel(f"time [{unit}]")
    curves.set_ylabel(f"area [{'µm²' if area == 'area_um2' else 'px'}]")
    curves.set_title("one line per cell, brighter by generation")
    _histogram(
        rates, cells[f"growth_rate_per_{unit}"].to_numpy(), f"instantaneous growth rate [1/{unit}]", "cells and frames"
    )
    _histogram(cycles, tracks[f"division_time_{unit}"].to_numpy(), f"birth to division [{unit}]", "cells")
    return figure


def _histogram(ax: Axes, values: np.ndarray, label: str, counted: str) -> None:
    known = values[np.isfinite(values)]
    if len(known):
        # Without the outermost percent: a few segmentation errors would squeeze all others into one bar.
        low, middle, high = np.percentile(known, [0.5, 50, 99.5]).tolist()
        ax.hist(known, bins=_BINS, range=(low, high), color=BLUE)
        ax.axvline(middle, color="black", linewidth=1)
        ax.set_title(f"median {middle:.3g}, n = {len(known)}")
    else:
        ax.set_title("none")
    ax.set_xlabel(label)
    ax.set_ylabel(counted)


def rate_map(labels: np.ndarray, rates: pd.Series, unit: str) -> Figure:
    """Cells of one frame, coloured by growth rate.

    Args:
        labels: (H, W) tracks, 0 = background; only the rectangle around them is drawn.
        rates: rate by track; NaN is drawn grey.
        unit: unit of time.
    """
    figure = Figure(figsize=(6, 5), dpi=150, layout="constrained")
    ax = figure.subplots()
    for axis in (0, 1):
        occupied = np.flatnonzero(labels.any(axis=1 - axis))
        labels = labels.take(occupied if len(occupied) == 0 else np.arange(occupied[0], occupied[-1] + 1), axis)
    tracks, place = np.unique(labels, return_inverse=True)
    image = rates.reindex(tracks).to_numpy(np.float64)[place].reshape(labels.shape)
    limits = np.nanpercentile(image, [2, 98]) if np.isfinite(image).any() else (0, 1)
    grey = np.where((labels > 0) & ~np.isfinite(image), 1.0, np.nan)
    ax.imshow(grey, cmap="Greys", vmin=0, vmax=2, interpolation="nearest")
    drawn = ax.imshow(image, cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    figure.colorbar(drawn, label=f"growth rate [1/{unit}]")
    ax.set_title("last frame; grey: seen too briefly")
    ax.set_axis_off()
    return figure
