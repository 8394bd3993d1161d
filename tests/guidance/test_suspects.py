"""Made-up faults of an annotation are found, named and ranked; what is right, and what is not annotated, is not."""

import numpy as np
import pytest

from cellflax.guidance.suspects import Doubt, find_suspects
from cellflax.ignored import PAINTED, UNDRAWN
from tests.guidance.fields import cells, found, moved, seen

TRUTH = cells()
PROBABILITY = seen(TRUTH)
PREDICTED = found(PROBABILITY)


def suspects(annotation: np.ndarray, **options):
    maps = {"foreground": 1 - PROBABILITY[..., -1], "interior": PROBABILITY[..., 1]}
    return find_suspects(annotation, PREDICTED, **maps, **options)


def middle(label: int) -> tuple[float, float]:
    y, x = np.nonzero(label == TRUTH)
    return pytest.approx(y.mean(), abs=1.5), pytest.approx(x.mean(), abs=1.5)


def test_the_network_finds_the_true_cells():
    assert len(np.unique(PREDICTED)) == len(np.unique(TRUTH)) == 31


def test_a_right_annotation_has_no_suspect():
    assert suspects(TRUTH) == []


def test_a_cell_that_was_forgotten():
    (only,) = suspects(np.where(TRUTH == 8, 0, TRUTH))
    assert (only.kind, only.label, only.iou) == (Doubt.not_annotated, 0, 0)
    assert (only.y, only.x) == middle(8)
    assert only.confidence > 0.9


def test_a_cell_that_is_not_there():
    annotation = TRUTH.copy()
    annotation[220:240, 210:235] = np.where(TRUTH[220:240, 210:235] == 0, 99, TRUTH[220:240, 210:235])
    (only,) = suspects(annotation)
    assert (only.kind, only.label) == (Doubt.not_there, 99)
    assert only.confidence > 0.8
    assert only.area_px == (annotation == 99).sum()


def test_two_cells_annotated_as_one():
    (only,) = suspects(np.where(TRUTH == 7, 6, TRUTH))
    assert (only.kind, only.label) == (Doubt.seen_as_several, 6)
    assert only.confidence > 0.6


def test_one_cell_annotated_as_two():
    annotation = TRUTH.copy()
    _, columns = np.nonzero(TRUTH == 8)
    half = np.arange(TRUTH.shape[1])[None] > np.median(columns)
    annotation[(TRUTH == 8) & half] = 99
    (only,) = suspects(annotation)
    assert only.kind is Doubt.seen_as_one
    assert {only.label, only.other} == {8, 99}
    assert (only.y, only.x) == middle(8)
    assert only.confidence > 0.6


@pytest.mark.parametrize("by", [(14, 0), (0, 17)])
def test_a_cell_at_the_wrong_place_is_one_suspect(by):
    """Although less than half of it is covered, and less than half of the predicted one."""
    annotation = moved(TRUTH, 25, by)
    (only,) = suspects(annotation)
    assert (only.kind, only.label) == (Doubt.outline, 25)
    assert 0.1 < only.iou < 0.5
    assert only.confidence > 0.7


def test_the_surest_come_first():
    annotation = moved(np.where(TRUTH == 8, 0, np.where(TRUTH == 12, 11, TRUTH)), 25, (14, 0))
    found_here = suspects(annotation)
    assert {one.kind for one in found_here} == {Doubt.not_annotated, Doubt.seen_as_several, Doubt.outline}
    confidence = [one.confidence for one in found_here]
    assert confidence == sorted(confidence, reverse=True)


def test_doubts_of_the_network_itself_are_not_listed():
    """A forgotten cell that it is not sure of."""
    annotation = np.where(TRUTH == 8, 0, TRUTH)
    unsure = 0.5 * (1 - PROBABILITY[..., -1])
    assert find_suspects(annotation, PREDICTED, unsure, unsure) == []


def test_what_is_not_annotated_is_no_fault():
    annotation = np.where(TRUTH == 8, 0, TRUTH)
    ignored = np.where(TRUTH == 8, UNDRAWN, 0).astype(np.uint8)
    assert suspects(annotation, ignored=ignored) == []
    sparse = np.where(TRUTH == 25, TRUTH, 0)  # one cell is annotated, and nothing else
    assert suspects(sparse, ignored=np.where(sparse == 0, UNDRAWN, 0).astype(np.uint8)) == []
    wrong = sparse.copy()
    wrong[222:238, 212:232] = 99
    (only,) = suspects(wrong, ignored=np.where(wrong == 0, UNDRAWN, 0).astype(np.uint8))
    assert (only.kind, only.label) == (Doubt.not_there, 99)
    painted = np.full(TRUTH.shape, PAINTED, np.uint8)
    assert suspects(annotation, ignored=painted) == []


def test_nuclei_are_the_evidence_for_two_cells():
    """Where the network sees no line between two cells."""
    nuclei = np.where(PREDICTED > 0, PREDICTED, 0)
    flat = np.ones(TRUTH.shape, np.float32)
    annotation = np.where(TRUTH == 7, 6, TRUTH)
    assert find_suspects(annotation, PREDICTED, flat, flat) == []
    (only,) = find_suspects(annotation, PREDICTED, flat, flat, nuclei=nuclei)
    assert (only.kind, only.confidence) == (Doubt.seen_as_several, 1)


def test_large_numbers_and_nothing_at_all():
    (only,) = suspects(np.where(TRUTH == 8, 2**31 - 1, np.where(TRUTH == 9, 0, TRUTH)))
    assert only.kind is Doubt.not_annotated
    nothing = np.zeros(TRUTH.shape, np.int32)
    assert len(suspects(nothing)) == 30
    assert find_suspects(nothing, nothing, np.zeros(TRUTH.shape), np.zeros(TRUTH.shape)) == []
