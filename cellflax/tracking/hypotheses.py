"""What may have happened to the cells between two frames, and the exact search for the best explanation."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp


@dataclass(frozen=True)
class Hypotheses:
    """Possible links and divisions, with costs in any unit; cells without one have died or were born.

    Attributes:
        links: (L, 2) parent and child; no pair comes twice.
        link_cost: (L,).
        divisions: (D, 3) parent and two daughters, in ascending order; no triple comes twice.
        division_cost: (D,).
        n_parents: number of cells in the first frame.
        n_children: number of cells in the second.
        birth_cost: cost of a child without a parent.
        death_cost: cost of a parent without a child, above 0.
    """

    links: np.ndarray
    link_cost: np.ndarray
    divisions: np.ndarray
    division_cost: np.ndarray
    n_parents: int
    n_children: int
    birth_cost: float
    death_cost: float

    def uses(self) -> sparse.csr_array:
        """Which cells each hypothesis is about, links first: (parents and then children, L + D), 0 or 1."""
        cells = [self.links[:, 0], self.divisions[:, 0]]
        children = [self.links[:, 1], self.divisions[:, 1], self.divisions[:, 2]]
        links, divisions = np.split(np.arange(len(self.links) + len(self.divisions)), [len(self.links)])
        row = np.concatenate([*cells, *(self.n_parents + child for child in children)])
        column = np.concatenate([links, divisions, links, divisions, divisions])
        shape = (self.n_parents + self.n_children, len(links) + len(divisions))
        return sparse.csr_array((np.ones(len(row)), (row, column)), shape=shape)

    def savings(self) -> np.ndarray:
        """Cost that each hypothesis saves over deaths and births, (L + D,), links first."""
        links = self.death_cost + self.birth_cost - self.link_cost
        return np.concatenate([links, self.death_cost + 2 * self.birth_cost - self.division_cost])

    def pairs(self, chosen: np.ndarray) -> np.ndarray:
        """(K, 2) parents and children of the hypotheses with these numbers, two rows per division."""
        links = self.links[chosen[chosen < len(self.links)]]
        divisions = self.divisions[chosen[chosen >= len(self.links)] - len(self.links)]
        return np.concatenate([links, divisions[:, [0, 1]], divisions[:, [0, 2]]])


def solve_exactly(hypotheses: Hypotheses, allowed: np.ndarray) -> np.ndarray:
    """Choose from some hypotheses those of least total cost, with no cell in two, by integer programming.

    Groups of hypotheses that share no cell are solved one by one: the time of integer programming grows fast with
    the size of a problem.

    Args:
        hypotheses: all.
        allowed: (A,) numbers of those to choose from, links first.

    Returns:
        Numbers of the chosen.
    """
    uses, savings = hypotheses.uses()[:, allowed], hypotheses.savings()[allowed]
    _, group = sparse.csgraph.connected_components(uses.T @ uses, directed=False)
    order = np.argsort(group, kind="stable")
    chosen = [np.zeros(0, np.int64)]
    for members in np.split(order, np.cumsum(np.bincount(group))[:-1]) if len(group) else []:
        part = uses[:, members]
        part = part[np.flatnonzero(part.sum(axis=1) > 1)]  # only cells in several hypotheses need a constraint
        constraints = LinearConstraint(part, ub=1) if part.shape[0] else ()
        found = milp(-savings[members], constraints=constraints, bounds=Bounds(0, 1), integrality=np.ones(len(members)))
        chosen.append(allowed[members[found.x > 0.5]])
    return np.concatenate(chosen)
