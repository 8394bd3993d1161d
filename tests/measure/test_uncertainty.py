"""Structural uncertainty by hand."""

import numpy as np

from cellflax.measure.uncertainty import structural_uncertainty


def test_cells_that_others_outline_differently_or_not_at_all():
    labels = np.array([[1, 1, 0, 4, 4, 4, 0, 9]])
    others = [np.array([[7, 7, 0, 2, 2, 0, 0, 0]]), np.array([[3, 0, 0, 5, 5, 5, 5, 0]])]
    np.testing.assert_allclose(
        structural_uncertainty(labels, others), [1 - (1 + 1 / 2) / 2, 1 - (2 / 3 + 3 / 4) / 2, 1]
    )


def test_no_cells():
    empty = np.zeros((2, 3), np.int32)
    assert structural_uncertainty(empty, [empty, empty]).shape == (0,)
