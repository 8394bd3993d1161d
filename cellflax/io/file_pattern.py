"""Patterns that say what the parts of file names mean: '{well}_{site}_{channel}_z{plane}.tif'."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellflax.errors import UserError
from cellflax.io.files import images_in
from cellflax.io.result_set import without_results

_FIELDS = ("well", "site", "channel", "plane", "z_um")
_SHARED = {"well", "site", "channel"}
_TOKEN = re.compile(r"(\{[^{}]*\}|\*)")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class FilePattern:
    """One pattern: texts, with a wildcard between each two of them.

    Attributes:
        text: as the user wrote it.
        fields: names of its fields.
        literals: the texts; the first and the last may be empty.
        wildcards: names of the fields between them, and `*`.
    """

    text: str
    fields: tuple[str, ...]
    literals: tuple[str, ...]
    wildcards: tuple[str, ...]

    def match(self, name: str) -> dict[str, str] | None:
        """Values of the fields in a file name, or None if the pattern does not fit.

        Raises:
            UserError: if it fits in several ways.
        """
        least, most = self._values(name, longest=False), self._values(name, longest=True)
        if least != most:
            ways = " or ".join(
                ", ".join(f"{key}={value}" for key, value in (values or {}).items()) for values in (least, most)
            )
            raise UserError(f"pattern={self.text}: {name} may be {ways}; put more of the name's text into the pattern")
        return least

    def _values(self, name: str, longest: bool) -> dict[str, str] | None:
        """Values of the fields, the first ones as short as the pattern allows, or as long.

        What cannot follow at a place is noted: a regular expression tries it again and again, and a name of 200
        letters that nearly fits would take it hours.
        """
        failed = set[tuple[int, int]]()

        def follow(number: int, start: int) -> list[str] | None:
            if number == len(self.wildcards):
                return [] if start == len(name) else None
            if (number, start) in failed:
                return None
            after = self.literals[number + 1]
            for end in _ends(self.wildcards[number], name, start, longest):
                if name.startswith(after, end):
                    rest = follow(number + 1, end + len(after))
                    if rest is not None:
                        return [name[start:end], *rest]
            failed.add((number, start))
            return None

        texts = follow(0, len(self.literals[0])) if name.startswith(self.literals[0]) else None
        return None if texts is None else {k: v for k, v in zip(self.wildcards, texts, strict=True) if k != "*"}


def _ends(wildcard: str, name: str, start: int, longest: bool) -> Iterator[int]:
    """Where the text of a wildcard may end that begins at a place: within its folder, and of a number with digits."""
    stop = name.find("/", start)
    ends = range(start + (wildcard != "*"), (len(name) if stop < 0 else stop) + 1)
    if wildcard == "z_um":
        return (end for end in reversed(ends) if _NUMBER.fullmatch(name, start, end))
    return iter(reversed(ends) if longest else ends)


def parse_patterns(text: str) -> list[FilePattern]:
    """Parse a pattern, or several separated by `|`; a file takes the first that fits.

    Fields are `{well}`, `{site}`, `{channel}`, `{plane}` and `{z_um}` (a focus position in micrometres), `*` stands
    for any text, `/` for a folder; all other text is literal.

    Raises:
        UserError: for an unknown, repeated or unseparated field, or patterns that disagree about well, site or channel.
    """
    patterns = [_parse(part.strip()) for part in text.split("|")]
    for pattern in patterns[1:]:
        if set(pattern.fields) & _SHARED != set(patterns[0].fields) & _SHARED:
            raise UserError(f"pattern={text}: all parts must use the same of {{well}}, {{site}} and {{channel}}")
    if {"plane", "z_um"} <= {field for pattern in patterns for field in pattern.fields}:
        raise UserError(f"pattern={text}: give plane or z_um, not both")
    return patterns


def _parse(text: str) -> FilePattern:
    parts = _TOKEN.split(text)  # texts and wildcards in turn
    tokens = [part for part in parts if part]
    fields = [token[1:-1] for token in tokens if token.startswith("{")]
    for name in fields:
        if name not in _FIELDS:
            raise UserError(f"pattern={text}: unknown field {{{name}}}; there are {', '.join(_FIELDS)}")
    if len(set(fields)) < len(fields):
        raise UserError(f"pattern={text}: give each field once")
    for first, second in itertools.pairwise(tokens):
        if _TOKEN.fullmatch(first) and _TOKEN.fullmatch(second):
            raise UserError(f"pattern={text}: {first}{second} cannot be told apart; put text between them")
    return FilePattern(text, tuple(fields), tuple(parts[::2]), tuple(part.strip("{}") for part in parts[1::2]))


def match_files(folder: Path, text: str) -> list[tuple[Path, dict[str, str]]]:
    """Files in a folder, or below it where the pattern has `/`, that fit a pattern, each with its fields.

    Raises:
        UserError: if there is no such folder, no image in it, or none fits.
    """
    patterns = parse_patterns(text)
    if not folder.is_dir():
        raise UserError(f"input={folder}: no such folder")
    depths = sorted({pattern.text.count("/") for pattern in patterns})
    files = without_results(f"input={folder}", [file for depth in depths for file in _files_at(folder, depth)])
    found = []
    for file in files:
        name = str(PurePosixPath(file.relative_to(folder)))
        fields = next((fields for pattern in patterns if (fields := pattern.match(name)) is not None), None)
        if fields is not None:
            found.append((file, fields))
    if not found:
        first = f"; the first is {files[0].relative_to(folder)}" if files else ""
        raise UserError(f"pattern={text}: fits none of the {len(files)} images in {folder}{first}")
    return found


def _files_at(folder: Path, depth: int) -> list[Path]:
    """Images exactly `depth` folders below a folder."""
    folders = [folder]
    for _ in range(depth):
        folders = sorted(child for parent in folders for child in parent.iterdir() if _is_visible_folder(child))
    return [file for parent in folders for file in images_in(parent)]


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")  # such as what a killed run of cellflax left
