"""Histograms by type: bars hold the cells that they should, in colours that differ."""

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from cellflax.pictures.histograms import area_histogram, score_histogram
from cellflax.pictures.palette import bar_colours, line_colours


def heights(bars) -> list[float]:
    return [bar.get_height() for bar in bars if isinstance(bar, Rectangle)]


def test_areas_are_stacked_by_type():
    cells = pd.DataFrame({"area_um2": [1.0, 1.0, 31.0], "cell_type": ["a", "b", "b"]})
    (ax,) = area_histogram(cells, "area_um2").axes
    first, second = (heights(bars) for bars in ax.containers)
    assert (first[0], sum(first)) == (1, 1)
    assert (second[0], second[-1], sum(second)) == (1, 1, 2)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a (1 cells)", "b (2 cells)"]
    assert ax.get_xlabel() == "area [µm²]"


def test_no_cells_have_an_empty_histogram():
    (ax,) = area_histogram(pd.DataFrame({"area_px": np.zeros(0)}), "area_px").axes
    assert not ax.containers
    assert ax.get_xlabel() == "area [px]"


def test_scores_are_drawn_by_reference_type():
    scores = {"a": {"a": np.array([0.97, 0.98, 0.01]), "b": np.array([0.01])}, "b": {}}
    (ax,) = score_histogram(scores, ["a"]).axes
    of_a, of_b = (heights(bars) for bars in ax.containers)
    assert (of_a[0], of_a[-1], sum(of_a)) == (1, 2, 3)
    assert (of_b[0], sum(of_b)) == (1, 1)
    assert ax.get_xlabel() == "classification score for a"


def test_colours_of_lines_never_repeat_and_those_of_bars_do_after_four():
    for count in (1, 7, 8, 30):
        assert len({tuple(colour) for colour in line_colours(count)}) == count
    assert len(set(bar_colours(4))) == 4
    assert bar_colours(5)[4] == bar_colours(1)[0]
