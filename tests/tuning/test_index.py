"""Indices as sums over parts equal those of `cellflax.metrics`; standard errors equal those by hand."""

import numpy as np
import pytest

from cellflax.labels import components
from cellflax.metrics.score import score_cells
from cellflax.training.tuner import TuneIndex
from cellflax.tuning.index import PartCounts, gain_error, part_counts
from tests.tuning.drawn import cells_of

REFERENCE = cells_of(0)


def predicted() -> np.ndarray:
    """Moved by some pixels, some of them missing, one of them spurious."""
    moved = np.roll(np.where(REFERENCE % 5 == 0, 0, REFERENCE), (2, 1), axis=(0, 1))
    moved[20:27, 20:27] = 99
    return moved


def expected(index: TuneIndex, nuclei=None) -> float:
    scores = score_cells(REFERENCE, predicted(), nuclei=nuclei)
    at = {round(match.threshold, 2): match for match in scores.matches}
    return {
        TuneIndex.f1_50: at[0.5].f1,
        TuneIndex.f1_70: at[0.7].f1,
        TuneIndex.mean_f1: np.mean([at[t].f1 for t in (0.5, 0.6, 0.7, 0.8, 0.9)]),
        TuneIndex.pq: at[0.5].panoptic_quality,
        TuneIndex.jaccard: scores.accuracy.mean_jaccard,
    }[index]


@pytest.mark.parametrize("index", TuneIndex)
@pytest.mark.parametrize("parts", [(1, 1), (3, 2)])
def test_equals_the_metric(index, parts):
    counts = part_counts(index, REFERENCE, predicted(), parts)
    assert counts.value == pytest.approx(expected(index))
    assert 0 < counts.value < 1
    assert counts.gained.shape[1] == parts[0] * parts[1]
    if parts != (1, 1):
        assert np.count_nonzero(counts.possible[0]) == 6  # cells everywhere


def test_the_indices_differ():
    assert len({round(expected(index), 6) for index in TuneIndex}) == len(TuneIndex)


def test_with_nuclei_jaccard_is_over_the_cells_that_hold_one():
    nuclei = np.where(REFERENCE <= 4, REFERENCE, 0)
    value = part_counts(TuneIndex.jaccard, REFERENCE, predicted(), (1, 1), nuclei=nuclei).value
    assert value == pytest.approx(expected(TuneIndex.jaccard, nuclei))
    assert value != pytest.approx(expected(TuneIndex.jaccard))


def test_what_is_not_annotated_does_not_count():
    ignored = np.zeros(REFERENCE.shape, np.uint8)
    ignored[:, 48:] = 1
    left = np.where(ignored == 0, REFERENCE, 0)
    garbage = components(np.random.default_rng(0).random(REFERENCE.shape) > 0.5)
    found = np.where(ignored == 0, REFERENCE, np.where(garbage > 0, garbage + 100, 0))
    counts = part_counts(TuneIndex.pq, REFERENCE, found, (1, 1), ignored=ignored)
    assert counts.value == pytest.approx(1)
    assert counts.possible.sum() == len(np.unique(left)) - 1


@pytest.mark.parametrize("index", TuneIndex)
def test_nothing_found_is_zero(index):
    assert part_counts(index, REFERENCE, np.zeros_like(REFERENCE), (2, 2)).value == 0


def test_the_error_of_a_mean_is_that_of_the_textbook():
    """With equal denominators the index is a mean over parts, and the jackknife its usual standard error."""
    rng = np.random.default_rng(0)
    before, after = rng.random((2, 1, 12))
    ones = np.ones((1, 12))
    error = gain_error(PartCounts(before, ones), PartCounts(after, ones))
    assert error == pytest.approx(np.std(after - before, ddof=1) / np.sqrt(12))


def test_one_part_says_nothing_about_chance():
    ones = np.ones((1, 4)) * [1, 0, 0, 0]
    assert gain_error(PartCounts(0 * ones, ones), PartCounts(ones, ones)) == np.inf
