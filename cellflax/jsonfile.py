"""JSON files that are complete or absent, and the differences between two of them."""

import json
from pathlib import Path
from typing import Any

from cellflax.atomic import replacing


def write_json(path: Path, content: Any) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


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
