"""The reliability diagram shows what the scores say."""

import numpy as np

from cellflax.metrics.calibration import reliability
from cellflax.pictures.reliability import reliability_figure


def test_lines_are_the_bins():
    probability = np.array([0.05, 0.55, 0.58, 0.95])
    score = reliability(probability, np.array([False, True, False, True]))
    figure = reliability_figure({"a": score, "b": score})
    diagram, counts = figure.axes
    line = diagram.get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), [0.05, 0.565, 0.95])
    np.testing.assert_allclose(line.get_ydata(), [0, 0.5, 1])
    labels = [text.get_text() for text in diagram.get_legend().get_texts()]
    assert labels[0].startswith("a: 4 cells, 2 right,\nexpected calibration error ")
    assert len(labels) == 2
    heights = sorted(patch.get_height() for patch in counts.patches)
    assert heights == [1, 1, 1, 1, 2, 2]
    assert counts.get_ylim()[1] > 2
