"""Scores over the number of training images."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from cellflax.pictures.palette import line_colours


def learning_figure(table: pd.DataFrame) -> Figure:
    """Draw the scores of trainings with more and more images.

    Args:
        table: columns `images`, `f1` and `jaccard`.
    """
    figure = Figure(figsize=(5, 4), dpi=150, layout="constrained")
    ax = figure.subplots()
    for name, colour in zip(("f1", "jaccard"), line_colours(2), strict=True):
        label = {"f1": "F1 at IoU 0.5", "jaccard": "mean Jaccard index"}[name]
        ax.plot(table["images"], table[name], marker="o", color=colour, label=label)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(table["images"].tolist(), [str(count) for count in table["images"]])
    ax.set_xlabel("training images")
    ax.set_ylabel("held-out score at the best checkpoint")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return figure
