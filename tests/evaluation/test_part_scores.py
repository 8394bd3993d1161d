"""Scores of a test part: by hand for drawn fields, by data set, and read back from their file."""

import json

import numpy as np
import pytest

from cellflax.data.example import Example
from cellflax.errors import UserError
from cellflax.evaluation.part_scores import PartScores, read_roc
from tests.evaluation.fields import PREDICTED, REFERENCE

NUCLEI = np.where(np.roll(REFERENCE, 1, axis=1) == REFERENCE, REFERENCE, 0)  # a part of every cell
COMPARTMENTS = ("nucleus", "cytoplasm", "background")
IMAGE = np.zeros((*REFERENCE.shape, 1), np.float32)


def probability(labels: np.ndarray, seed: int) -> np.ndarray:
    """Independent outputs whose foreground adds up to more than 1 in places."""
    rng = np.random.default_rng(seed)
    foreground = 0.8 * (labels > 0) + 0.15 * rng.random(labels.shape)
    return np.stack([rng.random(labels.shape), foreground, 1 - foreground], axis=-1).astype(np.float32)


def part() -> tuple[PartScores, dict[str, np.ndarray]]:
    """Image `b` is perfect; `a` is as drawn: Jaccard 4/8, 2/8 and 5/6, two pairs of three cells and two."""
    scores = PartScores(COMPARTMENTS)
    maps = {}
    for seed, (name, labels) in enumerate({"y/a": PREDICTED, "x/b": REFERENCE}.items()):
        example = Example(name, IMAGE, np.zeros(REFERENCE.shape, np.int8), REFERENCE, NUCLEI, data_set=name[0])
        maps[name] = probability(labels, seed)
        scores.add(example, labels, maps[name])
    return scores, maps


def auc(p: np.ndarray, truth: np.ndarray) -> float:
    """How often a foreground pixel has the higher probability, by all pairs."""
    difference = p[truth][:, None] - p[~truth][None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def test_scores_by_hand():
    scores, maps = part()
    dice = [2 / 3, 2 / 5, 10 / 11]
    summary = scores.summary()
    a, b, pooled = summary["data_sets"]["y"], summary["data_sets"]["x"], summary["pooled"]
    assert (a["images"], a["n_reference"], a["n_predicted"]) == (1, 3, 2)
    assert a["sm_outlines"] == pytest.approx(np.mean(dice))
    assert a["sm_detection"] == pytest.approx(2 * 2 / 5)
    assert a["sm"] == pytest.approx(0.6 * np.mean(dice) + 0.4 * 4 / 5)
    assert a["f1"] == pytest.approx(2 * 2 / 5)
    assert b["sm"] == b["f1"] == b["dice_index"] == 1
    assert summary["images"]["y/a"] == {"data_set": "y", **a}
    # Pooled cell by cell, which is no mean over the images.
    assert pooled["dice_index"] == pooled["sm_outlines"] == pytest.approx(np.mean([*dice, 1, 1, 1]))
    assert pooled["jaccard_index"] == pytest.approx(np.mean([4 / 8, 2 / 8, 5 / 6, 1, 1, 1]))
    assert pooled["sm_detection"] == pytest.approx(2 * 5 / 11)
    assert pooled["image_level_sm"] == pytest.approx((a["sm"] + 1) / 2)
    assert (pooled["images"], pooled["n_reference"], pooled["n_predicted"]) == (2, 6, 5)
    for target, classes, truth in (("cells", [0, 1], REFERENCE > 0), ("nuclei", [0], NUCLEI > 0)):
        p = {name: np.minimum(m[..., classes].sum(-1), 1) for name, m in maps.items()}
        both, truths = np.stack(list(p.values())), np.stack([truth] * 2)
        assert pooled[f"{target}_auc"] == pytest.approx(auc(both, truths), abs=1e-4)
        assert pooled[f"{target}_acc"] == pytest.approx(np.mean((both >= 0.5) == truths))
        assert a[f"{target}_auc"] == pytest.approx(auc(p["y/a"], truth), abs=1e-4)


def test_cells_without_a_nucleus_are_left_out():
    scores = PartScores(COMPARTMENTS)
    nuclei = np.where(REFERENCE == 3, NUCLEI, 0)
    example = Example("y/a", IMAGE, np.zeros(REFERENCE.shape, np.int8), REFERENCE, nuclei, data_set="y")
    scores.add(example, PREDICTED, probability(PREDICTED, 0))
    found = scores.pooled()
    assert (found["n_reference"], found["n_predicted"]) == (3, 2)
    assert found["sm_outlines"] == found["dice_index"] == pytest.approx(10 / 11)
    assert found["sm_detection"] == 1  # the cell that stands for cell 1, which does not count, is not spurious


def test_file(tmp_path):
    scores, _ = part()
    scores.save(tmp_path, {"step": 7})
    assert json.loads((tmp_path / "test.json").read_text()) == {"step": 7, **scores.summary()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.json", "test_roc.npz"]
    again = read_roc(tmp_path)
    assert list(again) == ["cells", "nuclei"]
    for target, counts in scores.roc().items():
        np.testing.assert_array_equal(again[target].positive, counts.positive)
        np.testing.assert_array_equal(again[target].negative, counts.negative)


def test_without_nuclei():
    scores = PartScores(("edge", "interior", "background"))
    example = Example("a", IMAGE, np.zeros(REFERENCE.shape, np.int8), REFERENCE, NUCLEI)
    scores.add(example, np.zeros_like(REFERENCE), probability(REFERENCE, 0))
    pooled = scores.pooled()
    assert [name for name in pooled if name.endswith("auc")] == ["cells_auc"]
    assert (pooled["sm"], pooled["f1"], pooled["n_predicted"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "test_roc.npz cannot be read; score again"),
        (lambda path: path.write_bytes(b"PK\x03\x04 torn"), "test_roc.npz cannot be read"),
        (lambda path: path.write_bytes(b""), "test_roc.npz cannot be read"),
        (lambda path: np.savez(path, cells_positive=np.ones(3)), "test_roc.npz cannot be read"),
        (lambda path: np.savez(path, cells_positive=np.array([{}]), cells_negative=np.ones(3)), "cannot be read"),
        (lambda path: np.savez(path, cells_positive=np.ones(3), cells_negative=np.ones(3)), "holds no counts"),
        (
            lambda path: np.savez(path, cells_positive=np.ones(3, int), cells_negative=np.ones(3, int)),
            "is of another version",
        ),
    ],
)
def test_damaged_counts(tmp_path, write, message):
    write(tmp_path / "test_roc.npz")
    with pytest.raises(UserError, match=message) as error:
        read_roc(tmp_path)
    assert "\n" not in str(error.value)
