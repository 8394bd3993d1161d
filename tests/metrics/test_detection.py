import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cellflax.labels import overlap_table
from cellflax.metrics.detection import (
    IOU_THRESHOLDS,
    CellError,
    MatchCounts,
    count_matches,
    matched_pairs,
    mean_average_precision,
    reference_errors,
    spurious_predictions,
)
from tests.metrics.drawing import grid, perturbed, random_labels


def test_hand_drawn_counts():
    # IoU 3/4, 2/4 and nothing; one prediction too many.
    table = overlap_table(grid("1111.2222...333"), grid("111..22...66..."))
    half, above = count_matches(table, 0.5), count_matches(table, 0.55)
    assert half == MatchCounts(0.5, 2, 1, 1, 1.25)
    assert above == MatchCounts(0.55, 1, 2, 2, 0.75)
    assert (half.precision, half.recall, half.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert half.average_precision == 2 / 4
    assert half.segmentation_quality == 1.25 / 2
    assert half.panoptic_quality == pytest.approx(1.25 / 3)
    assert half.panoptic_quality == pytest.approx(half.segmentation_quality * half.f1)
    thresholds = [count_matches(table, t) for t in IOU_THRESHOLDS]
    # 0.5: 2/4; 0.55 ... 0.75: 1/5; then nothing.
    assert mean_average_precision(thresholds) == pytest.approx((2 / 4 + 5 / 5) / 10)
    assert half + half == MatchCounts(0.5, 4, 2, 2, 2.5)


def dense_iou(reference, predicted):
    """IoU of every pair of cells, pair by pair."""
    rows, columns = np.unique(reference[reference > 0]), np.unique(predicted[predicted > 0])
    pairs = [[(reference == r, predicted == p) for p in columns] for r in rows]
    iou = [[(a & b).sum() / (a | b).sum() for a, b in row] for row in pairs]
    return np.array(iou).reshape(len(rows), len(columns))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5, 0.75])
def test_matching_is_optimal(seed, threshold):
    """Against a dense assignment: as many pairs as possible, then the largest summed IoU."""
    reference = random_labels(seed)
    predicted = perturbed(reference, seed)
    iou = dense_iou(reference, predicted)
    gain = np.where(iou >= threshold, 100 + iou, 0)
    row, column = linear_sum_assignment(gain, maximize=True)
    expected = iou[row, column][iou[row, column] >= threshold]

    rows, columns, matched = matched_pairs(overlap_table(reference, predicted), threshold)
    assert len(set(rows)) == len(rows) == len(set(columns)) == len(expected)
    np.testing.assert_allclose(matched, iou[rows, columns])
    assert matched.sum() == pytest.approx(expected.sum())


def test_most_pairs_come_before_best_pairs():
    # Alone, 1-8 has IoU 8/11; 1-7 and 2-8 together have 2/10 + 1/10, but are two.
    table = overlap_table(grid("111111111122"), grid("77888888888."))
    rows, columns, iou = matched_pairs(table, 0.1)
    np.testing.assert_array_equal(sorted(zip(rows, columns, strict=True)), [(0, 0), (1, 1)])
    assert sorted(iou) == pytest.approx([1 / 10, 2 / 10])
    assert matched_pairs(table, 0.15)[2] == pytest.approx([8 / 11])


def transcribed_errors(reference, predicted):
    """CellError of each reference cell, and spurious predictions, in words turned to loops."""

    def mostly_in(cell, other):
        return 2 * (cell & other).sum() > cell.sum()

    found = [predicted == p for p in np.unique(predicted[predicted > 0])]
    cells = [reference == r for r in np.unique(reference[reference > 0])]
    classes = []
    for cell in cells:
        if 2 * (cell & (predicted > 0)).sum() < cell.sum():
            classes.append(CellError.MISSED)
        elif any(mostly_in(cell, p) and sum(mostly_in(c, p) for c in cells) > 1 for p in found):
            classes.append(CellError.MERGED)
        elif sum(mostly_in(p, cell) for p in found) > 1:
            classes.append(CellError.SPLIT)
        elif any(2 * (cell & p).sum() >= (cell | p).sum() for p in found):
            classes.append(CellError.CORRECT)
        else:
            classes.append(CellError.INACCURATE)
    return classes, [2 * (p & (reference > 0)).sum() < p.sum() for p in found]


@pytest.mark.parametrize("seed", range(40))
def test_errors_equal_their_definition(seed):
    reference = random_labels(seed, n=12)
    predicted = perturbed(reference, seed)
    table = overlap_table(reference, predicted)
    classes, spurious = transcribed_errors(reference, predicted)
    np.testing.assert_array_equal(reference_errors(table), classes)
    np.testing.assert_array_equal(spurious_predictions(table), spurious)


def test_hand_drawn_errors():
    table = overlap_table(
        grid("1111.2222.33.44.555555.6666...."),
        grid("111..2288.77777.9........66.333"),
    )
    assert [CellError(e).name for e in reference_errors(table)] == [
        "CORRECT", "SPLIT", "MERGED", "MERGED", "MISSED", "CORRECT",
    ]  # fmt: skip
    np.testing.assert_array_equal(table.predicted_labels, [1, 2, 3, 6, 7, 8, 9])
    np.testing.assert_array_equal(spurious_predictions(table), [0, 0, 1, 0, 0, 0, 0])
    too_large = overlap_table(grid("..111..."), grid("11111111"))
    np.testing.assert_array_equal(reference_errors(too_large), [CellError.INACCURATE])


def test_empty_sides():
    cells, nothing = grid("11.22"), grid(".....")
    nothing_found = count_matches(overlap_table(cells, nothing), 0.5)
    assert nothing_found == MatchCounts(0.5, 0, 0, 2, 0.0)
    assert math.isnan(nothing_found.precision)
    assert nothing_found.f1 == nothing_found.recall == nothing_found.average_precision == 0
    np.testing.assert_array_equal(reference_errors(overlap_table(cells, nothing)), CellError.MISSED)
    assert count_matches(overlap_table(nothing, cells), 0.5) == MatchCounts(0.5, 0, 2, 0, 0.0)
    assert math.isnan(count_matches(overlap_table(nothing, nothing), 0.5).average_precision)


def test_one_tie_among_many_cells_stays_cheap():
    """A tie at IoU 0.5 sends only the cells involved to the assignment solver."""
    side = 250
    reference = np.kron(np.arange(1, side * side + 1).reshape(side, side), np.ones((4, 4), np.int64))
    predicted = reference.copy()
    predicted[:2, :4] = 10**6
    assert count_matches(overlap_table(reference, predicted), 0.5) == MatchCounts(
        0.5, side * side, 1, 0, side * side - 0.5
    )
