"""Reporter ratios as pictures: over time, and by the ring they are measured in (P1, S10 and S11)."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cellflax.io import results
from cellflax.measure.ktr import MIXTURE, RATIO
from cellflax.measure.tracks import times
from cellflax.pictures.palette import BLUE

_LABEL = "nucleus / cytoplasm"


def ratio_figure(cells: pd.DataFrame, methods: list[str]) -> Figure:
    """One panel per method: a line per track with their median, or a histogram where cells are not tracked."""
    figure = Figure(figsize=(3.2 * len(methods) + 1, 3.6), dpi=150, layout="constrained")
    tracked = results.TRACK in cells
    panels = figure.subplots(1, len(methods), squeeze=False)[0]
    for ax, name in zip(panels, methods, strict=True):
        if tracked:
            _draw_courses(ax, cells, _ratio(cells, name))
        else:
            ax.hist(_within(_ratio(cells, name)), bins=30, color=BLUE)
            ax.set_xlabel(_LABEL)
        ax.set_title(name.replace("_", " "))
    panels[0].set_ylabel(_LABEL if tracked else "cells")
    return figure


def _draw_courses(ax: Axes, cells: pd.DataFrame, ratio: np.ndarray) -> None:
    time, label = _time(cells)
    track = cells[results.TRACK].to_numpy()
    for one in np.unique(track):
        ax.plot(time[track == one], ratio[track == one], color=BLUE, alpha=0.35, linewidth=0.7)
    ax.plot(*_median_course(time, ratio), color="black", linewidth=2)
    # A ring that holds nothing but background has ratios without limit; they would flatten all others.
    ax.set_ylim(0, 1.1 * _within(ratio).max(initial=1))
    ax.set_xlabel(label)


def radius_figure(cells: pd.DataFrame, methods: list[str]) -> Figure:
    """Ratio by the width of the ring, median and quartiles, with the mixture's beside it; medians over time."""
    tracked = results.TRACK in cells
    figure = Figure(figsize=(9 if tracked else 5, 4), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2 if tracked else 1, squeeze=False)[0]
    ratios = {name: _ratio(cells, name) for name in methods}
    known = {name.removeprefix("ring_"): ratio[np.isfinite(ratio)] for name, ratio in ratios.items()}
    panels[0].boxplot(list(known.values()), showfliers=False, tick_labels=list(known))
    panels[0].set_xlabel("width of the ring" + (", or mixture" if MIXTURE in ratios else ""))
    panels[0].set_ylabel(_LABEL)
    if tracked:
        time, label = _time(cells)
        for i, (name, ratio) in enumerate(ratios.items()):
            colour = "black" if name == MIXTURE else colormaps["viridis"](i / len(ratios))
            panels[1].plot(*_median_course(time, ratio), color=colour, label=name.replace("_", " "))
        panels[1].set_xlabel(label)
        panels[1].set_ylabel(f"{_LABEL}, median over cells")
        panels[1].legend(frameon=False)
    return figure


def _ratio(cells: pd.DataFrame, method: str) -> np.ndarray:
    return cells[f"{RATIO}_{method}"].to_numpy(np.float64)


def _within(ratio: np.ndarray) -> np.ndarray:
    """Finite values without the outermost two percent at either end."""
    known = np.sort(ratio[np.isfinite(ratio)])
    cut = len(known) // 50
    return known[cut : len(known) - cut]


def _median_course(time: np.ndarray, ratio: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Times, and the median of what was measured at each."""
    time, ratio = time[np.isfinite(ratio)], ratio[np.isfinite(ratio)]
    times = np.unique(time)
    return times, [float(np.median(ratio[time == one])) for one in times]


def _time(cells: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Time of every row, and the label of its axis."""
    return times(cells), "time [h]" if results.TIME_S in cells else "frame"
