"""Reliability diagrams: of the cells with a probability, how many are right?"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from cellflax.metrics.calibration import Reliability
from cellflax.pictures.palette import line_colours

_DPI = 150
_LARGEST = 160  # points squared, of the marker of the fullest bin


def reliability_figure(scores: Mapping[str, Reliability]) -> Figure:
    """Draw the share of right cells against the mean probability of each bin, and below how many cells a bin has.

    Args:
        scores: by name, one line each.
    """
    figure = Figure(figsize=(5.4, 6.4), dpi=_DPI)
    figure.set_layout_engine("compressed")
    diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 0.1 / max(len(scores), 1)
    for i, ((name, score), colour) in enumerate(zip(scores.items(), line_colours(len(scores)), strict=True)):
        bins = score.bins
        label = (
            f"{name}: {score.n} cells, {score.n_right} right,\nexpected calibration error "
            f"{score.expected_calibration_error:.3f} (by chance {score.error_by_chance:.3f})"
        )
        diagram.plot(bins["mean_probability"], bins["share_right"], color=colour, label=label)
        size = 10 + _LARGEST * bins["n_cells"] / bins["n_cells"].max()
        diagram.scatter(bins["mean_probability"], bins["share_right"], s=size, color=colour, alpha=0.6, linewidth=0)
        counts.bar(bins["low"] + i * width, bins["n_cells"], width, align="edge", color=colour)
    diagram.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    diagram.set_ylabel("share of cells that are right")
    diagram.set_xlim(0, 1)
    diagram.set_ylim(0, 1.02)
    diagram.grid(alpha=0.3)
    diagram.legend(fontsize="x-small", loc="upper left")
    counts.set_xlabel("probability of being right")
    counts.set_ylabel("cells")
    counts.set_yscale("symlog", linthresh=1)
    counts.set_ylim(0, 2 * max((score.bins["n_cells"].max() for score in scores.values()), default=1))
    counts.grid(alpha=0.3)
    return figure
