"""F-scores and SM of `evaluate`, against the reference and further ones."""

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.evaluate import evaluate
from tests.evaluation.fields import PREDICTED, REFERENCE, config, write, write_fields


@pytest.fixture
def folders(tmp_path):
    return write_fields(tmp_path)


def test_f_scores_and_sm(folders):
    """Cell 2 of `a` is left alone: its only overlap, 5, stands for cell 1."""
    metrics = evaluate(config(folders, sm_k=0.25, sm_min_jaccard=0.55))
    table = pd.read_csv(folders / "out" / "per_cell.csv")
    assert list(table["partner_label"]) == [5, 0, 7, 1, 2, 3]
    assert list(table["f_score"]) == pytest.approx([8 / 12, 0, 10 / 11, 1, 1, 1])
    assert list(table["sm_pair"]) == [False, False, True, True, True, True]  # the Jaccard index of 1 and 5 is 1/2
    a, pooled = metrics["images"]["a"], metrics["pooled"]
    assert (a["share_f_0.6"], pooled["share_f_0.6"]) == pytest.approx((2 / 3, 5 / 6))
    assert pooled["f_score_area"] == pytest.approx((8 / 12 + 10 / 11 + 3) / 6)
    outlines = (8 / 12 + 4 / 10 + 10 / 11) / 3
    assert (a["sm_outlines"], a["sm_detection"]) == pytest.approx((outlines, 2 / 5))
    assert a["sm"] == pytest.approx(0.25 * outlines + 0.75 * 2 / 5)
    assert pooled["sm"] == pytest.approx(0.25 * (outlines + 1) / 2 + 0.75 * 8 / 11)
    assert metrics["image_level"]["sm"] == pytest.approx((a["sm"] + 1) / 2)
    curve = pd.read_csv(folders / "out" / "f_score_curve.csv").set_index("f_score")
    assert set(curve["reference"]) == {"reference"}
    assert curve.loc[[0, 0.6, 0.7, 1], "share"].tolist() == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6])
    assert curve.loc[0.7, "image_minimum"] == pytest.approx(1 / 3)
    assert matplotlib.image.imread(folders / "out" / "f_score.png").ndim == 3


def test_further_references_may_hold_a_part_of_the_images(folders):
    write(folders / "manual" / "a.tif", np.where(PREDICTED == 5, 3, 0))
    write(folders / "manual" / "unseen.tif", REFERENCE)
    references = {"manual": str(folders / "manual"), "same": str(folders / "reference")}
    metrics = evaluate(config(folders, references=references))
    manual, same = metrics["references"]["manual"], metrics["references"]["same"]
    assert manual == {
        "n_images": 1, "n_reference": 2, "share_f_0.6": 0.5, "f_score_area": pytest.approx(4 / 5 / 2),
        "images": {"a": {"share_f_0.6": 0.5, "f_score_area": pytest.approx(4 / 5 / 2)}},
    }  # fmt: skip
    assert same["f_score_area"] == metrics["pooled"]["f_score_area"]
    curve = pd.read_csv(folders / "out" / "f_score_curve.csv")
    assert list(curve["reference"].unique()) == ["reference", "manual", "same"]


def empty_manual(folders):
    write(folders / "manual" / "a.tif", np.zeros_like(REFERENCE))


def manual_of_others(folders):
    write(folders / "manual" / "x.tif", REFERENCE)
    write(folders / "manual" / "y.tif", REFERENCE)


def unchanged(folders):
    pass


@pytest.mark.parametrize(
    ("spoil", "folder", "message"),
    [
        (empty_manual, "manual", "references.manual={}/manual: no cells inside the border"),
        (manual_of_others, "manual", "references.manual={}/manual: has no file named a"),
        (unchanged, "nowhere", "nowhere"),
    ],
)
def test_references_that_cannot_be_used(folders, spoil, folder, message):
    spoil(folders)
    with pytest.raises(UserError) as caught:
        evaluate(config(folders, references={"manual": str(folders / folder)}))
    assert message.format(folders) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folders / "out" / "metrics.json").exists()
