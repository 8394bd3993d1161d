"""Reliability of probabilities, against sums by hand and against drawn outcomes."""

import numpy as np
import pytest

from cellflax.metrics.calibration import bins_table, reliability


def test_by_hand():
    """Two bins: 0.9 and 0.95, of which one is right, and 0.2, 0.25, 0.15, of which none is (0.15 is in a third)."""
    score = reliability(np.array([0.9, 0.95, 0.2, 0.25, 0.15]), np.array([True, False, False, False, False]))
    assert score.expected_calibration_error == pytest.approx((abs(1.85 - 1) + 0.45 + 0.15) / 5)
    assert score.brier == pytest.approx((0.1**2 + 0.95**2 + 0.2**2 + 0.25**2 + 0.15**2) / 5)
    assert score.brier_of_rate == pytest.approx(0.2 * 0.8)
    assert (score.n, score.n_right) == (5, 1)
    bins = score.bins
    assert bins["low"].tolist() == pytest.approx([0.1, 0.2, 0.9])
    assert bins["n_cells"].tolist() == [1, 2, 2]
    assert bins["mean_probability"].tolist() == pytest.approx([0.15, 0.225, 0.925])
    assert bins["share_right"].tolist() == [0, 0, 0.5]
    assert set(score.to_json()) == {
        *("n_cells", "n_right", "expected_calibration_error", "error_by_chance", "brier", "brier_of_rate")
    }


def test_chance_is_what_exact_probabilities_give():
    rng = np.random.default_rng(0)
    probability = rng.beta(4, 1, 400)
    drawn = [reliability(probability, rng.random(400) < probability) for _ in range(300)]
    mean = np.mean([score.expected_calibration_error for score in drawn])
    assert drawn[0].error_by_chance == pytest.approx(mean, rel=0.05)
    sure = reliability(np.array([0.0, 1.0]), np.array([False, True]))  # both ends belong to a bin
    assert sure.expected_calibration_error == sure.error_by_chance == sure.brier == 0


def test_one_table():
    scores = {name: reliability(np.array([p]), np.array([True])) for name, p in (("a", 0.5), ("b", 0.7))}
    table = bins_table(scores)
    assert table["probability"].tolist() == ["a", "b"]
    assert table["mean_probability"].tolist() == [0.5, 0.7]


@pytest.mark.parametrize("values", [[], [1.1], [np.nan], [-0.1]])
def test_no_probabilities(values):
    with pytest.raises(ValueError, match="probability"):
        reliability(np.array(values, float), np.ones(len(values), bool))
