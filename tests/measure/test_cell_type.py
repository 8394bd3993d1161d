"""The classification score against loops over cells and classes."""

import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.measure.cell_type import cell_type_names, cell_types

NAMES = ("edge", "interior_a", "interior_b", "interior_c", "background")


def test_score_against_brute_force():
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 2, 3, 9, 40], size=(30, 20))  # gaps, and cells in many pieces
    probability = rng.dirichlet([0.3] * 5, labels.shape).astype(np.float32)
    table = cell_types(labels, probability, NAMES)
    assert list(table) == ["label", "cell_type", "score_a", "score_b", "score_c"]
    assert list(table["label"]) == [2, 3, 9, 40]
    for row in table.to_dict("records"):
        sums = {name: 0.0 for name in "abc"}
        for y, x in np.argwhere(labels == row["label"]):
            for k, name in ((1, "a"), (2, "b"), (3, "c")):
                sums[name] += float(probability[y, x, k])
        for name, value in sums.items():
            assert row[f"score_{name}"] == pytest.approx(value / sum(sums.values()))
        assert row["cell_type"] == max(sums, key=lambda name: sums[name])


def test_edge_and_background_do_not_count():
    """A cell that is mostly edge and background is as sure of its type as one that is all interior."""
    labels = np.array([[1, 1, 2, 2]])
    probability = np.zeros((1, 4, 4))
    probability[0, :2] = [0.6, 0.03, 0.01, 0.36]
    probability[0, 2:] = [0.0, 0.25, 0.75, 0.0]
    table = cell_types(labels, probability, ("edge", "interior_x", "interior_y", "background"))
    np.testing.assert_allclose(table[["score_x", "score_y"]], [[0.75, 0.25], [0.25, 0.75]])
    assert list(table["cell_type"]) == ["x", "y"]


def test_cell_without_interior_probability_is_undetermined():
    labels = np.array([[1, 1, 0, 2]])
    probability = np.zeros((1, 4, 5))
    probability[0, 3, 2] = 1e-30
    table = cell_types(labels, probability, NAMES)
    assert list(table["cell_type"]) == ["undetermined", "b"]
    np.testing.assert_allclose(table.filter(like="score_"), [[1 / 3] * 3, [0, 1, 0]])


def test_no_cell_gives_the_same_columns_and_types():
    labels, probability = np.zeros((3, 4), np.int32), np.full((3, 4, 5), 0.2)
    empty = cell_types(labels, probability, NAMES)
    labels[1, 1] = 1
    pd.testing.assert_series_equal(empty.dtypes, cell_types(labels, probability, NAMES).dtypes)
    assert empty.empty


def test_names():
    assert cell_type_names(NAMES) == ["a", "b", "c"]
    assert cell_type_names(("edge", "interior", "background")) == []


@pytest.mark.parametrize(
    ("shape", "names", "message"),
    [
        ((3, 4, 3), ("edge", "interior", "background"), "two or more classes interior_..., got edge, interior, "),
        ((3, 4, 3), ("edge", "interior_a", "background"), "two or more classes interior_..."),
        ((3, 4, 4), NAMES, r"shape \(3, 4, 4\), but the cells are \(3, 4\) and the classes are 5"),
        ((4, 3, 5), NAMES, r"shape \(4, 3, 5\), but the cells are \(3, 4\)"),
    ],
)
def test_mistakes(shape, names, message):
    with pytest.raises(UserError, match=message):
        cell_types(np.ones((3, 4), np.int32), np.zeros(shape), names)
