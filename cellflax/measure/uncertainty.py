"""How sure a segmentation is of each cell."""

from collections.abc import Sequence

import numpy as np

from cellflax.labels import overlap_table
from cellflax.metrics.overlap import predicted_jaccard


def structural_uncertainty(labels: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """One minus the mean Jaccard index of each cell with its best match in other segmentations of the image.

    After Roy et al. 2019 (NeuroImage 195:11-22, IoU between Monte Carlo samples). A cell is likely to be wrong if
    single networks, or single views of the image, outline it differently or not at all.

    Args:
        labels: (H, W) integer labels, 0 = background.
        others: segmentations by the members of the ensemble.

    Returns:
        (n,) in the order of the labels: 0 if all agree, 1 if none has the cell.
    """
    return 1 - np.mean([predicted_jaccard(overlap_table(other, labels)) for other in others], axis=0)
