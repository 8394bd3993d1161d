"""Which of several cell types each segmented cell is: the cellular classification score of Van Valen 2016 (P1)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cellflax.errors import UserError

_INTERIOR = "interior_"
# The type of a cell whose pixels have no interior probability at all.
UNDETERMINED = "undetermined"


def cell_type_names(class_names: Sequence[str]) -> list[str]:
    """Types that a network distinguishes by classes `interior_<type>`; none for a plain `interior`."""
    return [name.removeprefix(_INTERIOR) for name in class_names if name.startswith(_INTERIOR)]


def cell_types(labels: np.ndarray, probability: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Type of every cell by P1's cellular classification score (Van Valen et al. 2016).

    The score of a cell for a type is the sum of that type's interior probability over the cell's pixels, divided
    by the sum over all types; edge and background do not count.

    Args:
        labels: (H, W) integer labels, 0 = background; they need not be consecutive.
        probability: (H, W, K) class probabilities.
        class_names: names of the K classes; those of the types are `interior_<type>`.

    Returns:
        One row per label, ascending: `label`, `cell_type` (the highest score; the first of equals) and
        `score_<type>` for each type, in [0, 1] and adding up to 1. A cell without any interior probability, as in
        the border that the network does not see, is "undetermined" and has equal scores.

    Raises:
        UserError: if the network has fewer than two types, or shapes do not fit.
    """
    types = cell_type_names(class_names)
    if len(types) < 2:
        raise UserError(f"cell types need two or more classes {_INTERIOR}..., got {', '.join(class_names)}")
    if probability.shape != (*labels.shape, len(class_names)):
        raise UserError(
            f"the probability has shape {probability.shape}, but the cells are {labels.shape} and the classes are "
            f"{len(class_names)} ({', '.join(class_names)})"
        )
    inside = labels > 0
    cells, index = np.unique(labels[inside], return_inverse=True)
    planes = [k for k, name in enumerate(class_names) if name.startswith(_INTERIOR)]
    sums = np.stack([np.bincount(index, probability[inside, k], minlength=len(cells)) for k in planes], axis=-1)
    total = sums.sum(axis=-1, keepdims=True)
    known = total > 0
    scores = np.where(known, sums / np.where(known, total, 1), 1 / len(types))
    chosen = np.where(known[:, 0], np.asarray(types, dtype=object)[scores.argmax(axis=-1)], UNDETERMINED)
    return pd.DataFrame(
        {
            "label": cells,
            "cell_type": pd.Series(chosen, dtype="str"),
            **{f"score_{name}": score for name, score in zip(types, scores.T, strict=True)},
        }
    )
