"""Which dataclass stands behind each group member (`model=patch_net`), and dataclasses as JSON.

A checkpoint stores its configuration as JSON: `{"model": {"kind": "patch_net", ...}, ...}`. Reading one back
builds only dataclasses reached from the given schema or named in `GROUPS`, so a file cannot make us import or
call anything else. This module needs neither Hydra nor JAX.
"""

import dataclasses
import functools
import math
import pkgutil
import types
import typing
from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum
from typing import Any

from cellflax.errors import UserError

# group -> kind -> "module:class". Schemas hold a group member in a field of the group's name, typed Any.
# Names rather than classes: a command imports only the groups it has (evaluation needs no JAX).
GROUPS: dict[str, dict[str, str]] = {
    "model": {
        "patch_net": "cellflax.models.patch_net:PatchNetConfig",
        "unet": "cellflax.models.unet:UNetConfig",
        "skip_fcn": "cellflax.models.skip_fcn:SkipFcnConfig",
    },
    "data": {
        "coculture": "cellflax.data.coculture:CoCultureData",
        "deepcell": "cellflax.data.deepcell:DeepCellData",
        "folder": "cellflax.data.folder:FolderData",
        "simulated": "cellflax.data.simulated:SimulatedData",
    },
    "sampler": {
        "patches": "cellflax.data.sampler:PatchesConfig",
        "crops": "cellflax.data.sampler:CropsConfig",
    },
    "target": {
        "classes": "cellflax.targets.base:ClassesTarget",
        "distances": "cellflax.targets.distances:DistancesTarget",
        "classes_distances": "cellflax.targets.distances:ClassesDistancesTarget",
    },
    "loss": {
        "cross_entropy": "cellflax.losses.cross_entropy:CrossEntropyConfig",
        "weighted_softmax": "cellflax.losses.weighted_softmax:WeightedSoftmaxConfig",
        "composite_rmsd": "cellflax.losses.composite_rmsd:CompositeRmsdConfig",
    },
    "optimizer": {
        "sgd": "cellflax.training.optimizers:SgdConfig",
        "rmsprop": "cellflax.training.optimizers:RmspropConfig",
        "adamw": "cellflax.training.optimizers:AdamwConfig",
    },
    "refine": {
        "threshold": "cellflax.refine.threshold:ThresholdConfig",
        "watershed": "cellflax.refine.watershed:WatershedConfig",
        "active_contour": "cellflax.refine.active_contour:ActiveContourConfig",
        "whole_cell": "cellflax.refine.whole_cell:WholeCellConfig",
        "distances": "cellflax.refine.distances:DistancesConfig",
    },
}

SCHEMA_SUFFIX = "_schema"  # a YAML file fills the dataclass of a kind by the default `<kind>_schema`

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Any: "a group member"}


def group_types(group: str) -> dict[str, type]:
    """Import the dataclasses of a group, by kind."""
    return {kind: pkgutil.resolve_name(path) for kind, path in GROUPS[group].items()}


@functools.cache
def field_types(schema: type) -> dict[str, Any]:
    """Types of a dataclass's fields by name, with string annotations resolved."""
    hints = typing.get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


def kind_of(group: str, member: Any) -> str:
    """The kind under which a group lists a configuration's dataclass."""
    for kind, schema in group_types(group).items():
        if type(member) is schema:
            return kind
    raise TypeError(f"{type(member).__name__} is not a member of group {group!r} in cellflax.schemas.GROUPS")


def describe_type(hint: Any) -> str:
    """Say in words what a field accepts ("a whole number", "one of adamw, sgd or null")."""
    inner, optional = split_optional(hint)
    if typing.get_origin(inner) is list:
        words = f"a list, each {describe_type(_element_type(inner))}"
    elif typing.get_origin(inner) is dict:
        words = f"keys with values, each {describe_type(_element_type(inner))}"
    elif isinstance(inner, type) and issubclass(inner, Enum):
        words = f"one of {', '.join(inner.__members__)}"
    elif dataclasses.is_dataclass(inner):
        words = f"a group of keys: {', '.join(field_types(typing.cast(type, inner)))}"
    else:
        words = _WORDS.get(inner, str(inner))
    return f"{words} or null" if optional else words


