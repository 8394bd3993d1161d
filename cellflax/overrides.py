"""Words of the command line as they were typed: text is quoted before Hydra's grammar reads it.

To Hydra's grammar, `output=2024_01_01` is the number 20240101, `output=a,b` a sweep and `output=x[1]` an error. The
type of each option says whether its value is text. What the grammar would change is put into its quotes.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from cellflax.schemas import field_types, group_types, split_optional

_OVERRIDE = re.compile(r"(\+{0,2}([\w$][\w./$-]*)=)(.*)", re.DOTALL)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_CHOICE = re.compile(r"choice\((.*)\)", re.DOTALL)
_SWEEP_CALL = re.compile(r"(?:range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)
_OPTION = re.compile(r"[\w.+-]+")
_LONE_WORD = re.compile(r"[^\s\[\](){},'\"$]+")
_HYDRA_TEXTS = {"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"}
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def as_typed(argument: str, schema: type, sweep: bool) -> str:
    """An argument of the command line, with quotes where Hydra's grammar would change a text.

    These keep their meaning: values in quotes, `null`, `${...}`, the brackets of lists and the braces of keys, and in a
    sweep the commas, `choice(...)` and `range(...)`. Names of group options (`+experiment=2024_01_01`) are text too.

    Args:
        argument: any argument; what is no `key=value` stays as it is.
        schema: dataclass of the command's configuration.
        sweep: whether the command line asks for a sweep.
    """
    match = _OVERRIDE.fullmatch(argument)
    if match is None:
        return argument
    key, value = match[1], match[3]
    if match[2] in _HYDRA_TEXTS:
        return key + _value(value, str)
    if re.match(r"hydra\b", match[2]):
        return argument
    hints = {split_optional(hint)[0] for hint in _hints(schema, match[2].split("."))}
    if hints == {Any} or (not hints and "." not in match[2]):
        return key + _each(value, _option, sweep)
    if len(hints) != 1:
        return argument
    (hint,) = hints
    return key + _each(value, lambda element: _value(element, hint), sweep)


def job_arguments() -> list[str] | None:
    """The overrides of the running job, as in `config.job_overrides`; None where no job runs, as in Python."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def quoted(text: str) -> str:
    """A text in quotes of Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def _hints(hint: Any, parts: list[str]) -> list[Any]:
    """Types that a dotted key may have below a type: several where it leads into a group with several kinds."""
    if not parts:
        return [hint]
    hint, (name, *rest) = split_optional(hint)[0], parts
    if typing.get_origin(hint) is dict or (typing.get_origin(hint) is list and name.isdigit()):
        return _hints(typing.get_args(hint)[-1], rest)
    if not dataclasses.is_dataclass(hint):
        return []
    fields = field_types(cast(type, hint))
    if name not in fields:
        return []
    if fields[name] is Any and rest:
        return [found for kind in group_types(name).values() for found in _hints(kind, rest)]
    return _hints(fields[name], rest)


def _each(value: str, quote: Callable[[str], str], sweep: bool) -> str:
    """Apply a function to a value, or to each value of a sweep."""
    if not sweep:
        return quote(value)
    if _SWEEP_CALL.fullmatch(value):
        return value
    match = _CHOICE.fullmatch(value)  # written with commas, because Hydra forgets the quotes within choice(...)
    elements = list(_elements(match[1] if match else value))
    return ",".join(map(quote, elements)) if match or len(elements) > 1 else quote(value)


def _value(value: str, hint: Any) -> str:
    """Quote what is text in a value of this type."""
    hint, _ = split_optional(hint)
    if hint is str:
        return value if _stays(value) else quoted(value)
    inner = value.strip()
    if typing.get_origin(hint) is list and inner.startswith("[") and inner.endswith("]"):
        element = typing.get_args(hint)[-1]
        return f"[{','.join(_value(part, element) for part in _elements(inner[1:-1]))}]"
    if hint == list[str] and _LONE_WORD.fullmatch(inner) and inner.lower() != "null":
        return f"[{_value(inner, str)}]"  # one text where several may be given: `format=onnx`
    fields = field_types(cast(type, hint)) if dataclasses.is_dataclass(hint) else None
    if (fields is not None or typing.get_origin(hint) is dict) and inner.startswith("{") and inner.endswith("}"):
        entries = []
        for entry in _elements(inner[1:-1]):
            key, colon, text = entry.partition(":")
            element = fields.get(key.strip(), Any) if fields is not None else typing.get_args(hint)[-1]
            entries.append(f"{key}{colon}{_value(text.strip(), element)}")
        return f"{{{','.join(entries)}}}"
    return value


def _option(value: str) -> str:
    """Quote the name of a group option that would be read as a number."""
    return quoted(value) if _OPTION.fullmatch(value) and not _stays(value) else value


def _stays(text: str) -> bool:
    """Whether Hydra's grammar reads a text as just this text, or it is meant as grammar."""
    if not text or text.lower() == "null" or _QUOTED.fullmatch(text):
        return True
    if "\\" in text:  # in a list, it might take the next character's meaning
        return False
    try:
        return OverridesParser.create().parse_rule(text, "value") == text
    except HydraException:
        return False


def _elements(text: str) -> Iterator[str]:
    """Split at the commas that are in no quotes and in no brackets; a quote counts where a value begins."""
    if not text.strip():
        return
    start, at, begins = 0, 0, True
    closing: list[str] = []
    while at < len(text):
        letter = text[at]
        if begins and letter in "'\"" and (match := _QUOTED.match(text, at)):
            at, begins = match.end(), False
            continue
        begins = letter in ",:([{" or (begins and letter.isspace())
        if letter in _PAIRS:
            closing.append(_PAIRS[letter])
        elif closing and letter == closing[-1]:
            closing.pop()
        elif letter == "," and not closing:
            yield text[start:at].strip()
            start = at + 1
        at += 1
    yield text[start:].strip()


def is_override(argument: str) -> bool:
    """Whether an argument is `key=value` or `~key`; `~/...` is a path."""
    if argument.startswith("~"):
        return argument != "~" and not argument.startswith("~/")
    return "=" in argument and not argument.startswith("-")


def asks_for_sweep(arguments: list[str]) -> bool:
    """Whether commas separate the values of a sweep: -m, or a sweep of conf/sweep/."""
    return any(
        argument in ("-m", "hydra.mode=MULTIRUN") or argument.startswith(("--m", "+sweep=", "++sweep="))
        for argument in arguments
    )


def name_positional(arguments: list[str], key: str) -> list[str]:
    """Gather arguments without a key into one override: `a b` becomes `key=['a','b']`.

    `key=a` and `key=a key=b` are gathered in the same way. A list in Hydra's grammar stays as it is.
    """
    values, others, option = [], [], ""
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == key and value and not value.startswith("["):
            values.append(value)
        elif argument.startswith("-") or option or (is_override(argument) and not Path(argument).exists()):
            others.append(argument)
        else:
            values.append(argument)
        option = argument if argument.startswith("-") and "=" not in argument else ""
    if values:
        others.append(f"{key}=[{','.join(map(quoted, values))}]")
    return others
