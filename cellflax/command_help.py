"""The text of `--help`: every key of a command with its type, default and meaning.

Meanings are those of the `Attributes:` sections of the configuration dataclasses; defaults are those of conf/; groups
list the options that conf/<group>/ holds with the first sentence of each file.
"""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from omegaconf import OmegaConf

from cellflax.commands import module_of
from cellflax.errors import UserError
from cellflax.schema_source import UNREAD, read_docstring, read_schema
from cellflax.schemas import GROUPS, SCHEMA_SUFFIX, describe_type, field_types

_WIDTH = 110
_LONGEST_DEFAULT = 70
_STEP = "  "
_PAPERS = "papers: P1 is Van Valen et al. 2016, P2 is Sadanandan et al. 2017, P3 is Al-Kofahi et al. 2018"
_WHOLE = "# @package _global_"  # first line of files that add to a whole configuration: +experiment=...
_WHOLE_OF = {"train": ("experiment", "sweep", "debug")}


def command_help(
    name: str, schema: type, directory: Path, load: Callable[[str], type] = read_schema, docstring: str | None = None
) -> str:
    """What `cellflax <name> --help` prints.

    Args:
        name: name of the command.
        schema: dataclass of its configuration.
        directory: where the YAML files are.
        load: from "module:class" to the dataclass, for the members of groups.
        docstring: docstring of the command's module; None reads it from the source.
    """
    lines = list(_Help(name, schema, directory, load, docstring).lines())
    if any(re.search(r"\bP[123]\b", line) for line in lines):
        lines += ["", _PAPERS]
    return "\n".join(lines) + "\n"


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether the arguments of a command ask for its help."""
    return "--help" in arguments or "-h" in arguments


def meanings(schema: type) -> dict[str, str]:
    """What each field of a dataclass means, by the docstrings of the class and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(schema.__mro__):
        _, _, section = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\nAttributes:\n")
        section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
        for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            found[name] = " ".join(text.split())
    return found


@dataclasses.dataclass(frozen=True)
class _Option:
    """One file of a group: which dataclass it fills, with which values, and what it says about itself."""

    kind: str | None
    values: dict[str, Any]
    sentence: str


class _Help:
    def __init__(self, name: str, schema: type, directory: Path, load: Callable[[str], type], docstring: str | None):
        self._name, self._schema, self._directory, self._load = name, schema, directory, load
        self._docstring = read_docstring(module_of(name)) if docstring is None else docstring
        self._values, self._chosen = _command_file(directory, name)
        self._values.pop("hydra", None)
        self._described: dict[type, str] = {}

    def lines(self) -> Iterator[str]:
        yield self._docstring.strip()
        yield ""
        yield f"usage: cellflax {self._name} [key=value ...]   (also: python -m cellflax.{self._name} ...)"
        yield ""
        yield "keys:"
        yield from self._keys(self._schema, "", self._values, _STEP)
        for group in _WHOLE_OF.get(self._name, ()):
            yield ""
            yield f"+{group}=OPTION adds to the whole configuration:"
            yield from _options(self._group(group))
        yield ""
        yield "how to override:"
        yield from _listed(
            ("key=value", "a dotted key reaches into a group of keys; null is no value"),
            ("key=[a,b]", "a list; quote it in the shell: 'key=[a,b]'"),
            ("group=OPTION", "one of the options above; with +group=OPTION where the configuration has none"),
            ("-m key=a,b", "a sweep: one job for each value"),
            ("--config-dir DIR", "also take options from DIR/<group>/<option>.yaml"),
            ("--cfg job", "print the configuration that the other arguments compose, and stop"),
            ("debug=true", "show the traceback of a mistake"),
            ("--hydra-help", "the other options of Hydra, which composes the configuration"),
        )

    def _keys(self, schema: type, prefix: str, values: dict[str, Any], indent: str) -> Iterator[str]:
        """Every key of a dataclass, and of those inside it; `values` take precedence over the dataclass's defaults."""
        says = meanings(schema)
        for name, hint in _own_first(schema):
            key, meaning, value = prefix + name, says.get(name, ""), values.get(name, _default(schema, name))
            if hint is Any:
                yield from self._members(name, meaning, value, indent)
            elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
                yield _filled(f"{key}: {meaning}", indent)
                if key in self._chosen:  # a file of conf/<key>/, as trainer=default
                    value = self._group(key)[self._chosen[key]].values | _as_dict(value)
                yield from self._once(hint, f"{key}.", _as_dict(value), indent + _STEP)
            else:
                shown = "" if value is UNREAD else f" = {_shown(value)}"
                yield f"{indent}{key}{shown}  ({describe_type(hint)})"
                if meaning:
                    yield _filled(meaning, indent + _STEP * 2, indent + _STEP * 2)
                for element in _dataclasses_in(hint):
                    yield from self._once(element, f"{key}[].", {}, indent + _STEP)

    def _once(self, schema: type, prefix: str, values: dict[str, Any], indent: str) -> Iterator[str]:
        """The keys of a dataclass, unless they have been listed under another one."""
        if schema not in self._described:
            self._described[schema] = prefix
            yield from self._keys(schema, prefix, values, indent)
            return
        others = {k: v for k, v in values.items() if _written(v) != _written(_default(schema, k))}
        yield f"{indent}{prefix}*: as {self._described[schema]}*{f', except {_written(others)}' if others else ''}"

    def _members(self, group: str, meaning: str, value: Any, indent: str) -> Iterator[str]:
        """The options of a group, and the keys of each kind of them."""
        options, chosen = self._group(group), self._chosen.get(group)
        yield _filled(f"{group}=OPTION, default {_shown(chosen)}: {meaning}", indent)
        yield from _options(options)
        for kind, path in GROUPS[group].items():
            of_kind = [name for name, option in options.items() if option.kind == kind]
            if not of_kind:
                continue
            first = chosen if chosen in of_kind else kind if kind in of_kind else of_kind[0]
            values = options[first].values | (_as_dict(value) if first == chosen else {})
            yield _filled(f"keys of {group}={', '.join(of_kind)} (defaults of {first})", indent + _STEP)
            schema = self._load(path)
            self._described.setdefault(schema, f"{group}.")
            yield from self._keys(schema, f"{group}.", values, indent + _STEP * 2)

    def _group(self, group: str) -> dict[str, _Option]:
        files = sorted((self._directory / group).glob("*.yaml"))
        return {file.stem: _option(file) for file in files}


