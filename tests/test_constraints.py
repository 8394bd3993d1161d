"""Both ends of the versions that are supported."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, str]:
    """Versions of a file of constraints."""
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def numbers(version: str) -> tuple[int, ...]:
    """A version without the zeros at its end."""
    return tuple(map(int, re.sub(r"(\.0)+$", "", version).split(".")))


def test_constraints_are_both_ends():
    """The oldest is the lower bound of every requirement; what CI installs is within its bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest, newest = pinned("constraints-oldest.txt"), pinned("constraints.txt")
    bounds = {}
    for requirement in project["dependencies"]:
        found = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<([\d.]+))?", requirement)
        assert found, requirement
        name, least, below = found.groups()
        bounds[name] = least, below
        assert numbers(oldest[name]) == numbers(least)
        assert numbers(least) <= numbers(newest[name]) < (numbers(below) if below else (9999,))
    assert set(oldest) == {*bounds}
    least, below = bounds["jax"]
    assert project["optional-dependencies"]["cuda"] == [f"jax[cuda13]>={least},<{below}"]
