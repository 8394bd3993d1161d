"""The table of file formats that cellflax reads.

To add a format, write one file that defines its `Reader`, and add a line to `READERS`. Error messages and the search
for files in folders follow from the table.
"""

from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.ics import ICS
from cellflax.io.png import PNG
from cellflax.io.reader import Reader, decoding, read_start
from cellflax.io.stack import Stack
from cellflax.io.tiff import TIFF

READERS: tuple[Reader, ...] = (
    TIFF,
    PNG,
    ICS,
)


def format_names() -> str:
    """Names of all formats for a sentence: "TIFF, PNG or ICS"."""
    *others, last = (reader.name for reader in READERS)
    return f"{', '.join(others)} or {last}"


def has_known_suffix(path: Path) -> bool:
    """Whether a file's suffix, in upper or lower case, is that of a format in the table."""
    return any(_has_suffix(reader, path) for reader in READERS)


def read_file(path: Path, *, as_labels: bool = False) -> Stack:
    """Read an image file with the reader for its content or, if no format recognises it, for its suffix.

    Content comes first because the public data sets have TIFFs called `.png`.

    Args:
        path: the file.
        as_labels: read the numbers of an indexed picture instead of its colours.

    Raises:
        UserError: if the file cannot be opened, is damaged, or has none of the formats.
    """
    reader = _find(path, read_start(path))
    with decoding(path, "damaged or incomplete"):
        return ((as_labels and reader.read_labels) or reader.read)(path)


def _find(path: Path, start: bytes) -> Reader:
    if not start:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    by_content = [reader for reader in READERS if reader.recognises is not None and reader.recognises(start)]
    by_suffix = [reader for reader in READERS if reader.recognises is None and _has_suffix(reader, path)]
    for reader in (*by_content, *by_suffix):
        return reader
    raise UserError(f"{path}: its content is not {format_names()}; convert it to one of them")


def _has_suffix(reader: Reader, path: Path) -> bool:
    return path.suffix.lower() in reader.suffixes
