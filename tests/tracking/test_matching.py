import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cellflax.tracking import matching
from cellflax.tracking.matching import match


@pytest.mark.parametrize("chunk", [1, 7, 256])
@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_of_random_problems(seed, chunk, monkeypatch):
    monkeypatch.setattr(matching, "_CHUNK_ROWS", chunk)
    rng = np.random.default_rng(seed)
    n, m = 40, rng.integers(20, 60)
    rows, columns = np.nonzero(rng.random((n, m)) < (0.03, 0.3)[seed % 2])
    shuffled = rng.permutation(len(rows))
    rows, columns = rows[shuffled], columns[shuffled]
    cost, idle = rng.normal(0, 1, len(rows)), rng.uniform(0, 1, n)
    dense = np.full((n, m + n), 1e6)
    dense[rows, columns] = cost
    dense[np.arange(n), m + np.arange(n)] = idle

    chosen = match(rows, columns, cost, idle)
    busy = chosen[chosen >= 0]
    np.testing.assert_array_equal(rows[busy], np.flatnonzero(chosen >= 0))
    assert len(set(columns[busy])) == len(busy)
    total = cost[busy].sum() + idle[chosen < 0].sum()
    assert total == pytest.approx(dense[linear_sum_assignment(dense)].sum())


def test_the_total_counts():
    # Row 0 would take column 5 for nothing, but then row 1 would stay idle.
    pairs = match(np.array([0, 0, 1]), np.array([5, 7, 5]), np.array([0.0, 0.2, 0.1]), np.array([1.0, 1.0]))
    assert pairs.tolist() == [1, 2]


def test_idle_rows():
    nothing = np.zeros(0, np.int64)
    assert match(np.array([0]), np.array([0]), np.array([2.0]), np.array([1.0])).tolist() == [-1]
    assert match(nothing, nothing, np.zeros(0), np.ones(3)).tolist() == [-1, -1, -1]
    assert match(nothing, nothing, np.zeros(0), np.zeros(0)).tolist() == []
