"""A summary of runs as a picture: scores by setting, and validation loss over steps."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cellflax.pictures.overlay import line_colours
from cellflax.summary.markdown import title
from cellflax.summary.tables import Summary

_MEAN_WIDTH = 0.5  # of a setting's place on the axis


def summary_figure(summary: Summary) -> Figure:
    """Draw one point per run with the mean of each setting, beside the validation losses of all runs.

    The score is the monitored metric at the best checkpoint; Jaccard if the runs monitored different metrics.
    """
    monitors = {run.monitor for run in summary.runs}
    metric = monitors.pop() if len(monitors) == 1 else "jaccard"
    figure = Figure(figsize=(max(10, 5 + 0.7 * len(summary.groups)), 4.5), dpi=150)
    figure.set_layout_engine("compressed")
    figure.suptitle(textwrap.fill(title(summary), 90), color="red" if summary.simulated else "black")
    scores, losses = figure.subplots(1, 2)
    colours = line_colours(len(summary.groups))
    _draw_scores(scores, summary, metric, colours)
    _draw_losses(losses, summary, colours)
    return figure


def _draw_scores(ax: Axes, summary: Summary, metric: str, colours: list) -> None:
    for place, (group, colour) in enumerate(zip(summary.groups, colours, strict=True)):
        values = np.array([run.validation.loc[run.best_step, metric] for run in group.runs])
        # Side by side, so that equal scores are both seen.
        ax.plot(place + _MEAN_WIDTH / 4 * np.linspace(-1, 1, len(values) + 2)[1:-1], values, "o", color=colour)
        ends = [place - _MEAN_WIDTH / 2, place + _MEAN_WIDTH / 2]
        ax.plot(ends, [values.mean()] * 2, color=colour, linewidth=2)
    labels = [textwrap.fill(group.label, 14) for group in summary.groups]
    ax.set_xticks(range(len(labels)), labels, rotation=45 if len(labels) > 6 else 0)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(textwrap.fill(", ".join(summary.keys), 60))
    ax.set_ylabel(f"validation {metric} at the best checkpoint")
    ax.set_title("one point per run, line: mean")
    ax.grid(axis="y", alpha=0.3)


def _draw_losses(ax: Axes, summary: Summary, colours: list) -> None:
    for group, colour in zip(summary.groups, colours, strict=True):
        for i, run in enumerate(group.runs):
            loss = run.validation["loss"]
            label = group.label if i == 0 else None
            ax.plot(loss.index, loss, color=colour, alpha=0.8, linewidth=1, marker=".", markersize=3, label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("validation loss")
    ax.set_title("one line per run")
    ax.grid(alpha=0.3)
    ax.legend(title=textwrap.fill(", ".join(summary.keys), 30), fontsize="small")
