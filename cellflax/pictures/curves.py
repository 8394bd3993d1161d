"""Curves of scores: F-scores with their spread over images, and ROC curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cellflax.metrics.f_score import THRESHOLDS, curve_area, image_shares, share_at_least
from cellflax.metrics.roc import RocCounts
from cellflax.pictures.palette import line_colours

_BOX_THRESHOLDS = np.arange(1, 10) / 10
_BOXES_WIDTH = 0.08  # total of all boxes at one threshold
_DPI = 150


def f_score_figure(references: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw the percentage of cells with F >= t (Sadanandan et al. 2017), one colour per reference.

    On the left all cells together; on the right box plots of the percentage in each image: quartiles, median, and
    whiskers over all images.

    Args:
        references: F-scores of the reference cells, by reference and image.
    """
    figure = Figure(figsize=(11, 4.5), dpi=_DPI)
    figure.set_layout_engine("compressed")
    curves, boxes = figure.subplots(1, 2, sharey=True)
    colours = line_colours(len(references))
    for (name, images), colour in zip(references.items(), colours, strict=True):
        f_score = np.concatenate(list(images.values()))
        label = f"{name}: area {curve_area(f_score):.3f}, {len(f_score)} cells in {len(images)} images"
        curves.plot(THRESHOLDS, 100 * share_at_least(f_score, THRESHOLDS), color=colour, label=label)
    curves.set_ylabel("cells with F-score ≥ t (%)")
    curves.set_title("all cells")
    curves.legend(fontsize="small", loc="lower left")
    _draw_boxes(boxes, references, colours)
    for ax in (curves, boxes):
        ax.set_xlabel("F-score t")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 102)
        ax.grid(alpha=0.3)
    return figure


def _draw_boxes(ax: Axes, references: Mapping[str, Mapping[str, np.ndarray]], colours: list) -> None:
    width = _BOXES_WIDTH / len(references)
    for i, (images, colour) in enumerate(zip(references.values(), colours, strict=True)):
        ax.boxplot(
            100 * image_shares(images, _BOX_THRESHOLDS),
            positions=_BOX_THRESHOLDS + (i + 0.5) * width - _BOXES_WIDTH / 2,
            widths=0.8 * width,
            whis=(0, 100),
            manage_ticks=False,
            boxprops={"color": colour},
            whiskerprops={"color": colour},
            capprops={"color": colour},
            medianprops={"color": colour, "linewidth": 2},
        )
    ax.set_title("over images: median, quartiles, range")


def roc_figure(curves: Mapping[str, RocCounts]) -> Figure:
    """Draw the ROC curves of all pixels by target, with AUC and ACC."""
    figure = Figure(figsize=(5, 4.8), dpi=_DPI)
    figure.set_layout_engine("compressed")
    ax = figure.subplots()
    for (target, counts), colour in zip(curves.items(), line_colours(len(curves)), strict=True):
        points = counts.curve()
        label = f"{target}: AUC {counts.auc:.3f}, ACC {counts.accuracy:.3f}"
        ax.plot(points["false_positive_rate"], points["true_positive_rate"], color=colour, label=label)
    ax.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("true positive rate")
    ax.set_xlim(-0.01, 1)
    ax.set_ylim(0, 1.01)
    ax.set_aspect("equal")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    return figure
