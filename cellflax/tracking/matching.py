"""Sparse linear assignment whose time grows with the number of pairs, if few rows want the same columns."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

_SMALLEST = 1e-3  # all costs are shifted to it or above: a sparse matrix would drop zeros
_CHUNK_ROWS = 256  # per call: each row that has to be moved costs the solver a pass over all columns


def match(rows: np.ndarray, columns: np.ndarray, cost: np.ndarray, idle_cost: np.ndarray) -> np.ndarray:
    """Give each row at most one column, and each column at most one row, at the least total cost.

    Every row begins as a group of its own and takes what is best for it. Groups that claim the same column become one
    and are solved again, with all columns to choose from, until no column is claimed twice. Each group then has the
    best that it could have without the others, so that the whole is the optimum.

    Args:
        rows: (E,) row of each possible pair, 0 ... R - 1.
        columns: (E,) its column, 0 ... C - 1; no pair comes twice.
        cost: (E,) cost of the pair; may be negative.
        idle_cost: (R,) cost of a row without a column.

    Returns:
        (R,) index of each row's pair, -1 where it has no column.
    """
    n_rows, n_columns = len(idle_cost), int(columns.max(initial=-1)) + 1
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], np.arange(n_rows + 1))
    group, chosen, again = np.arange(n_rows), np.full(n_rows, -1), np.arange(n_rows)
    while len(again):
        for some in _chunks(again, group):
            n_pairs = np.diff(first)[some]
            start = np.repeat(first[some] - np.cumsum(n_pairs) + n_pairs, n_pairs)
            pairs = order[start + np.arange(n_pairs.sum())]
            row = np.repeat(np.arange(len(some)), n_pairs)
            _, column = np.unique(group[some][row] * n_columns + columns[pairs], return_inverse=True)
            taken = _solve(row, column, cost[pairs], idle_cost[some])
            chosen[some] = np.append(pairs, -1)[taken]
        group, again = _merge(group, chosen, columns, n_columns)
    return chosen


def _chunks(rows: np.ndarray, group: np.ndarray) -> list[np.ndarray]:
    """Split rows into parts of about _CHUNK_ROWS, with no group in two parts."""
    rows = rows[np.argsort(group[rows], kind="stable")]
    begins = np.flatnonzero(np.append(True, np.diff(group[rows]) != 0))
    part = begins // _CHUNK_ROWS
    return np.split(rows, begins[1:][np.diff(part) > 0])


def _solve(rows: np.ndarray, columns: np.ndarray, cost: np.ndarray, idle_cost: np.ndarray) -> np.ndarray:
    """Like `match`, in one call: every row also has a column of its own that leaves it idle."""
    n_rows, n_columns = len(idle_cost), int(columns.max(initial=-1)) + 1
    own = np.arange(n_rows)
    values = np.concatenate([cost, idle_cost])
    where = np.concatenate([rows, own]), np.concatenate([columns, n_columns + own])
    matrix = sparse.coo_array((values - values.min() + _SMALLEST, where), shape=(n_rows, n_columns + n_rows))
    matched, column_of_matched = min_weight_full_bipartite_matching(matrix.tocsr())
    column_of = np.empty(n_rows, np.int64)
    column_of[matched] = column_of_matched
    taken = np.flatnonzero(columns == column_of[rows])
    pair_of = np.full(n_rows, -1)
    pair_of[rows[taken]] = taken
    return pair_of


def _merge(group: np.ndarray, chosen: np.ndarray, columns: np.ndarray, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Join the groups that claim the same column; returns the groups, and the rows of those that have grown."""
    (busy,) = np.nonzero(chosen >= 0)
    column = columns[chosen[busy]]
    clashes = np.bincount(column, minlength=n_columns)[column] > 1
    busy, column = busy[clashes], column[clashes]
    n = len(group) + n_columns
    claims = sparse.coo_array((np.ones(len(busy)), (group[busy], len(group) + column)), shape=(n, n))
    _, joined = connected_components(claims, directed=False)
    joined = joined[group]
    grown = np.isin(joined, joined[busy])
    return np.unique(joined, return_inverse=True)[1], np.flatnonzero(grown)
