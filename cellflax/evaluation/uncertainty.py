"""Uncertainty of `evaluate`: the cells' own, from the table beside the labels, against their Jaccard index."""

import functools
from collections.abc import Mapping, Sequence

import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.pairs import Pair
from cellflax.io.predictions import cells_of_image, read_cells
from cellflax.metrics.score import CellScores

_KEPT = [results.IMAGE, results.LABEL, results.UNCERTAINTY]


def uncertainty_table(pairs: Sequence[Pair], scores: Mapping[str, CellScores]) -> tuple[pd.DataFrame | None, list[str]]:
    """Jaccard index and uncertainty of every predicted cell, where all of `predicted` come with uncertainties.

    Labels that were corrected by hand, or a table of another program, are no mistake: a note says so.
    """
    tables = []
    read = functools.cache(read_cells)  # most often all images share a table
    for pair in pairs:
        file = pair.predicted.parent / results.CELLS
        if not file.is_file():
            return None, []
        try:
            measured = read(file)
        except UserError as error:
            return None, [f"uncertainty not scored: {error}"]
        if results.UNCERTAINTY not in measured:
            return None, []
        score, image = scores[pair.name], results.input_name(pair.predicted)
        found = pd.DataFrame({results.LABEL: score.predicted_label, "jaccard": score.predicted_jaccard})
        of_image = cells_of_image(measured, image)
        if pair.frame is not None and results.FRAME in of_image:
            of_image = of_image.loc[of_image[results.FRAME] == pair.frame].assign(**{results.IMAGE: pair.name})
        tables.append(of_image.reindex(columns=_KEPT).merge(found, on=results.LABEL))
        if len(tables[-1]) != len(found):
            return None, [f"uncertainty not scored: {file} does not hold the cells of {pair.predicted.name}"]
    return pd.concat(tables, ignore_index=True), []
