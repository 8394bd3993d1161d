"""`~` in paths: one rule for the options of all commands."""

import os
import re
from typing import Any

_IN_HOME = re.compile(r"~|~[^/]*/.*", re.DOTALL)


def expand_home(text: str) -> str:
    """A path with its leading `~` (or `~user`) replaced by that home folder; any other text as it is.

    A shell replaces `~` itself, but not in quotes, after `key=`, or in a YAML file.
    """
    return os.path.expanduser(text) if _IN_HOME.fullmatch(text) else text


def expand_home_in(value: Any) -> Any:
    """JSON types with `expand_home` applied to every text in them."""
    if isinstance(value, str):
        return expand_home(value)
    if isinstance(value, list):
        return [expand_home_in(item) for item in value]
    return {key: expand_home_in(item) for key, item in value.items()} if isinstance(value, dict) else value
