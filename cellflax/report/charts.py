"""Where the lines, ticks and labels of a chart lie; the template draws them."""

import math
from dataclasses import dataclass

import numpy as np

from cellflax.report.model import Chart, PlotLine, View

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 44
COLOURS = 6  # of the style, `--c0` to `--c5`; each has a pattern of dashes of its own
_MOST_POINTS = 300  # of a line
_MOST_MARKED = 40  # points that have a mark with their value
_TICKS = 5


@dataclass(frozen=True)
class DrawnLine:
    """A line in the coordinates of the drawing.

    Attributes:
        label: its name.
        style: number of its colour and dashes.
        points: as SVG writes them.
        marks: places and words of its points, where they are few.
        listed: whether it is in the legend.
    """

    label: str
    style: int
    points: str
    marks: tuple[tuple[float, float, str], ...]
    listed: bool


@dataclass(frozen=True)
class DrawnView:
    """A view in the coordinates of the drawing.

    Attributes:
        name: on its button.
        x_label: of the horizontal axis.
        lines: the lines.
        x_ticks: places and words along the horizontal axis.
        y_ticks: places and words along the vertical axis.
    """

    name: str
    x_label: str
    lines: tuple[DrawnLine, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def drawn(chart: Chart) -> tuple[DrawnView, ...]:
    """The views of a chart that have anything to show."""
    return tuple(found for view in chart.views if (found := _drawn(view, chart.y_range)) is not None)


def _drawn(view: View, y_range: tuple[float, float] | None) -> DrawnView | None:
    lines = [
        (line, i if line.style is None else line.style, *points)
        for i, line in enumerate(view.lines)
        if len((points := _finite(line))[0])
    ]
    if not lines:
        return None
    x_low, x_high = _ends(np.concatenate([x for _, _, x, _ in lines]))
    y_low, y_high = y_range or _padded(*_ends(np.concatenate([y for *_, y in lines])))

    def across(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def up(y: float) -> float:
        return round(HEIGHT - BOTTOM - (min(max(y, y_low), y_high) - y_low) / (y_high - y_low) * _inner_height(), 1)

    placed = []
    for line, number, x, y in lines:
        places = [(across(a), up(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        marks = [
            (*place, f"{line.label}: {number_words(b)} at {view.x_label} {number_words(a)}".removeprefix(": "))
            for place, a, b in zip(places, x.tolist(), y.tolist(), strict=True)
        ]
        points = " ".join(f"{a:g},{b:g}" for a, b in places)
        few = len(places) <= _MOST_MARKED
        placed.append(DrawnLine(line.label, number % COLOURS, points, tuple(marks) if few else (), line.listed))
    return DrawnView(
        view.name,
        view.x_label,
        tuple(placed),
        tuple((across(x), number_words(x)) for x in ticks(x_low, x_high)),
        tuple((up(y), number_words(y)) for y in ticks(y_low, y_high)),
    )


def _inner_height() -> int:
    return HEIGHT - TOP - BOTTOM


def _finite(line: PlotLine) -> tuple[np.ndarray, np.ndarray]:
    """At most 300 of a line's points, spread over it."""
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) > _MOST_POINTS:
        chosen = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int))
        x, y = x[chosen], y[chosen]
    return x, y


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if low == high:
        pad = abs(low) * 0.1 or 1.0
        return low - pad, high + pad
    return low, high


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.04 * (high - low)
    return (0.0 if 0 <= low < pad else low - pad), high + pad


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two ends: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number_words(value: float) -> str:
    """A number in at most four digits; a minus sign as it is printed."""
    text = f"{value:.0f}" if abs(value) >= 1000 and float(value).is_integer() else f"{value:.4g}"
    return text.replace("-", "−")
