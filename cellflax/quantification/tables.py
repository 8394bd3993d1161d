"""Columns of tidy tables in short."""

from typing import Any

import numpy as np


def distribution(values: np.ndarray) -> dict[str, Any]:
    """Number, median and quartiles of the finite values, ready for JSON."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {"n": 0, "median": None, "q25": None, "q75": None}
    q25, median, q75 = np.percentile(values, [25, 50, 75]).tolist()
    return {"n": len(values), "median": median, "q25": q25, "q75": q75}
