"""Does a cell's uncertainty distinguish wrong cells from right ones?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

# A predicted cell is wrong below this Jaccard index with every reference cell.
WRONG_BELOW = (0.5, 0.6, 0.7, 0.8, 0.9)


def error_auroc(wrong: np.ndarray, uncertainty: np.ndarray) -> float | None:
    """Probability that a wrong cell is more uncertain than a right one (area under the ROC curve).

    Args:
        wrong: (N,) bool.
        uncertainty: (N,).

    Returns:
        0 to 1, where 0.5 is chance; None if all cells are wrong or none is.
    """
    n_wrong = int(wrong.sum())
    if n_wrong in (0, len(wrong)):
        return None
    # Mann and Whitney's U: how often, among all pairs, the wrong one ranks higher; ties count half.
    u = stats.rankdata(uncertainty)[wrong].sum() - n_wrong * (n_wrong + 1) / 2
    return float(u / (n_wrong * (len(wrong) - n_wrong)))


def error_detection(
    jaccard: np.ndarray, uncertainty: np.ndarray, wrong_below: Sequence[float] = WRONG_BELOW
) -> dict[str, Any]:
    """How well uncertainty finds wrong cells, for several definitions of wrong.

    Args:
        jaccard: (N,) Jaccard index of predicted cells with the reference, see `overlap.predicted_jaccard`.
        uncertainty: (N,) uncertainty of the same cells.
        wrong_below: a cell is wrong below this Jaccard index.

    Returns:
        For JSON: `n_cells`, `spearman` (rank correlation of uncertainty and Jaccard index; negative is good, None
        where either is constant) and `auroc`, a list of `wrong_below`, `n_wrong` and `auroc`.
    """
    constant = len(jaccard) < 2 or np.ptp(jaccard) == 0 or np.ptp(uncertainty) == 0
    return {
        "n_cells": len(jaccard),
        "spearman": None if constant else float(stats.spearmanr(jaccard, uncertainty).statistic),
        "auroc": [
            {
                "wrong_below": limit,
                "n_wrong": int((jaccard < limit).sum()),
                "auroc": error_auroc(jaccard < limit, uncertainty),
            }
            for limit in wrong_below
        ],
    }
