"""The assignment against the exact optimum of the same hypotheses, by integer programming."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from cellflax.tracking.assignment import assign
from cellflax.tracking.hypotheses import Hypotheses


def _random(seed, n=12, m=16):
    """Hypotheses of cells that compete for each other's children."""
    rng = np.random.default_rng(seed)
    links = np.argwhere(rng.random((n, m)) < 0.3)
    divisions = [
        (parent, a, b)
        for parent in range(n)
        for a in links[links[:, 0] == parent, 1]
        for b in links[links[:, 0] == parent, 1]
        if a < b and rng.random() < 0.6
    ]
    divisions = np.array(divisions, np.int64).reshape(-1, 3)
    return Hypotheses(
        links, rng.uniform(0, 1, len(links)), divisions, rng.uniform(0.2, 1.4, len(divisions)), n, m, 0.5, 0.4
    )


def _cost(h, pairs):
    """Cost of an assignment by its definition; fails if it is none."""
    links = {tuple(pair): cost for pair, cost in zip(h.links.tolist(), h.link_cost, strict=True)}
    divisions = {tuple(cells): cost for cells, cost in zip(h.divisions.tolist(), h.division_cost, strict=True)}
    children = pairs[:, 1].tolist()
    assert len(set(children)) == len(children)
    total = h.birth_cost * (h.n_children - len(children))
    for parent in range(h.n_parents):
        mine = sorted(pairs[pairs[:, 0] == parent, 1].tolist())
        total += [h.death_cost, links.get((parent, *mine)), divisions.get((parent, *mine))][len(mine)]
    return total


def _optimum(h):
    cells = [(p, h.n_parents + c) for p, c in h.links] + [
        (p, h.n_parents + a, h.n_parents + b) for p, a, b in h.divisions
    ]
    saved = np.array([h.death_cost + h.birth_cost * (len(c) - 1) for c in cells]) - np.concatenate(
        [h.link_cost, h.division_cost]
    )
    column = np.repeat(np.arange(len(cells)), [len(c) for c in cells])
    uses = sparse.coo_array((np.ones(len(column)), (np.concatenate(cells), column)))
    found = milp(-saved, constraints=LinearConstraint(uses, ub=1), bounds=Bounds(0, 1), integrality=np.ones(len(cells)))
    return h.n_parents * h.death_cost + h.n_children * h.birth_cost + found.fun


def test_at_or_near_the_optimum():
    """Far more contested than cells ever are: random costs, and every cell wanted by many."""
    gaps = np.array([_cost(h, assign(h)) / _optimum(h) - 1 for h in map(_random, range(60))])
    assert gaps.min() > -1e-9
    assert np.mean(gaps < 1e-9) > 0.95
    assert gaps.max() < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_without_divisions_it_is_the_optimum(seed):
    h = _random(seed)
    h = Hypotheses(h.links, h.link_cost, h.divisions[:0], h.division_cost[:0], h.n_parents, h.n_children, 0.5, 0.4)
    assert _cost(h, assign(h)) == pytest.approx(_optimum(h))


@pytest.mark.parametrize(
    ("division_cost", "expected"),
    [(0.5, [(0, 0), (0, 1)]), (0.7, [(0, 0)])],  # against a link of 0.15 and a birth of 0.5
)
def test_a_division_competes_with_a_link_and_a_birth(division_cost, expected):
    links, divisions = np.array([[0, 0], [0, 1]]), np.array([[0, 0, 1]])
    h = Hypotheses(links, np.array([0.15, 0.9]), divisions, np.array([division_cost]), 1, 2, 0.5, 0.5)
    assert sorted(map(tuple, assign(h))) == expected


def test_nobody_there():
    nothing = np.zeros((0, 2), np.int64), np.zeros(0), np.zeros((0, 3), np.int64), np.zeros(0)
    for n, m in ((0, 3), (3, 0), (0, 0)):
        assert len(assign(Hypotheses(*nothing, n, m, 0.5, 0.5))) == 0
