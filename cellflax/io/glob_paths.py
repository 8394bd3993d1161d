"""Patterns of file names, in which brackets of real names are no pattern and links cannot lead in circles."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from cellflax.home import expand_home

_MAGIC = re.compile(r"[*?\[]")


def glob_paths(pattern: str | Path, is_whole: Callable[[Path], bool] | None = None) -> list[Path]:
    """Files and folders that a pattern stands for, sorted.

    `*`, `?` and `[...]` stand for parts of a name, `**` for all folders at and below a place. Names that begin with a
    dot fit only a pattern that does too. Where the names themselves have brackets, as the folder `exp[1]`, they are
    taken before the other names that the pattern would fit. `**` follows links, but enters each folder once: links to
    a parent folder end, and no file is found twice by them.

    Args:
        pattern: the pattern.
        is_whole: whether a folder is one thing, such as an image, whose parts `**` does not stand for.
    """
    path = Path(expand_home(str(pattern)))
    found = [Path(path.anchor)]
    parts = path.parts[1:] if path.anchor else path.parts
    for i, part in enumerate(parts):
        if part == "**":
            matches = [match for place in found for match in _below(place, is_whole or _never)]
            if i + 1 < len(parts) and is_whole is not None:
                matches = [match for match in matches if match in found or not is_whole(match)]
        else:
            matches = [match for place in found for match in _matches(place, part)]
        found = list(dict.fromkeys(matches))
    return sorted(found)


def _never(_: Path) -> bool:
    return False


def _matches(place: Path, part: str) -> list[Path]:
    """What one part of a pattern stands for in a folder."""
    if os.path.lexists(place / part) or not _MAGIC.search(part):
        return [place / part] if os.path.lexists(place / part) else []
    names = _names(place)
    if not part.startswith("."):
        names = [name for name in names if not name.startswith(".")]
    fits = [name for name in names if fnmatch.fnmatchcase(name, part)]
    if not fits:  # then the brackets are part of the names: x[1]*.tif
        fits = [name for name in names if fnmatch.fnmatchcase(name, part.replace("[", "[[]"))]
    return [place / name for name in fits]


def _below(top: Path, is_whole: Callable[[Path], bool]) -> Iterator[Path]:
    """A folder and all below it except hidden names and parts of wholes, each real folder once, the nearest first."""
    seen: set[tuple[int, int]] = set()
    # Links wait until all real folders are listed: a file is found by its own path, not by a link's.
    folders, links = [top], []
    while folders or links:
        folder = folders.pop(0) if folders else links.pop(0)
        try:
            status = os.stat(folder)
        except OSError:  # a link to nothing, or to itself
            continue
        if (status.st_dev, status.st_ino) in seen or not folder.is_dir():
            continue
        seen.add((status.st_dev, status.st_ino))
        yield folder
        if is_whole(folder):
            continue
        for name in _names(folder):
            if name.startswith("."):
                continue
            child = folder / name
            if not child.is_dir():
                yield child
            elif child.is_symlink():
                links.append(child)
            else:
                folders.append(child)


def _names(folder: Path) -> list[str]:
    """Sorted names in a folder; none where it cannot be listed."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
