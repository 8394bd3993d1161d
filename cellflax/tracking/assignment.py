"""Which cell of a frame becomes which of the next: sparse linear assignment with birth, death and division.

Jaqaman et al. 2008 (Nat Methods 5:695) augment the matrix of link costs so that every cell may also die or be born.
Here a parent with possible daughters has a second row, its division slot. Births need no rows of their own: the cost
of the birth that a link saves is subtracted from the link, which does not change the best assignment.
"""

from dataclasses import dataclass

import numpy as np

from cellflax.tracking.hypotheses import Hypotheses, solve_exactly
from cellflax.tracking.lookup import Lookup
from cellflax.tracking.matching import match

_EPSILON = 1e-9
_LINK = -1  # in place of a division


def assign(hypotheses: Hypotheses) -> np.ndarray:
    """Choose the hypotheses of least total cost, including births and deaths, so that no cell is in two.

    A division is one hypothesis on three cells, which a linear assignment cannot state. It is offered in two halves:
    the parent's row takes one daughter, its slot the other, and together they pay the division's cost. Where every
    parent has paid for what it got, the assignment is the optimum. Where halves of different divisions met, or one was
    taken alone, these parents and those that compete with them for children are solved again, exactly.

    Returns:
        (K, 2) parent and child, one row per link, two per division.
    """
    market = _Market(hypotheses)
    first, second = market.solve()
    taken = np.concatenate([market.rows.pair[first[first >= 0]], market.slots.pair[second[second >= 0]]])
    contested = market.underpaid(first, second)
    if not contested.any():
        return taken
    uses = hypotheses.uses()
    parents, children = uses[: hypotheses.n_parents], uses[hypotheses.n_parents :]
    wanted = children @ (contested @ parents)  # children that contested parents may have
    free = (parents @ (wanted @ children)) > 0  # parents that may have one of those
    settled = taken[~free[taken[:, 0]]]
    gone = np.zeros(hypotheses.n_children)
    gone[settled[:, 1]] = 1
    allowed = np.flatnonzero((free.astype(float) @ parents > 0) & (gone @ children == 0))
    return np.concatenate([settled, hypotheses.pairs(solve_exactly(hypotheses, allowed))])


@dataclass(frozen=True)
class _Prices:
    """What rows or slots pay.

    Attributes:
        pair: (P, 2) parent and child, none twice.
        price: (P,).
        division: (P,) division that the price is a part of; _LINK for a link.
    """

    pair: np.ndarray
    price: np.ndarray
    division: np.ndarray


class _Market:
    """Links and halves of divisions at their cheapest prices, in rows and slots of the augmented matrix."""

    def __init__(self, hypotheses: Hypotheses) -> None:
        self.hypotheses = hypotheses
        self.width = max(hypotheses.n_children, 1)
        divisions = hypotheses.divisions
        self.by_cells = Lookup(self._key(*divisions.T))
        links = Lookup(hypotheses.links[:, 0] * self.width + hypotheses.links[:, 1])

        pair = np.concatenate([divisions[:, [0, 1]], divisions[:, [0, 2]]])
        number, half = np.tile(np.arange(len(divisions)), 2), np.tile(hypotheses.division_cost / 2, 2)
        self.rows = self._cheapest(
            np.concatenate([hypotheses.links, pair]),
            np.concatenate([hypotheses.link_cost, half]),
            np.concatenate([np.full(len(hypotheses.links), _LINK), number]),
        )
        # The partner's row pays the cost of its link, or half the division's if that is less; the slot pays the rest.
        # It never pays less than the row would, so that no slot is taken while its row is free.
        partner = np.concatenate([divisions[:, 2], divisions[:, 1]])
        partner_link = np.append(hypotheses.link_cost, np.inf)[links.find(pair[:, 0] * self.width + partner)]
        self.slots = self._cheapest(pair, 2 * half - np.minimum(partner_link, half), number)

    def _cheapest(self, pair: np.ndarray, price: np.ndarray, division: np.ndarray) -> _Prices:
        key = pair[:, 0] * self.width + pair[:, 1]
        order = np.lexsort((division, price, key))  # a link before a half of the same price
        _, first = np.unique(key[order], return_index=True)
        best = order[first]
        return _Prices(pair[best], price[best], division[best])

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the prices that each parent's row and slot pay, (n_parents,) each; -1 for none."""
        n, rows, slots = self.hypotheses.n_parents, self.rows, self.slots
        with_slot, slot = np.unique(slots.pair[:, 0], return_inverse=True)
        pair_of = match(
            np.concatenate([rows.pair[:, 0], n + slot]),
            np.concatenate([rows.pair[:, 1], slots.pair[:, 1]]),
            np.concatenate([rows.price, slots.price]) - self.hypotheses.birth_cost,
            np.concatenate([np.full(n, self.hypotheses.death_cost), np.zeros(len(with_slot))]),
        )
        second = np.full(n, -1)
        second[with_slot] = np.where(pair_of[n:] >= 0, pair_of[n:] - len(rows.price), -1)
        return pair_of[:n], second

    def underpaid(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(n_parents,) bool: parents whose choice costs more than they paid."""
        alone = (first >= 0) & (second < 0) & (np.append(self.rows.division, _LINK)[first] != _LINK)
        (parent,) = np.nonzero(second >= 0)
        one, two = first[parent], second[parent]
        daughters = np.sort([self.rows.pair[one, 1], self.slots.pair[two, 1]], axis=0)
        bought = self.by_cells.find(self._key(parent, *daughters))
        cost = np.append(self.hypotheses.division_cost, np.inf)[bought]
        alone[parent] = self.rows.price[one] + self.slots.price[two] < cost - _EPSILON
        return alone

    def _key(self, parent: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (parent * self.width + a) * self.width + b