def _command_file(directory: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of a command's file, and the options of groups that it chooses, over those of a file that it builds on."""
    content = _read(directory / f"{name}.yaml")
    values: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, dict):
            chosen |= {group.removeprefix("override "): option for group, option in entry.items()}
        elif entry != "_self_" and not entry.endswith(SCHEMA_SUFFIX):
            values, chosen = _command_file(directory, entry)
    return values | content, chosen


def _option(file: Path) -> _Option:
    values = _read(file)
    kind: str | None = None
    for entry in values.pop("defaults", []):
        if isinstance(entry, str) and entry.endswith(SCHEMA_SUFFIX):
            kind = entry.removesuffix(SCHEMA_SUFFIX)
        elif isinstance(entry, str) and entry != "_self_":
            base = _option(file.with_name(f"{entry}.yaml"))
            kind, values = base.kind, base.values | values
    return _Option(kind, values, _first_sentence(file))


def _first_sentence(file: Path) -> str:
    """The comment that a file begins with, up to the first full stop."""
    lines = file.read_text(encoding="utf-8").removeprefix(_WHOLE).lstrip("\n").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("# "):
            break
        comment.append(line[2:])
    return re.split(r"\.\s+(?=[A-Z])", " ".join(comment))[0].rstrip(".:")


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(f"{file} is not there; install cellflax again")
    content = OmegaConf.to_container(OmegaConf.load(file))
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def _own_first(schema: type) -> Iterator[tuple[str, Any]]:
    """Names and types of the fields: those of the class itself before those of its bases."""
    hints = dict(field_types(schema))
    for cls in schema.__mro__:
        for name in inspect.get_annotations(cls):
            if name in hints:
                yield name, hints.pop(name)


def _default(schema: type, name: str) -> Any:
    (field,) = (field for field in dataclasses.fields(schema) if field.name == name)
    if field.default is not dataclasses.MISSING:
        return field.default
    return UNREAD if field.default_factory is dataclasses.MISSING else field.default_factory()


def _as_dict(value: Any) -> dict[str, Any]:
    """Values by key, whether they come from a file or are a dataclass."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value if isinstance(value, dict) else {}


def _dataclasses_in(hint: Any) -> Iterator[type]:
    """The dataclasses that the elements of a list or dict are."""
    for argument in get_args(hint):
        if dataclasses.is_dataclass(argument) and isinstance(argument, type):
            yield argument
        yield from _dataclasses_in(argument)


def _options(options: dict[str, _Option]) -> Iterator[str]:
    yield from _listed(*((name, option.sentence) for name, option in options.items()))


def _listed(*rows: tuple[str, str]) -> Iterator[str]:
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        yield _filled(text, f"    {name:{width}}  ", " " * (width + 6))


def _filled(text: str, first: str, others: str | None = None) -> str:
    """A paragraph, indented; the lines after the first one step deeper, unless `others` says how far."""
    others = first + _STEP if others is None else others
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _shown(value: Any) -> str:
    """A value as it is written on the command line."""
    text = _written(value)
    return text if len(text) <= _LONGEST_DEFAULT else text[:_LONGEST_DEFAULT] + " ..."


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict) or dataclasses.is_dataclass(value):
        value = _as_dict(value)
        return f"{{{', '.join(f'{key}: {_written(item)}' for key, item in value.items())}}}"
    return str(value)
