"""JSON files that are complete or absent, the way in which all of them are read, and the differences between two."""

import json
from pathlib import Path
from typing import Any

from cellflax.atomic import replacing
from cellflax.errors import UserError
from cellflax.wholefile import read_utf8

MOST_JSON_BYTES = 1 << 25  # the record of an annotation of 100,000 sites; parsed, it takes twenty times as much
_DEEPEST = 64
_LARGEST_WHOLE = 1 << 64


def write_json(path: Path, content: Any) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: the file.
        remedy: what to do about a file that is no such object, such as "predict again".

    Raises:
        UserError: one line with the file, the reason and the remedy.
    """
    text = read_utf8(path, remedy, MOST_JSON_BYTES)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a JSON object; {remedy}")
    return content


def parse_json(text: str) -> Any:
    """Values of a JSON text that someone else may have written.

    Raises:
        ValueError: in one line, if it is no JSON, or holds what cellflax never writes and a damaged file may: numbers
            that are not finite or beyond 64 bits, a key twice, text that cannot be a name (NUL, half a character), more
            levels than 64.
    """
    try:
        content = json.loads(
            text, parse_constant=_refuse_number, parse_float=_float, parse_int=_whole, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError(f"more than {_DEEPEST} levels") from None
    _check_depth_and_text(content)
    return content


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not a finite number")


def _float(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        _refuse_number(text)
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= _LARGEST_WHOLE:
        raise ValueError(f"the number {text[:20]}... has more than 64 bits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)[:40]!r} is there twice")
    return content


def _check_depth_and_text(content: Any) -> None:
    level, depth = [content], 0
    while level:
        below = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, dict):
                below += (*value.keys(), *value.values())
            elif isinstance(value, list):
                below += value
        level, depth = below, depth + 1
        if depth >= _DEEPEST and level:
            raise ValueError(f"more than {_DEEPEST} levels")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text holds NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds half a character (a lone surrogate)") from None


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, each with both values; None where one side lacks the key."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found[prefix + key] = (before, after)
    return found
