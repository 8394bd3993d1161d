"""Find the configuration keys that distinguish runs, in as few and as readable columns as possible."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cellflax.errors import UserError
from cellflax.schemas import GROUPS, from_json, group_types
from cellflax.summary.runs import FinishedRun

# Keys that cannot change the result, only locate the data, or number the repetitions.
_IGNORED = {"run", "seed", "data.fold", "logger", "data.root", "data.mirror"}
_IGNORED |= {"trainer.devices", "trainer.log_every", "trainer.max_minutes"}
_SOURCE = "data source"
_ABSENT = "-"


@dataclass(frozen=True)
class Settings:
    """How runs differ.

    Attributes:
        keys: configuration keys (dotted) that distinguish the settings. Two are derived:
            `model.receptive_field_px` from the network's layers, `data source` from the data that were found.
        along: other keys that differ, but distinguish no more runs than `keys` do.
        values: for each run, the values of `keys` as text.
    """

    keys: tuple[str, ...]
    along: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]


def find_settings(runs: Sequence[FinishedRun]) -> Settings:
    """Find the keys that differ between runs.

    Lists (of layers) and keys that only some kinds of a group have are left out wherever the other keys
    distinguish the same settings: a receptive field, or `model.kind`, stands for twenty keys of two networks.
    """
    rows = [_flatten(config) | {_SOURCE: run.source} for run, config in zip(runs, _described(runs), strict=True)]
    differing = [key for key in dict.fromkeys(chain.from_iterable(rows)) if len(_distinct(rows, [key])) > 1]
    keys = differing
    for key in differing:
        bulky = key == _SOURCE or any(isinstance(row.get(key, []), list) for row in rows)
        others = [other for other in keys if other != key]
        if bulky and len(_distinct(rows, others)) == len(_distinct(rows, keys)):
            keys = others
    return Settings(
        keys=tuple(keys),
        along=tuple(key for key in differing if key not in keys),
        values=tuple(_values(row, keys) for row in rows),
    )


def in_order(value: str) -> tuple[int, float, str]:
    """Sort key of a setting's value: numbers by size, then words."""
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value


def _described(runs: Sequence[FinishedRun]) -> list[dict[str, Any]]:
    """The configurations, with the networks' receptive fields if networks differ (computing them needs JAX)."""
    configs = [run.config for run in runs]
    if all(config.get("model") == configs[0].get("model") for config in configs):
        return configs
    return [config | {"model": _with_receptive_field(config.get("model"))} for config in configs]


def _with_receptive_field(model: Any) -> Any:
    kind = model.get("kind") if isinstance(model, dict) else None
    if kind not in list(GROUPS["model"]):
        return model
    try:
        typed = from_json(group_types("model")[kind], {key: value for key, value in model.items() if key != "kind"})
    except UserError:  # written by another version of cellflax
        return model
    size = getattr(typed, "receptive_field", None)
    return model if size is None else {"receptive_field_px": size, **model}


def _flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key, without those that are ignored; lists are values."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        key = prefix + name
        if key in _IGNORED:
            continue
        flat |= _flatten(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return flat


def _distinct(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> set[tuple[str, ...]]:
    return {_values(row, keys) for row in rows}


def _values(row: dict[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(_text(row[key]) if key in row else _ABSENT for key in keys)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
