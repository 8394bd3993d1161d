"""Read and check the JSON files of runs; errors name what is missing or has the wrong type."""

from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.jsonfile import read_json


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    return read_json(path, "train again")


def stored_value(content: dict[str, Any], key: str, kind: type | tuple[type, ...], file: str) -> Any:
    """Value of a dotted key, which must be there and of the right type."""
    value: Any = content
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{file} has no usable {key}: got {value!r:.80}")
    return value
