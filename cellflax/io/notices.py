"""Warnings about files."""

import functools

from cellflax.progress import say


@functools.cache
def warn(text: str) -> None:
    """Print a warning, once however often a file is opened."""
    say(f"warning: {text}")
