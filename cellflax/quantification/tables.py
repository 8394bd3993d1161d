"""Tidy tables as files, and their columns in short."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.io.tables import write_table


def write_with_types(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, and beside it as Parquet, which keeps the types of its columns."""
    write_table(path, table)
    write_table(path.with_suffix(".parquet"), table)


def both(name: str) -> tuple[str, str]:
    """Names of the two files that `write_with_types` writes for a CSV of this name."""
    return name, str(Path(name).with_suffix(".parquet"))


def distribution(values: np.ndarray) -> dict[str, Any]:
    """Number, median and quartiles of the finite values, ready for JSON."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {"n": 0, "median": None, "q25": None, "q75": None}
    q25, median, q75 = np.percentile(values, [25, 50, 75]).tolist()
    return {"n": len(values), "median": median, "q25": q25, "q75": q75}
