"""Coordinate search over lists of candidates: one setting after the other, until none gives more."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Position = tuple[int, ...]

_DIGITS = 9  # scores that agree in these are equal
_COARSE = 9  # of a longer list, the first round tries every other value


@dataclass(frozen=True)
class Axis:
    """One setting.

    Attributes:
        name: its name.
        values: candidates in their order, the first value among them.
        start: index of the first value.
    """

    name: str
    values: tuple[Any, ...]
    start: int

    @classmethod
    def of(cls, name: str, candidates: Sequence[Any], start: Any) -> "Axis":
        """Candidates with the first value in its place; those that have no order keep theirs, the first value last."""
        values = list(candidates)
        if start not in values:
            values.append(start)
            if isinstance(start, int | float):
                values.sort()
        return cls(name, tuple(values), values.index(start))


@dataclass(frozen=True)
class Trial:
    """One choice of settings that was tried.

    Attributes:
        position: index of the value on each axis.
        score: larger is better.
        accepted: whether the search went on from it.
    """

    position: Position
    score: float
    accepted: bool


def settings_at(axes: Sequence[Axis], position: Position) -> dict[str, Any]:
    """The values of a position by their names."""
    return {axis.name: axis.values[at] for axis, at in zip(axes, position, strict=True)}


def rank(axes: Sequence[Axis], position: Position, score: float) -> tuple[float, int]:
    """Sort key of a trial: the higher score, and of equal ones the position nearest to the start."""
    return round(score, _DIGITS), -sum(abs(at - axis.start) for axis, at in zip(axes, position, strict=True))


def coordinate_search(
    axes: Sequence[Axis], score: Callable[[list[Position]], list[float]], evaluations: int
) -> list[Trial]:
    """Make a score large, one axis after the other.

    The first round tries all candidates of each axis (of long lists, every other), those nearest to the present value
    first. The later rounds try the neighbours of the present values, until a round changes nothing or the evaluations
    are used up. A position is never scored twice. The result depends on the scores alone.

    Args:
        axes: the settings, the one that matters most first.
        score: scores of some positions, larger is better; positions that make no sense are -inf.
        evaluations: largest number of positions that are scored, the start included.

    Returns:
        All that was tried, in order, the start first.
    """
    current = tuple(axis.start for axis in axes)
    scores = {current: score([current])[0]}
    accepted = {current}
    for round_number in itertools.count():
        before = current
        for i, axis in enumerate(axes):
            line = [(*current[:i], at, *current[i + 1 :]) for at in _candidates(axis, current[i], round_number)]
            fresh = [position for position in line if position not in scores][: evaluations - len(scores)]
            scores |= zip(fresh, score(fresh) if fresh else [], strict=True)
            known = [position for position in line if position in scores]
            current = max([current, *known], key=lambda position: rank(axes, position, scores[position]))
            accepted.add(current)
        if len(scores) >= evaluations or (round_number > 0 and current == before):
            return [Trial(position, value, position in accepted) for position, value in scores.items()]
    raise AssertionError("rounds do not end")


def _candidates(axis: Axis, at: int, round_number: int) -> list[int]:
    """Indices to try on an axis, those nearest to the present one first."""
    if round_number == 0:
        step = 2 if len(axis.values) > _COARSE else 1
        others = [i for i in range(len(axis.values)) if i != at and (i - at) % step == 0]
    else:
        others = [i for i in (at - 1, at + 1) if 0 <= i < len(axis.values)]
    return sorted(others, key=lambda i: (abs(i - at), i))