def wrong_value(key: str, value: Any, hint: Any) -> str:
    """One line about a value that does not fit its field."""
    return f"{key} must be {describe_type(hint)}; got {value!r}"


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """One line about a key that does not exist, with the closest that does.

    Args:
        key: full (dotted) key.
        allowed: last parts of the keys that exist beside it.
    """
    allowed = sorted(allowed)
    parent, _, last = key.rpartition(".")
    close = get_close_matches(last, allowed, n=1, cutoff=0.7)
    hint = f"did you mean {parent}{'.' if parent else ''}{close[0]}? " if close else ""
    return f"unknown key {key}: {hint}allowed{f' in {parent}' if parent else ''}: {', '.join(allowed)}"


def to_json(config: Any) -> dict[str, Any]:
    """Turn a configuration dataclass into JSON types; `from_json` is the exact inverse.

    Enums become member names, non-finite floats the strings "inf", "-inf" and "nan" (JSON has none), and
    group members carry their "kind".
    """
    encoded = {}
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        encoded[name] = _encode_member(name, value) if hint is Any and value is not None else _encode(value)
    return encoded


def from_json[T](schema: type[T], data: dict[str, Any]) -> T:
    """Build a configuration dataclass from the JSON types that `to_json` wrote.

    Raises:
        UserError: an unknown key or kind, a key that is missing and has no default, a value of the wrong type
            or (from the dataclass itself) out of range; the message names the dotted key.
    """
    return _decode_dataclass(schema, data, "")


def _encode_member(group: str, member: Any) -> dict[str, Any]:
    return {"kind": kind_of(group, member), **to_json(member)}


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


def _decode_dataclass[T](schema: type[T], data: Any, key: str) -> T:
    if not isinstance(data, dict):
        raise UserError(wrong_value(key or "the configuration", data, schema))
    hints = field_types(schema)
    for name in data:
        if name not in hints:
            raise UserError(unknown_key(_join(key, str(name)), hints))
    values = {}
    for field in dataclasses.fields(typing.cast(Any, schema)):
        full_key = _join(key, field.name)
        if field.name in data:
            values[field.name] = _decode_field(field.name, hints[field.name], data[field.name], full_key)
        elif not _has_default(field):
            raise UserError(f"key {full_key} is missing; it must be {describe_type(hints[field.name])}")
    return schema(**values)


def _decode_field(name: str, hint: Any, value: Any, key: str) -> Any:
    if hint is not Any:
        return _decode(hint, value, key)
    if value is None:
        return None
    kinds = GROUPS.get(name, {})
    kind = value.get("kind") if isinstance(value, dict) else value
    if not isinstance(value, dict) or kind not in list(kinds):
        raise UserError(f"{key}.kind must be one of {', '.join(kinds)}; got {kind!r}")
    fields = {field: item for field, item in value.items() if field != "kind"}
    return _decode_dataclass(group_types(name)[kind], fields, key)


def _decode(hint: Any, value: Any, key: str) -> Any:
    inner, optional = split_optional(hint)
    origin = typing.get_origin(inner)
    if value is None and optional:
        return None
    if dataclasses.is_dataclass(inner):
        return _decode_dataclass(typing.cast(type, inner), value, key)
    if origin is list and isinstance(value, list):
        return [_decode(_element_type(inner), item, f"{key}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {name: _decode(_element_type(inner), item, _join(key, name)) for name, item in value.items()}
    if isinstance(inner, type) and issubclass(inner, Enum) and value in list(inner.__members__):
        return inner[value]
    if inner is float and type(value) is int:
        return float(value)
    if inner is float and isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    if inner in (bool, int, float, str) and type(value) is inner:
        return value
    raise UserError(wrong_value(key, value, hint))


def split_optional(hint: Any) -> tuple[Any, bool]:
    """Split `X | None` into X and True."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    (inner,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return inner, True


def _element_type(hint: Any) -> Any:
    return typing.get_args(hint)[-1]


def _has_default(field: dataclasses.Field[Any]) -> bool:
    """Whether a field may be left out; "???" is OmegaConf's mark of a mandatory value."""
    if field.default_factory is not dataclasses.MISSING:
        return True
    return field.default is not dataclasses.MISSING and field.default != "???"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
