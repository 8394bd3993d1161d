"""What of two label images can be compared, where only a part of the field is annotated."""

import numpy as np

from cellflax.ignored import PAINTED
from cellflax.labels import overlap_table


def comparable_parts(
    reference: np.ndarray, predicted: np.ndarray, ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What of two label images can be compared, where only a part of the field is annotated.

    1. A reference cell with more than half of its area under `PAINTED` is left out, and its place is not annotated.
    2. A predicted cell with more than half of its area where nothing is annotated is left out, unless it covers at
       least half of a reference cell.
    3. Of the cells that stay, pixels under `PAINTED` do not count. Those under `UNDRAWN` count: a predicted cell that
       reaches beyond the outline of an annotated one is too large there.

    Args:
        reference: (H, W) integer labels.
        predicted: (H, W) integer labels.
        ignored: (H, W) codes of what is not annotated.

    Returns:
        Both with 0 for what is left out.
    """
    ignored = np.array(ignored, copy=True)
    hidden = _mostly_in(reference, ignored == PAINTED)
    ignored[np.isin(reference, hidden[hidden > 0])] = PAINTED
    reference = np.where(ignored == PAINTED, 0, reference)
    dropped = set(_mostly_in(predicted, ignored != 0).tolist())
    if dropped:
        table = overlap_table(reference, predicted)
        joint = table.intersection.tocoo()
        rows, columns = joint.coords
        attempts = table.predicted_labels[columns[2 * joint.data >= table.reference_area[rows]]]
        dropped -= set(attempts.tolist())
    gone = np.isin(predicted, np.array(sorted(dropped), predicted.dtype)) | (ignored == PAINTED)
    return reference, np.where(gone, 0, predicted)


def _mostly_in(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Labels of the cells with more than half of their area in a region."""
    table = overlap_table(where.astype(np.uint8), labels)
    if not len(table.reference_labels):
        return table.predicted_labels[:0]
    inside = np.asarray(table.intersection.sum(axis=0)).ravel()
    return table.predicted_labels[2 * inside > table.predicted_area]
