"""Ranges of settings: what is refused, in which words, and that every number of every configuration is checked."""

import dataclasses
import importlib
import math
import pkgutil
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

import cellflax
from cellflax.checks import Choice, Range, above, at_least, check, even, odd, one_of, within
from cellflax.data.coculture import CellLine
from cellflax.errors import UserError
from cellflax.models.padded import PaddedConfig
from cellflax.models.patch_net import Stage
from cellflax.models.unet import UpLevel
from cellflax.schemas import field_types
from cellflax.simulation.brightfield import BrightfieldConfig
from cellflax.simulation.wells import WellConfig


@dataclass
class Toy:
    size: float | None = 1
    widths: list[float] = field(default_factory=lambda: [1])
    depth: int = 1


@pytest.mark.parametrize(
    ("allowed", "words", "inside", "outside"),
    [
        (above(0), "above 0", (1e-300, 7), (0, -1, math.nan, math.inf)),
        (at_least(0), "0 or more", (0, 0.0, 5), (-1e-300, math.nan, math.inf)),
        (within(1, 2), "in [1, 2]", (1, 1.5, 2), (0.999, 2.001, math.nan, -math.inf)),
        (above(0, below=1), "in (0, 1)", (0.5,), (0, 1, math.nan)),
        (above(0, at_most=1), "in (0, 1]", (0.5, 1), (0, 1.01, math.nan)),
        (at_least(0, below=1), "in [0, 1)", (0, 0.5), (-0.1, 1, math.nan)),
        (odd(3), "odd and 3 or more", (3, 61), (1, 4, math.nan, math.inf)),
        (even(8), "even and 8 or more", (8, 128), (6, 9, math.nan, math.inf)),
        (one_of(1, 4, 8), "1, 4 or 8", (1, 4, 8), (0, 2, 9, math.nan)),
    ],
    ids=str,
)
def test_a_range_says_what_it_holds(
    allowed: Range | Choice, words: str, inside: tuple[float, ...], outside: tuple[float, ...]
):
    assert str(allowed) == words
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)


def check_toy(toy: Toy) -> None:
    check(toy, "toy", above(0), "size")
    check(toy, "toy", at_least(1), "widths")
    check(toy, "toy", within(1, 3), "depth")


@pytest.mark.parametrize(
    ("toy", "line"),
    [
        (Toy(size=-1), "toy.size must be above 0, or null, got -1"),
        (Toy(size=math.nan), "toy.size must be above 0 and finite, or null, got nan"),
        (Toy(size=math.inf), "toy.size must be above 0 and finite, or null, got inf"),
        (Toy(widths=[1, 0.5]), "every value of toy.widths must be 1 or more, got [1, 0.5]"),
        (Toy(widths=[math.nan]), "every value of toy.widths must be 1 or more and finite, got [nan]"),
        (Toy(depth=4), "toy.depth must be in [1, 3], got 4"),
        (Toy(depth=None), "toy.depth must be in [1, 3], got None"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_the_line_names_the_setting_its_range_and_its_value(toy: Toy, line: str):
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        check_toy(toy)


def test_null_passes_where_the_type_allows_it_and_a_command_has_no_group():
    check(Toy(size=None), "toy", above(0), "size")
    with pytest.raises(UserError, match=r"^depth must be 2 or more, got 1$"):
        check(Toy(), "", at_least(2), "depth")


# Abstract, or checked by the configuration that holds them.
NOT_ALONE = {PaddedConfig, Stage, UpLevel, WellConfig}


def configurations() -> list[type]:
    """Every dataclass of the package that holds settings."""
    found = {CellLine}
    for module in pkgutil.walk_packages(cellflax.__path__, "cellflax."):
        if not module.name.endswith("__main__"):
            found |= {
                value
                for name, value in vars(importlib.import_module(module.name)).items()
                if name.endswith(("Config", "Data", "Options"))
                and dataclasses.is_dataclass(value)
                and _has_defaults(value)  # others are inputs, not settings
            }
    return sorted(found - NOT_ALONE, key=lambda schema: f"{schema.__module__}.{schema.__name__}")


def _has_defaults(schema: Any) -> bool:
    missing = dataclasses.MISSING
    return all(f.default is not missing or f.default_factory is not missing for f in dataclasses.fields(schema))


def numbers(schema: type) -> list[tuple[str, Any]]:
    """Settings that hold numbers, each with NaN and with infinity."""
    cases: list[tuple[str, Any]] = []
    for name, hint in field_types(schema).items():
        if hint in (int, float, int | None, float | None):
            cases += [(name, math.nan), (name, math.inf), (name, -math.inf)]
        elif hint in (list[int], list[float]):
            cases += [(name, [math.nan]), (name, [math.inf])]
    return cases


CONFIGURATIONS = configurations()


def test_the_configurations_are_found():
    names = {schema.__name__ for schema in CONFIGURATIONS}
    assert {"TrainConfig", "LinkConfig", "MigrationConfig", "UNetConfig", "PredictConfig", "FolderData"} <= names
    assert len(names) > 50


@pytest.mark.parametrize(
    ("schema", "name", "value"),
    [
        pytest.param(schema, *case, id=f"{schema.__name__}.{case[0]}={case[1]}")
        for schema in CONFIGURATIONS
        for case in numbers(schema)
    ],
)
def test_no_number_of_a_configuration_is_nan_or_infinite(schema: type, name: str, value: Any):
    default = CellLine("a", "x") if schema is CellLine else schema()
    with pytest.raises(UserError, match=rf"\b{name} must be"):
        dataclasses.replace(default, **{name: value})


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(WellConfig)])
def test_the_numbers_of_a_well_are_checked_by_the_plate(name: str):
    with pytest.raises(UserError, match=rf"data\.brightfield\.well1\.{name} must be in .*, got nan"):
        BrightfieldConfig(well1=dataclasses.replace(WellConfig(), **{name: math.nan}))
