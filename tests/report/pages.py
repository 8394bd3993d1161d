"""A report with names that would run code, were they not escaped."""

import numpy as np
import pandas as pd

from cellflax.pictures.overlay import Panel
from cellflax.report.cells import crop_picture
from cellflax.report.model import Chart, Fact, Gallery, Notice, PlotLine, Report, Table, View, Weight

NASTY = "<img src=x onerror=alert(1)>.tif"
QUOTED = '"><script>alert(2)</script>'


def nasty_report(**changes) -> Report:
    """Each text of it is a nasty name."""
    labels = np.zeros((20, 30), int)
    labels[5:12, 5:12] = 1
    picture = crop_picture(Panel(NASTY, labels, labels, np.random.default_rng(0).random((20, 30))), QUOTED)
    frame = pd.DataFrame(
        {
            "name": [NASTY, "b, c", '=HYPERLINK("x")'],
            "value": [10.0, 9.123456789, float("nan")],
            "count": [2, 10, 1],
            "right": [True, False, True],
        }
    )
    views = tuple(View(name, NASTY, (PlotLine(QUOTED, [0, 1, 2], [3.0, 1.0, 2.0]),)) for name in ("by step", NASTY))
    parts = {
        "command": "predict",
        "title": NASTY,
        "subtitle": QUOTED,
        "notices": (Notice(NASTY, Weight.simulated), Notice(QUOTED)),
        "headline": ((NASTY, QUOTED),),
        "galleries": (Gallery(NASTY, (picture, picture), QUOTED, (("#123456", NASTY),)),),
        "curves": (Chart(NASTY, QUOTED, NASTY, views),),
        "tables": (Table.of(NASTY, frame, "cells.csv", QUOTED),),
        "facts": (Fact(NASTY, QUOTED), Fact("command", NASTY, is_code=True)),
    }
    return Report(**{**parts, **changes})
