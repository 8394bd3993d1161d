"""Where lines and ticks of a chart lie, against hand calculation."""

import numpy as np
import pytest

from cellflax.report import charts
from cellflax.report.charts import drawn, number_words, ticks
from cellflax.report.model import Chart, PlotLine, View


def _chart(*lines: PlotLine, y_range=None) -> Chart:
    return Chart("title", "text", "y", (View("", "x", lines),), y_range)


def test_corners():
    (view,) = drawn(_chart(PlotLine("a", [0, 10, 5], [0, 1, 0.5]), y_range=(0, 1)))
    left, right = charts.LEFT, charts.WIDTH - charts.RIGHT
    bottom, top = charts.HEIGHT - charts.BOTTOM, charts.TOP
    middle = f"{(left + right) / 2:g},{(bottom + top) / 2:g}"
    assert view.lines[0].points == f"{left},{bottom} {right},{top} {middle}"
    assert view.lines[0].marks[1] == (right, top, "a: 1 at x 10")
    assert [word for _, word in view.x_ticks] == ["0", "2", "4", "6", "8", "10"]


def test_what_is_not_finite_is_left_out():
    assert drawn(_chart(PlotLine("a", [0, 1], [np.nan, np.inf]))) == ()
    (view,) = drawn(_chart(PlotLine("a", [0, 1, 2], [1, np.nan, 3]), PlotLine("b", [], [])))
    assert [len(line.points.split()) for line in view.lines] == [2]


def test_long_lines_are_thinned_and_keep_their_ends():
    (view,) = drawn(_chart(PlotLine("a", np.arange(100_000), np.arange(100_000)), y_range=(0, 99_999)))
    points = view.lines[0].points.split()
    assert len(points) == 300
    assert points[0].startswith(f"{charts.LEFT},")
    assert points[-1].endswith(f",{charts.TOP}")
    assert view.lines[0].marks == ()


def test_one_value_has_room():
    (view,) = drawn(_chart(PlotLine("a", [3], [0.0])))
    x, y = map(float, view.lines[0].points.split(","))
    assert charts.LEFT < x < charts.WIDTH
    assert charts.TOP < y < charts.HEIGHT


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 0.29, [0.15, 0.2, 0.25]),
        (-5, 5, [-4, -2, 0, 2, 4]),
        (0, 12_345, [0, 5000, 10_000]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_numbers():
    assert [number_words(v) for v in (12345.0, 0.123456, -2.5, 1e-5)] == ["12345", "0.1235", "−2.5", "1e−05"]
