"""Curves of scores: what is drawn for which cells and images."""

import numpy as np
import pytest

from cellflax.pictures.curves import f_score_figure


def test_figure_shows_all_cells_and_the_spread_over_images():
    manual = {"a": np.array([0.9, 0.9]), "b": np.array([0.9, 0.2, 0.2, 0.2]), "empty": np.zeros(0)}
    curves, boxes = f_score_figure({"reference": {"a": np.array([0.5])}, "manual": manual}).axes
    legend = curves.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "reference: area 0.500, 1 cells in 1 images",
        "manual: area 0.550, 6 cells in 3 images",
    ]
    assert np.asarray(curves.lines[1].get_ydata())[[0, 50, 100]] == pytest.approx([100, 50, 0])
    medians = [np.asarray(line.get_ydata())[0] for line in boxes.lines if line.get_linewidth() == 2]
    assert medians == pytest.approx([100] * 5 + [0] * 4 + [100] * 2 + [(100 + 25) / 2] * 7)
