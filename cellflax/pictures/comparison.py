"""Settings of many runs compared: their scores side by side, and the validation loss over steps."""

import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cellflax.pictures.palette import line_colours

_MEAN_WIDTH = 0.5  # as a share of a setting's place on the axis


@dataclass(frozen=True)
class Setting:
    """Runs of one setting.

    Attributes:
        label: the setting in a few words.
        scores: of each run.
        losses: validation loss of each run by step.
    """

    label: str
    scores: list[float]
    losses: list[pd.Series]


@dataclass(frozen=True)
class Comparison:
    """What a figure of several settings shows.

    Attributes:
        title: printed above it.
        warning: whether the title is a warning and red.
        keys: names of what differs between the settings.
        metric: name of the scores.
        settings: from left to right.
    """

    title: str
    warning: bool
    keys: str
    metric: str
    settings: list[Setting]


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw one point per run with the mean of each setting, beside the validation losses of all runs."""
    settings = comparison.settings
    figure = Figure(figsize=(max(10, 5 + 0.7 * len(settings)), 4.5), dpi=150)
    figure.set_layout_engine("compressed")
    figure.suptitle(textwrap.fill(comparison.title, 90), color="red" if comparison.warning else "black")
    scores, losses = figure.subplots(1, 2)
    colours = line_colours(len(settings))
    _draw_scores(scores, comparison, colours)
    _draw_losses(losses, comparison, colours)
    return figure


def _draw_scores(ax: Axes, comparison: Comparison, colours: list) -> None:
    for place, (setting, colour) in enumerate(zip(comparison.settings, colours, strict=True)):
        # Side by side, so that equal scores are both seen.
        at = place + _MEAN_WIDTH / 4 * np.linspace(-1, 1, len(setting.scores) + 2)[1:-1]
        ax.plot(at, setting.scores, "o", color=colour)
        ends = [place - _MEAN_WIDTH / 2, place + _MEAN_WIDTH / 2]
        ax.plot(ends, [np.mean(setting.scores)] * 2, color=colour, linewidth=2)
    labels = [textwrap.fill(setting.label, 14) for setting in comparison.settings]
    ax.set_xticks(range(len(labels)), labels, rotation=45 if len(labels) > 6 else 0)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(textwrap.fill(comparison.keys, 60))
    ax.set_ylabel(f"validation {comparison.metric} at the best checkpoint")
    ax.set_title("one point per run, line: mean")
    ax.grid(axis="y", alpha=0.3)


def _draw_losses(ax: Axes, comparison: Comparison, colours: list) -> None:
    for setting, colour in zip(comparison.settings, colours, strict=True):
        for i, loss in enumerate(setting.losses):
            label = setting.label if i == 0 else None
            ax.plot(loss.index, loss, color=colour, alpha=0.8, linewidth=1, marker=".", markersize=3, label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("validation loss")
    ax.set_title("one line per run")
    ax.grid(alpha=0.3)
    ax.legend(title=textwrap.fill(comparison.keys, 30), fontsize="small")
