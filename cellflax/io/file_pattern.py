"""Patterns that say what the parts of file names mean: '{well}_{site}_{channel}_z{plane}.tif'."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellflax.errors import UserError
from cellflax.io.files import images_in
from cellflax.io.result_set import without_results

_FIELDS = {"well": "[^/]{}", "site": "[^/]{}", "channel": "[^/]{}", "plane": "[^/]{}", "z_um": r"[-+]?\d+(?:\.\d+)?"}
_SHARED = {"well", "site", "channel"}
_TOKEN = re.compile(r"(\{[^{}]*\}|\*)")


@dataclass(frozen=True)
class FilePattern:
    """One pattern, as two expressions that differ in how much of a name a field takes.

    Attributes:
        text: as the user wrote it.
        fields: names of its fields.
        least: expression in which the first fields take as little as they can.
        most: expression in which they take as much as they can.
    """

    text: str
    fields: tuple[str, ...]
    least: re.Pattern[str]
    most: re.Pattern[str]

    def match(self, name: str) -> dict[str, str] | None:
        """Values of the fields in a file name, or None if the pattern does not fit.

        Raises:
            UserError: if it fits in several ways.
        """
        least, most = self.least.fullmatch(name), self.most.fullmatch(name)
        if least is None or most is None:
            return None
        if least.groupdict() != most.groupdict():
            ways = " or ".join(
                ", ".join(f"{key}={value}" for key, value in match.groupdict().items()) for match in (least, most)
            )
            raise UserError(f"pattern={self.text}: {name} may be {ways}; put more of the name's text into the pattern")
        return least.groupdict()


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
    tokens = [token for token in _TOKEN.split(text) if token]
    fields = [token[1:-1] for token in tokens if token.startswith("{")]
    for name in fields:
        if name not in _FIELDS:
            raise UserError(f"pattern={text}: unknown field {{{name}}}; there are {', '.join(_FIELDS)}")
    if len(set(fields)) < len(fields):
        raise UserError(f"pattern={text}: give each field once")
    for first, second in itertools.pairwise(tokens):
        if _TOKEN.fullmatch(first) and _TOKEN.fullmatch(second):
            raise UserError(f"pattern={text}: {first}{second} cannot be told apart; put text between them")
    least, most = (
        re.compile("".join(_expression(token, repeat, any_text) for token in tokens))
        for repeat, any_text in (("+?", "[^/]*?"), ("+", "[^/]*"))
    )
    return FilePattern(text, tuple(fields), least, most)


def _expression(token: str, repeat: str, any_text: str) -> str:
    if token == "*":
        return any_text
    if token.startswith("{"):
        name = token[1:-1]
        return f"(?P<{name}>{_FIELDS[name].replace('{}', repeat)})"
    return re.escape(token)


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
