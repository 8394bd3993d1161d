"""One-to-one correspondence of cells, and the F-score curves of Sadanandan et al. 2017 (Sci Rep 7:7860)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cellflax.labels import OverlapTable

THRESHOLDS = np.arange(101) / 100
_QUARTILES = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")


def corresponding_cells(table: OverlapTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair overlapping reference and predicted cells one to one, the pair of largest F-score first.

    The F-score of two cells is that of their pixels, 2 |r ∩ p| / (|r| + |p|), also called Dice. The papers that
    count such pairs (Sadanandan et al. 2017; Al-Kofahi et al. 2018) do not say how they choose them. Here a
    prediction that covers two cells is paired with only one of them. As the best match of both it would give two
    cells of equal size F = 2/3 each. Every pair with Jaccard index above 0.5 (F above 2/3) is among the pairs, so the
    share of cells above that value is the recall of `detection`.

    Returns:
        Row and column of each pair in the overlap table, and its F. Equal F are sorted by row, then by column.
    """
    overlap = table.intersection.tocoo()
    rows, columns = overlap.coords
    f = 2 * overlap.data / (table.reference_area[rows] + table.predicted_area[columns])
    best_first = np.lexsort((columns, rows, -f))
    rows, columns, f = rows[best_first], columns[best_first], f[best_first]
    chosen = np.zeros(len(f), bool)
    left = np.arange(len(f))
    while len(left):
        # Taking pairs one by one from the top gives the same: those that come first for both of their cells.
        first_of_row = left[np.unique(rows[left], return_index=True)[1]]
        first_of_column = left[np.unique(columns[left], return_index=True)[1]]
        taken = np.intersect1d(first_of_row, first_of_column, assume_unique=True)
        chosen[taken] = True
        left = left[~(np.isin(rows[left], rows[taken]) | np.isin(columns[left], columns[taken]))]
    return rows[chosen], columns[chosen], f[chosen]


def f_scores(table: OverlapTable) -> tuple[np.ndarray, np.ndarray]:
    """Label of the corresponding predicted cell and F-score of each reference cell, (R,) each; 0 without partner."""
    rows, columns, f = corresponding_cells(table)
    partner = np.zeros(len(table.reference_labels), table.predicted_labels.dtype)
    f_score = np.zeros(len(partner))
    partner[rows] = table.predicted_labels[columns]
    f_score[rows] = f
    return partner, f_score


def share_at_least(f_score: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(T,) share of the cells with F >= t for each threshold; NaN without cells."""
    if not len(f_score):
        return np.full(len(thresholds), np.nan)
    return 1 - np.searchsorted(np.sort(f_score), thresholds, side="left") / len(f_score)


def curve_area(f_score: np.ndarray) -> float:
    """Area under the curve of `share_at_least` from 0 to 1, which is the mean F-score; NaN without cells."""
    return float(f_score.mean()) if len(f_score) else float("nan")


def image_shares(images: Mapping[str, np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """(N, T) share of the cells with F >= t in each of the images that have reference cells."""
    return np.array([share_at_least(f_score, thresholds) for f_score in images.values() if len(f_score)])


def curve_table(references: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Curves of all cells and their spread over images, for the F-scores of each image against each reference.

    Returns:
        Columns reference, f_score (threshold), share (of all cells), then the minimum, quartiles and maximum of
        the share over the images.
    """
    curves = []
    for name, images in references.items():
        share = share_at_least(np.concatenate(list(images.values())), THRESHOLDS)
        spread = np.quantile(image_shares(images, THRESHOLDS), np.linspace(0, 1, 5), axis=0)
        columns = {f"image_{key}": values for key, values in zip(_QUARTILES, spread, strict=True)}
        curves.append(pd.DataFrame({"reference": name, "f_score": THRESHOLDS, "share": share, **columns}))
    return pd.concat(curves, ignore_index=True)
