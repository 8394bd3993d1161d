"""Colours of all pictures: Okabe and Ito's palette, distinct to people with any kind of colour vision."""

import itertools

import numpy as np
from matplotlib import colormaps

BLUE = "#0072B2"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
BLACK = "#000000"
WHITE = "#FFFFFF"
# The palette's yellow is left out: it is faint on white.

REFERENCE_COLOUR = ORANGE
PREDICTED_COLOUR = SKY_BLUE
BOTH_COLOUR = WHITE

_LINES = (BLUE, ORANGE, GREEN, PURPLE, SKY_BLUE, VERMILION, BLACK)
_BARS = (BLUE, VERMILION, GREEN, PURPLE)  # the darker ones, for areas


def line_colours(count: int) -> list:
    """Colours for `count` lines of a diagram, from a ramp if the palette has too few."""
    if count <= len(_LINES):
        return list(_LINES[:count])
    return list(colormaps["viridis"](np.linspace(0, 0.95, count)))


def bar_colours(count: int) -> list[str]:
    """Colours for `count` histograms in one diagram; after four they repeat."""
    return list(itertools.islice(itertools.cycle(_BARS), count))
