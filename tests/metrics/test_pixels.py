import numpy as np
import pytest

from cellflax.metrics.pixels import class_accuracy, confusion_matrix, overall_accuracy

REFERENCE = np.array([[0, 0, 0, 1], [1, -1, -1, 0]])
PREDICTED = np.array([[0, 0, 1, 1], [1, 0, 7, 2]])  # what is predicted at -1 does not matter


def test_hand_counted():
    confusion = confusion_matrix(REFERENCE, PREDICTED, 4)
    np.testing.assert_array_equal(confusion, [[2, 1, 1, 0], [0, 2, 0, 0], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(class_accuracy(confusion), [0.5, 1, np.nan, np.nan])
    assert overall_accuracy(confusion) == 4 / 6
    np.testing.assert_array_equal(class_accuracy(confusion + confusion), class_accuracy(confusion))


def test_nothing_annotated():
    confusion = confusion_matrix(np.full((2, 2), -1), np.zeros((2, 2), int), 3)
    assert np.isnan(overall_accuracy(confusion))
    assert np.isnan(class_accuracy(confusion)).all()


def test_bad_arrays():
    with pytest.raises(ValueError, match=r"predicted holds classes 0 \.\.\. 2, expected 0 \.\.\. 1"):
        confusion_matrix(REFERENCE, PREDICTED, 2)
    with pytest.raises(ValueError, match="reference is"):
        confusion_matrix(REFERENCE, PREDICTED[:1], 3)
