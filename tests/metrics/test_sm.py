"""SM against a transcription of its formula on random label images."""

from dataclasses import replace

import numpy as np
import pytest

from cellflax.metrics.score import pool, score_cells
from cellflax.metrics.sm import SmSettings
from cellflax.metrics.table import cell_metrics
from tests.metrics.drawing import grid, perturbed, random_labels
from tests.metrics.test_f_score import transcribed_f_scores


def transcribed_sm(reference, predicted, k, min_jaccard):
    cells = [reference == r for r in np.unique(reference[reference > 0])]
    found = [predicted == p for p in np.unique(predicted[predicted > 0])]
    dice = [max([2 * (r & p).sum() / (r.sum() + p.sum()) for p in found] + [0]) for r in cells]
    jaccard = []
    for r, (p, _) in transcribed_f_scores(reference, predicted).items():
        if p:
            jaccard.append(((reference == r) & (predicted == p)).sum() / ((reference == r) | (predicted == p)).sum())
    pairs = sum(value >= min_jaccard for value in jaccard)
    return k * np.mean(dice) + (1 - k) * 2 * pairs / (len(cells) + len(found))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("k", "min_jaccard"), [(0.6, 0.0), (0.3, 0.45)])
def test_sm_equals_its_formula(seed, k, min_jaccard):
    reference = random_labels(seed, n=10)
    predicted = perturbed(reference, seed)
    sm = score_cells(reference, predicted, sm=SmSettings(k, min_jaccard)).sm
    assert sm.value == pytest.approx(transcribed_sm(reference, predicted, k, min_jaccard))


def test_hand_drawn_terms():
    # Cell 1 is cut into 5 and 6, 2 and 3 are one, and 8 is spurious: 2 pairs among 4 + 5 cells.
    reference, predicted = grid("1111.2233...444"), grid("5566.7777..8...")
    scores = score_cells(reference, predicted)
    sm = scores.sm
    assert sm.outlines == pytest.approx((4 / 6 + 4 / 6 + 4 / 6 + 0) / 4)
    assert sm.detection == pytest.approx(2 * 2 / (4 + 4))
    assert sm.value == pytest.approx(0.6 * 0.5 + 0.4 * 0.5)
    at_half, above = (replace(scores, sm_settings=SmSettings(min_jaccard=limit)).sm for limit in (0.5, 0.6))
    assert at_half.detection == pytest.approx(2 * 2 / (4 + 4))  # theirs is 2/4
    assert above.detection == 0
    both = pool([scores, score_cells(reference, reference)]).sm
    assert both.outlines == pytest.approx((3 * 4 / 6 + 4) / 8)
    assert both.detection == pytest.approx(2 * (2 + 4) / (8 + 8))


def test_with_nuclei_only_cells_that_hold_one_count():
    # Cells 1 and 2 have no nucleus: 1 is missed, 2 is found as 6. What is spurious, 8, stays so.
    reference, nuclei = grid("11.222.3333...44.."), grid(".......9.......9..")
    predicted = grid("...666.5555.88.7..")
    sm = score_cells(reference, predicted, nuclei=nuclei).sm
    assert sm.outlines == pytest.approx((1 + 2 / 3) / 2)
    assert sm.detection == pytest.approx(2 * 2 / (2 + 3))
    every = score_cells(reference, predicted).sm
    assert every.detection == pytest.approx(2 * 3 / (4 + 4))


def test_nothing_predicted_and_nothing_to_find():
    cells, nothing = grid("11.22"), grid(".....")
    missed = cell_metrics(score_cells(cells, nothing))
    assert (missed["sm"], missed["sm_outlines"], missed["sm_detection"]) == (0, 0, 0)
    assert cell_metrics(score_cells(nothing, cells))["sm"] is None
    assert cell_metrics(score_cells(nothing, cells))["sm_detection"] == 0
    assert cell_metrics(score_cells(nothing, nothing))["sm_detection"] is None
