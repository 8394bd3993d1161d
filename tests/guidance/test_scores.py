"""Intervals of held-out scores, and what scores suggest."""

from pathlib import Path

import numpy as np
import pytest

from cellflax.guidance.hints import Evidence, hints_of, refine_overrides
from cellflax.guidance.intervals import with_intervals
from cellflax.metrics.score import CellScores, score_cells
from cellflax.refine.flood import Landscape
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig


def squares(count: int, size: int = 6, pitch: int = 10) -> np.ndarray:
    """Squares in a row, two rows of background around them."""
    labels = np.zeros((pitch, pitch * count), np.int32)
    for i in range(count):
        labels[2 : 2 + size, pitch * i + 2 : pitch * i + 2 + size] = i + 1
    return labels


def scored(count: int, missed: int) -> CellScores:
    reference = squares(count)
    return score_cells(reference, np.where(reference <= missed, 0, reference))


def test_f1_and_its_interval():
    few, many = with_intervals([scored(20, 4)]), with_intervals([scored(500, 100)])
    for scores in (few, many):
        assert scores.f1.value == pytest.approx(2 * 0.8 / 1.8)
        assert scores.jaccard.value == pytest.approx(0.8)
        assert scores.drawn == "cells"
        assert scores.f1.low < scores.f1.value < scores.f1.high
        assert scores.jaccard.low < 0.8 < scores.jaccard.high
    # The standard deviation of a share of 0.8 of n cells, 1.96 of it to each side.
    for scores, n in ((few, 20), (many, 500)):
        width = 2 * 1.96 * np.sqrt(0.8 * 0.2 / n)
        assert scores.jaccard.high - scores.jaccard.low == pytest.approx(width, rel=0.2)
    assert with_intervals([scored(20, 4)]) == few


def test_few_cells_without_an_error_are_no_proof():
    few, many = with_intervals([scored(10, 0)]).f1, with_intervals([scored(1000, 0)]).f1
    assert few.value == many.value == 1
    assert few.low < 0.97 < many.low


def test_images_are_drawn_where_there_are_several():
    """Half of the images are good, half are bad: more uncertain than as many cells that are independent."""
    images = [scored(50, 0), scored(50, 40)] * 4
    scores = with_intervals(images)
    assert scores.drawn == "images"
    assert scores.jaccard.high - scores.jaccard.low > 0.4
    (one,) = [with_intervals([score_cells(*[np.hstack([squares(50)] * 1)] * 2)])]
    assert one.drawn == "cells"


def test_nothing_held_out_that_counts():
    empty = np.zeros((10, 10), np.int32)
    scores = with_intervals([score_cells(empty, empty)])
    assert (scores.f1.value, scores.jaccard.value) == (None, None)
    assert str(scores.f1) == "unknown"


def evidence(reference: np.ndarray, predicted: np.ndarray, how=None, **changes) -> Evidence:
    scores = [score_cells(reference, predicted)]
    given = {
        "run": Path("runs/mine"),
        "how": how or WatershedConfig(),
        "held_out": scores,
        "intervals": with_intervals(scores),
        "images": 3,
        "training_f1": None,
        "seeded": False,
        "training": {},
        "step": 100,
    }
    return Evidence(**{**given, **changes})


def findings(of: Evidence) -> dict[str, str]:
    return {hint.finding: hint.remedy for hint in hints_of(of)}


MANY = squares(120)


def test_a_good_score_suggests_nothing():
    assert findings(evidence(MANY, MANY)) == {}


def test_merged_cells():
    """Pairs of squares under one cell each."""
    predicted = (MANY + 1) // 2
    for pair in range(1, 61):
        columns = np.flatnonzero((predicted == pair).any(axis=0))
        predicted[2:8, columns[0] : columns[-1] + 1] = pair
    (remedy,) = findings(evidence(MANY, predicted)).values()
    assert remedy.endswith(
        "Try: cellflax validate -m checkpoint=runs/mine refine=watershed refine.seed_depth=0.05,0.1,0.2"
    )
    (remedy,) = findings(evidence(MANY, predicted, ThresholdConfig(fill_holes=False))).values()
    assert remedy.endswith("refine=threshold refine.fill_holes=false refine.interior=0.6,0.7,0.8")
    (remedy,) = findings(evidence(MANY, predicted, seeded=True)).values()
    assert "seeds.split_depth" in remedy


def test_split_cells():
    predicted = MANY.copy()
    predicted[5:8] = np.where(MANY[5:8] > 0, MANY[5:8] + 200, 0)
    (finding, remedy), = findings(evidence(MANY, predicted)).items()  # fmt: skip
    assert finding == "100% of the held-out cells are split."
    assert "refine.seed_depth=0.2,0.4,0.6" in remedy


def test_missed_and_spurious_cells():
    found = findings(evidence(MANY, np.where(MANY % 4 == 0, 0, MANY)))
    assert list(found) == ["25% of the held-out cells are missed."]
    assert "refine.interior=0.2,0.3,0.4" in found["25% of the held-out cells are missed."]
    found = findings(evidence(np.where(MANY % 4 == 0, 0, MANY), MANY, images=2))
    assert any(finding.startswith("25% of the cells that the network finds") for finding in found)


def test_small_cells_that_are_lost():
    reference = squares(120)
    small = np.isin(reference, np.arange(1, 31))
    reference[(np.indices(reference.shape)[0] > 4) & small] = 0
    reference[(np.indices(reference.shape)[1] % 10 > 4) & small] = 0
    predicted = np.where(reference <= 20, 0, reference)
    found = findings(evidence(reference, predicted))
    (remedy,) = [remedy for finding, remedy in found.items() if finding.startswith("Of the smallest cells (up to 9 px")]
    assert "refine.min_area_px=1,2,50" in remedy


def test_outlines_that_are_far_off():
    predicted = np.where(np.indices(MANY.shape)[0] < 4, MANY, 0)  # two of six rows
    predicted[4] = np.where(np.indices(MANY.shape)[1][4] % 10 < 7, MANY[4], 0)
    found = findings(evidence(MANY, predicted))
    assert any("mostly a smaller one" in finding for finding in found) or any("missed" in finding for finding in found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": 1}, "All held-out cells are from one image"),
        ({"training": {"reason": "all steps done", "best_step": 100}}, "trainer.steps=200"),
        ({"training": {"reason": "trainer.max_minutes=3 are over", "best_step": 100}}, "Train longer: trainer.max_min"),
        ({"training_f1": 1.2}, "the network knows its training images better"),
    ],
)
def test_other_hints(changes, words):
    (hint,) = findings(evidence(MANY, MANY, **changes)).items()
    assert words in " ".join(hint)


def test_few_held_out_cells():
    (finding,) = findings(evidence(squares(20), squares(20)))
    assert finding.startswith("The held-out score rests on 20 cells: F1 1.00 (0.")


def test_words_of_a_command_line():
    how = WatershedConfig(interior=0.35, landscape=Landscape.interior, fill_holes=False)
    words = ["refine=watershed", "refine.interior=0.35", "refine.landscape=interior", "refine.fill_holes=false"]
    assert sorted(refine_overrides(how)) == sorted(words)
    assert "refine.interior=0.35" not in refine_overrides(how, leave_out="interior")
