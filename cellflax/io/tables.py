"""Tables as files."""

from pathlib import Path

import pandas as pd

from cellflax.atomic import replacing


def write_table(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table without its index, as Parquet if the path ends in `.parquet`, else as CSV.

    A reader sees the old file or the new, never a part.

    Args:
        path: the file.
        table: its rows.
        float_format: format of numbers in CSV, such as "%.6g"; None writes all their digits.
    """
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, float_format=float_format)
