"""Ranges of settings: every configuration refuses impossible values here, in one wording.

    def __post_init__(self):
        check(self, "optimizer", above(0), "learning_rate", "clip_norm")
        check(self, "optimizer", above(0, at_most=1), "decay")

A setting whose type allows null may be null. NaN and infinity are in no range.
"""

import dataclasses
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cellflax.errors import UserError


@dataclass(frozen=True)
class Range:
    """An interval of numbers.

    Attributes:
        low: lower end.
        high: upper end; infinite if there is none.
        with_low: whether `low` itself is allowed.
        with_high: whether `high` itself is allowed.
        remainder: allowed remainder of the (whole) number when divided by 2: 1 for odd, 0 for even numbers, None for
            all.
    """

    low: float
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True
    remainder: int | None = None

    def __contains__(self, value: float) -> bool:
        """Whether the number is finite and in the range."""
        above_low = value >= self.low if self.with_low else value > self.low
        below_high = value <= self.high if self.with_high else value < self.high
        return (
            math.isfinite(value)
            and above_low
            and below_high
            and (self.remainder is None or value % 2 == self.remainder)
        )

    def __str__(self) -> str:
        """The range in words, as they follow "must be"."""
        if math.isfinite(self.high):
            words = f"in {'[' if self.with_low else '('}{self.low}, {self.high}{']' if self.with_high else ')'}"
        else:
            words = f"{self.low} or more" if self.with_low else f"above {self.low}"
        return words if self.remainder is None else f"{('even', 'odd')[self.remainder]} and {words}"


@dataclass(frozen=True)
class Choice:
    """A few numbers, of which a setting takes one."""

    values: tuple[int, ...]

    def __contains__(self, value: float) -> bool:
        """Whether it is one of the numbers."""
        return value in self.values

    def __str__(self) -> str:
        """The numbers in words, as they follow "must be"."""
        return f"{', '.join(map(str, self.values[:-1]))} or {self.values[-1]}"


def above(low: float, *, below: float = math.inf, at_most: float | None = None) -> Range:
    """Numbers above `low`, and below or at most another one."""
    return Range(low, below if at_most is None else at_most, with_low=False, with_high=at_most is not None)


def at_least(low: float, *, below: float = math.inf) -> Range:
    """`low` and the numbers above it, up to but excluding another one."""
    return Range(low, below, with_high=False)


def within(low: float, high: float) -> Range:
    """Numbers from `low` to `high`, both included."""
    return Range(low, high)


def odd(low: int) -> Range:
    """Odd numbers from `low` on."""
    return Range(low, remainder=1)


def even(low: int) -> Range:
    """Even numbers from `low` on."""
    return Range(low, remainder=0)


def one_of(*values: int) -> Choice:
    """Two or more numbers and no other."""
    return Choice(values)


def check(config: Any, group: str, allowed: Range | Choice, *names: str) -> None:
    """Refuse settings that are outside of their range.

    Args:
        config: a dataclass. Of a list, every value must be in the range; null passes where the field's type allows it.
        group: where its settings stand, for the message ("optimizer"); empty for those of a command itself.
        allowed: where the settings must be.
        names: names of the settings.

    Raises:
        UserError: naming the first wrong setting, its range and its value.
    """
    types = {field.name: field.type for field in dataclasses.fields(config)}
    for name in names:
        value = getattr(config, name)
        optional = type(None) in typing.get_args(types[name])
        if value is not None or not optional:
            check_value(f"{group}.{name}" if group else name, value, allowed, ", or null" if optional else "")


def check_value(key: str, value: Any, allowed: Range | Choice, otherwise: str = "") -> None:
    """Refuse a single value, or a list with such a value, that is outside of its range.

    Args:
        key: the setting's full name.
        value: a number, or a list of numbers.
        allowed: where each number must be.
        otherwise: what else the setting may be, for the message.

    Raises:
        UserError: naming the setting, its range and its value.
    """
    several = isinstance(value, Sequence)
    numbers: list[Any] = list(value) if several else [value]
    for number in numbers:
        if number is None or number not in allowed:
            subject = f"every value of {key}" if several else key
            shown = numbers if several else number
            raise UserError(f"{subject} must be {allowed}{_finite(allowed, number)}{otherwise}, got {shown}")


def _finite(allowed: Range | Choice, number: float | None) -> str:
    """The words to add to a range without an upper end for a number that is not finite."""
    is_open = isinstance(allowed, Range) and math.isinf(allowed.high)
    return " and finite" if is_open and number is not None and not math.isfinite(number) else ""
