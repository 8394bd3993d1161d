"""What the figure of a summary shows."""

from typing import cast

import pandas as pd

from cellflax.pictures.comparison import Comparison, Setting
from cellflax.summary.markdown import title
from cellflax.summary.tables import Summary


def compare(summary: Summary) -> Comparison:
    """Scores and losses by setting.

    The score is the monitored metric at the best checkpoint; Jaccard if the runs monitored different metrics.
    """
    monitors = {run.monitor for run in summary.runs}
    metric = monitors.pop() if len(monitors) == 1 else "jaccard"
    settings = [
        Setting(
            group.label,
            [float(run.validation.loc[run.best_step, metric]) for run in group.runs],
            [cast(pd.Series, run.validation["loss"]) for run in group.runs],
        )
        for group in summary.groups
    ]
    return Comparison(title(summary), summary.simulated, ", ".join(summary.keys), metric, settings)
