"""What holds for the exact labels of every simulated field."""

import numpy as np
from scipy import ndimage


def assert_exact_labels(cells: np.ndarray, nuclei: np.ndarray) -> None:
    """Labels 1..n, every cell in one piece; every cell that the border does not cut has one nucleus inside."""
    n_cells = cells.max()
    assert cells.dtype == nuclei.dtype == np.int32
    np.testing.assert_array_equal(np.unique(cells[cells > 0]), np.arange(1, n_cells + 1))
    in_nucleus = nuclei > 0
    np.testing.assert_array_equal(nuclei[in_nucleus], cells[in_nucleus])
    cut = set(np.concatenate([cells[[0, -1]].ravel(), cells[:, [0, -1]].ravel()]))
    for label in range(1, n_cells + 1):
        assert ndimage.label(cells == label)[1] == 1
        if label not in cut:
            assert ndimage.label(nuclei == label)[1] == 1


def median_area(labels: np.ndarray) -> float:
    """Median area in pixels of the objects that there are."""
    areas = np.bincount(labels.ravel())[1:]
    return float(np.median(areas[areas > 0]))
