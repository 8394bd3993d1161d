"""What `cells.csv` beside predicted labels says of each cell, with what the comparison says of it."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.pairs import Pair
from cellflax.io.predictions import cells_by_image, read_cells
from cellflax.metrics.detection import right_cells
from cellflax.metrics.score import CellScores

_KEYS = [results.IMAGE, results.LABEL]
JACCARD = "jaccard"


def uncertainty_table(pairs: Sequence[Pair], scores: Mapping[str, CellScores]) -> tuple[pd.DataFrame | None, list[str]]:
    """Jaccard index and uncertainty of every predicted cell, where all of `predicted` come with uncertainties.

    Labels that were corrected by hand, or a table of another program, are no mistake: a note says so.
    """
    table, notes = judged_table(pairs, scores, [results.UNCERTAINTY])
    if table is None:
        return None, notes
    return table.reindex(columns=[*_KEYS, results.UNCERTAINTY, JACCARD]), notes


def judged_table(
    pairs: Sequence[Pair], scores: Mapping[str, CellScores], columns: Sequence[str]
) -> tuple[pd.DataFrame | None, list[str]]:
    """Columns of `cells.csv` for every predicted cell, and what is true of the cell.

    Args:
        pairs: the images.
        scores: how each was compared, by its name.
        columns: the wanted columns; each image must have one of them or more.

    Returns:
        One row per predicted cell: `image`, `label`, the columns that all tables have, `jaccard` with the best
        reference cell, and for each of `results.RIGHT` the column `right_<IoU>`: whether the cell has a partner at
        that IoU. None where an image comes without; notes say why, if it is no plain absence.
    """
    tables = []
    read = functools.cache(read_cells)  # most often all images share a table
    rows = functools.cache(lambda file: cells_by_image(read(file)))
    for pair in pairs:
        file = pair.predicted.parent / results.CELLS
        if not file.is_file():
            return None, []
        try:
            measured = read(file)
        except UserError as error:
            return None, [f"{results.UNCERTAINTY} not scored: {error}"]
        here = [name for name in columns if name in measured]
        if not here:
            return None, []
        score, image = scores[pair.name], results.input_name(pair.predicted)
        found = pd.DataFrame({results.LABEL: score.predicted_label, JACCARD: score.predicted_jaccard})
        for iou in results.RIGHT.values():
            found[right_column(iou)] = np.concatenate([right_cells(table, iou) for table in score.tables])
        of_image = rows(file)(image)
        if pair.frame is not None and results.FRAME in of_image:
            of_image = of_image.loc[of_image[results.FRAME] == pair.frame].assign(**{results.IMAGE: pair.name})
        tables.append(of_image.reindex(columns=[*_KEYS, *here]).merge(found, on=results.LABEL))
        if len(tables[-1]) != len(found):
            return None, [f"{columns[0]} not scored: {file} does not hold the cells of {pair.predicted.name}"]
    return pd.concat(tables, ignore_index=True, join="inner"), []


def right_column(iou: float) -> str:
    """Name of the column of `judged_table` that says which cells have a partner at an IoU."""
    return f"right_{iou:g}"
