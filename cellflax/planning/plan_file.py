"""A plan as an experiment: a YAML file that can be edited, with the reasons as comments."""

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import cellflax
from cellflax.planning.plan import Plan
from cellflax.schemas import GROUPS

# Name of the experiment. Those that come with cellflax have other names, and would be found first.
EXPERIMENT = "planned"
# Of a directory for --config-dir.
PLAN_FILE = f"experiment/{EXPERIMENT}.yaml"
MEASUREMENTS_FILE = "plan.json"

_WIDTH = 110


def train_command(folder: Path | str) -> str:
    """The command that trains by the plan in a directory, for a shell."""
    return f"cellflax train --config-dir {shlex.quote(str(folder))} +experiment={EXPERIMENT}"


def plan_text(plan: Plan, folder: Path | str) -> str:
    """The text of the YAML file.

    Args:
        plan: the plan.
        folder: directory for --config-dir that it will be in.
    """
    return "\n".join(_lines(plan, folder)) + "\n"


def _lines(plan: Plan, folder: Path | str) -> Iterator[str]:
    yield "# @package _global_"
    yield f"#   {_one_line(train_command(folder))}"
    yield "#"
    measured = plan.measured
    about = f"{measured.source}; {measured.cells.count} cells, {measured.cells.diameter.median:.1f} px wide (median)"
    yield from _comment(f"Planned by cellflax {cellflax.__version__} for {about}. Every value may be changed.", "")
    chosen = {s.key: s for s in plan.settings if s.key in GROUPS}
    yield "defaults:"
    for group, option in {**plan.choices, **{key: s.value for key, s in chosen.items() if s.value is not None}}.items():
        if group in chosen:
            yield from _comment(chosen[group].reason, "  ")
        yield f"  - override /{group}: {_value(option)}"
    yield "  - _self_"
    yield ""
    yield "plan: false  # this file is the plan"
    values = {key: (value, "given") for key, value in plan.others.items()}
    values |= {s.key: (s.value, s.reason) for s in plan.settings if s.key not in GROUPS}
    if root := values.get("data.root"):
        values["data.root"] = (_absolute(root[0]), root[1])
    if more := values.get("data.more"):
        values["data.more"] = ([_absolute(folder) for folder in more[0]], more[1])
    yield from _node(_tree(values), "")


def _absolute(folder: object) -> str:
    return str(Path(str(folder)).expanduser().resolve())


def _tree(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested ones."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *parents, name = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def _node(tree: dict[str, Any], indent: str) -> Iterator[str]:
    """Values first, then groups of keys."""
    for name, entry in tree.items():
        if isinstance(entry, tuple):
            value, reason = entry
            yield from _comment(reason, indent)
            yield f"{indent}{name}: {_value(value)}"
    for name, entry in tree.items():
        if isinstance(entry, dict):
            if not indent:
                yield ""
            yield f"{indent}{name}:"
            yield from _node(entry, indent + "  ")


def _value(value: Any) -> str:
    """A value in one line of YAML; `${` is no reference."""
    text = yaml.safe_dump(_escaped(value), default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "\\${")
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return value


def _comment(text: str, indent: str) -> Iterator[str]:
    prefix = f"{indent}# "
    yield from textwrap.wrap(_one_line(text), _WIDTH, initial_indent=prefix, subsequent_indent=prefix)


def _one_line(text: str) -> str:
    """A text without anything that could end a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
