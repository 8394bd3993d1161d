"""Correspondence and curves against going down the list of pairs one by one, and counting."""

import numpy as np
import pytest

from cellflax.labels import overlap_table
from cellflax.metrics.detection import count_matches
from cellflax.metrics.f_score import (
    THRESHOLDS,
    curve_area,
    curve_table,
    f_scores,
    share_at_least,
)
from tests.metrics.drawing import grid, perturbed, random_labels


def transcribed_f_scores(reference, predicted):
    """Partner and F of each reference cell: of all pairs of free cells, the best again and again."""
    pairs = [
        (-2 * ((reference == r) & (predicted == p)).sum() / ((reference == r).sum() + (predicted == p).sum()), r, p)
        for r in np.unique(reference[reference > 0])
        for p in np.unique(predicted[predicted > 0])
    ]
    found = {int(r): (0, 0.0) for r in np.unique(reference[reference > 0])}
    used = set()
    for negative, r, p in sorted(pairs):
        if negative < 0 and found[r] == (0, 0.0) and p not in used:
            found[r] = (int(p), -negative)
            used.add(p)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_correspondence_equals_its_definition(seed):
    reference = random_labels(seed, n=12)
    predicted = perturbed(reference, seed)
    table = overlap_table(reference, predicted)
    partner, f_score = f_scores(table)
    expected = transcribed_f_scores(reference, predicted)
    assert list(partner) == [p for p, _ in expected.values()]
    np.testing.assert_array_equal(f_score, [f for _, f in expected.values()])
    # Above Jaccard 0.5 nobody has two candidates, so that the curve is the recall there.
    assert (f_score / (2 - f_score) > 0.5).sum() == count_matches(table, 0.5 + 1e-9).true_positives


def test_a_merged_pair_counts_once():
    partner, f_score = f_scores(overlap_table(grid("1122..4"), grid("3333...")))
    np.testing.assert_array_equal(partner, [3, 0, 0])
    np.testing.assert_array_equal(f_score, [4 / 6, 0, 0])


def test_a_cell_gets_what_its_rival_leaves():
    """7 overlaps cell 2 better than cell 1, but cell 2 has a better partner."""
    partner, f_score = f_scores(overlap_table(grid("111111222222222"), grid("....77777888888")))
    np.testing.assert_array_equal(partner, [7, 8])
    np.testing.assert_allclose(f_score, [4 / 11, 12 / 15])


def test_curve_counts_cells_at_the_threshold():
    f_score = np.array([0.0, 0.6, 0.6, 6 / 9, 1.0])
    share = share_at_least(f_score, THRESHOLDS)
    np.testing.assert_allclose(share, [(f_score >= t).mean() for t in THRESHOLDS])
    assert share[60] == pytest.approx(4 / 5)  # F = 0.6 is at 0.6
    fine = (np.arange(100_000) + 0.5) / 100_000
    assert curve_area(f_score) == pytest.approx(share_at_least(f_score, fine).mean(), abs=1e-5)
    assert np.isnan(share_at_least(f_score[:0], THRESHOLDS)).all()


def test_table_of_two_references():
    manual = {"a": np.array([1.0, 0.5]), "b": np.array([0.7, 0.7, 0.2, 0.1]), "empty": np.zeros(0)}
    table = curve_table({"reference": {"a": np.array([1.0])}, "manual": manual})
    assert len(table) == 2 * 101
    row = table[(table["reference"] == "manual") & (table["f_score"] == 0.6)].iloc[0]
    assert row["share"] == pytest.approx(3 / 6)
    spread = [f"image_{name}" for name in ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")]
    assert list(row[spread]) == pytest.approx([0.5] * 5)
    row = table[(table["reference"] == "manual") & (table["f_score"] == 0.15)].iloc[0]
    assert list(row[spread]) == pytest.approx([0.75, 0.8125, 0.875, 0.9375, 1])


def test_many_cells_stay_cheap():
    """Every cell has four candidates, all of which remain until the best are taken."""
    side = 200
    reference = np.kron(np.arange(1, side * side + 1).reshape(side, side), np.ones((4, 4), np.int64))
    table = overlap_table(reference, np.roll(reference, (1, 1), (0, 1)))
    np.testing.assert_allclose(f_scores(table)[1], 9 / 16)
