"""Error detection against counting pairs."""

import numpy as np
import pytest

from cellflax.labels import overlap_table
from cellflax.metrics.overlap import predicted_jaccard
from cellflax.metrics.uncertainty import error_auroc, error_detection


def test_auroc_counts_the_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    wrong = rng.random(40) < 0.3
    uncertainty = np.round(rng.random(40) + 0.3 * wrong, 1)  # with ties
    pairs = [(w > r) + 0.5 * (w == r) for w in uncertainty[wrong] for r in uncertainty[~wrong]]
    assert error_auroc(wrong, uncertainty) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("wrong", [np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)])
def test_auroc_needs_right_and_wrong_cells(wrong):
    assert error_auroc(wrong, np.arange(float(len(wrong)))) is None


def test_detection_for_several_limits():
    result = error_detection(np.array([0.9, 0.8, 0.55, 0.2]), np.array([0.1, 0.2, 0.15, 0.4]), (0.5, 0.6, 0.1))
    assert result["n_cells"] == 4
    assert result["spearman"] == pytest.approx(-0.8)
    assert [(row["n_wrong"], row["auroc"]) for row in result["auroc"]] == [(1, 1.0), (2, 0.75), (0, None)]
    assert error_detection(np.array([0.5, 0.5]), np.array([0.1, 0.2]))["spearman"] is None


def test_jaccard_of_predicted_cells():
    reference = np.array([[1, 1, 1, 0, 2, 2, 0, 0]])
    predicted = np.array([[5, 5, 7, 7, 7, 7, 0, 9]])
    np.testing.assert_allclose(predicted_jaccard(overlap_table(reference, predicted)), [2 / 3, 2 / 4, 0])
