"""Files that are read as a whole: regular ones, no larger than their kind can be, and text in UTF-8.

A pipe or a device in a file's place would be waited for or read for ever. A file of gigabytes would fill the memory.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cellflax.errors import UserError

_CHUNK_BYTES = 1 << 20
_MOST_BLANK = 1 << 20


def open_regular(path: Path, remedy: str) -> BinaryIO:
    """Open a file for reading, if it is a regular one: opening a pipe would wait for a writer.

    Args:
        path: the file, or a link to it.
        remedy: what to do about a file that cannot be used, such as "predict again".

    Raises:
        UserError: if it cannot be opened, or is a folder, a pipe, a device or a socket.
    """
    try:
        # Without O_NONBLOCK, open() itself waits at a pipe. Regular files take no notice of it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise UserError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}); {remedy}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{path}: cannot be opened (Is a directory); {remedy}")
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: cannot be opened (a pipe or a device, not a regular file); {remedy}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_content(path: Path, remedy: str, most_bytes: int) -> bytearray:
    """Content of a regular file.

    Args:
        path: the file.
        remedy: what to do about a file that cannot be used.
        most_bytes: a larger file is refused before it is read.

    Raises:
        UserError: as `open_regular`, and if the file is too large or cannot be read.
    """
    with open_regular(path, remedy) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise UserError(f"{path}: has {size} bytes, and at most {most_bytes} are read; {remedy}")
        content = bytearray()
        try:
            while chunk := file.read(_CHUNK_BYTES):
                content += chunk
                if len(content) > most_bytes:  # it grows
                    raise UserError(f"{path}: has more than the {most_bytes} bytes that are read; {remedy}")
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from error
        return content


def read_utf8(path: Path, remedy: str, most_bytes: int) -> str:
    """Text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: as `read_content`, and, with the number of the line, for bytes that are no text (NUL, not UTF-8).
    """
    content = read_content(path, remedy, most_bytes)
    require_utf8(path, content, remedy)
    return content.decode("utf-8-sig")


def require_utf8(path: Path, content: bytes | bytearray, remedy: str) -> None:
    """Check that a file's content is text.

    Raises:
        UserError: with the number of the line, for bytes that are no text (NUL, not UTF-8).
    """
    if (place := content.find(b"\0")) >= 0:
        raise UserError(f"{path}: line {_line(content, place)} holds a NUL byte, which no text has; {remedy}")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line {_line(content, error.start)} is not UTF-8; {remedy}") from error


def _line(content: bytes | bytearray, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def require_plain_files(folder: Path, remedy: str) -> None:
    """Check that everything in a folder and below it is a regular file or a folder, before a library opens it.

    Raises:
        UserError: naming the first pipe, device, socket or broken link.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if not path.is_file():
                raise UserError(f"{path}: is not a regular file (but a pipe, device or broken link); {remedy}")


def is_blank(path: Path) -> bool:
    """Whether a regular file has lost what it held: a power cut or a full disk can leave it empty, or NUL in it."""
    return path.is_file() and path.stat().st_size <= _MOST_BLANK and not path.read_bytes().strip(b"\0")
