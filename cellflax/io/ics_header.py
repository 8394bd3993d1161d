"""The text header of an ICS file, by category and name (`layout order`, `representation sign`, ...)."""

import math
from dataclasses import dataclass
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.stack import UM_PER_UNIT

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class IcsHeader:
    """Entries of a header.

    Attributes:
        path: its file, for errors.
        entries: values by category and name; the name is empty where the category alone has a value.
        end: offset of the first byte after the header.
    """

    path: Path
    entries: dict[tuple[str, str], list[str]]
    end: int

    def required(self, category: str, name: str) -> list[str]:
        """All values of a required entry."""
        values = self.entries.get((category, name))
        if not values:
            raise UserError(f"{self.path}: the ICS header has no {category} {name}; copy or export it again")
        return values

    def first(self, category: str, name: str, default: str) -> str:
        """The first value of an entry, in lower case."""
        return (self.entries.get((category, name)) or [default])[0].lower()

    @property
    def is_version_1(self) -> bool:
        """Whether the pixels are in a separate file."""
        return self.first("ics_version", "", "2.0").startswith("1")

    def step_um(self) -> dict[str, float]:
        """Distance between neighbouring pixels in um, for each dimension that has one in a unit of length.

        Some writers leave `parameter scale` at 1 and record the extents of the field in the history instead.
        """
        scale, units = (self.entries.get(("parameter", name), []) for name in ("scale", "units"))
        if steps := _lengths_um(self.required("layout", "order"), scale, units):
            return steps
        names, extents, units, counts = (
            " ".join(self.entries.get(("history", name), [])).split()
            for name in ("labels", "extents", "units", "dimensions")
        )
        lengths = _lengths_um(names, extents, units)
        return {
            name: lengths[name] / int(count)
            for name, count in zip(names, counts, strict=False)
            if name in lengths and count.isdecimal() and int(count) > 0
        }


def parse_header(path: Path, content: bytes) -> IcsHeader:
    """Parse the header at the start of a file.

    The first line holds the two separators: that of words in a line, then that of lines.

    Raises:
        UserError: if the line `end` is missing; only version 1 may leave it out.
    """
    text = content[:_MAX_BYTES].decode("latin-1")
    field, line = text[:1], text[1:3] if text[1:3] == "\r\n" else text[1:2]
    entries: dict[tuple[str, str], list[str]] = {}
    position = len(field + line)
    while position < len(text):
        end = text.find(line, position)
        end = len(text) if end < 0 else end
        words = [_printable(word.strip()) for word in text[position:end].split(field)]
        position = end + len(line)
        if words[0] == "end":
            return IcsHeader(path, entries, position)
        name, values = (words[1], words[2:]) if len(words) > 2 else ("", words[1:])
        entries[words[0].lower(), name.lower()] = [value for value in values if value]
    header = IcsHeader(path, entries, len(content))
    if not header.is_version_1:
        raise UserError(f"{path}: the ICS header has no end; copy or export it again")
    return header


def _printable(word: str) -> str:
    """A word as it may stand in an error of one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in word)


def _lengths_um(names: list[str], values: list[str], units: list[str]) -> dict[str, float]:
    """Positive lengths in um, by name."""
    found = {}
    for name, value, unit in zip(names, values, units, strict=False):
        try:
            length = float(value) * UM_PER_UNIT.get(unit.lower(), 0.0)
        except ValueError:
            continue
        if 0 < length < math.inf:
            found[name.lower()] = length
    return found
