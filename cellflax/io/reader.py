"""What a file format provides so that cellflax can read it, and how damaged files are reported."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.stack import Stack

_START_BYTES = 16


@dataclass(frozen=True)
class Reader:
    """One file format; the table `readers.READERS` lists all.

    Attributes:
        name: for error messages, such as "TIFF".
        suffixes: endings of its files in lower case, such as ".tif". Folders and patterns find files by them.
        read: reads a file. It raises `UserError` for what is not supported; any other exception means that the file is
            damaged.
        read_labels: reads a file as labels where that differs from reading it as an image: the numbers of an indexed
            picture instead of their colours. None where it does not.
        recognises: whether a file that starts with these bytes (the first 16, or all of a shorter file) has the
            format. None for a format without such a mark, which is known by its suffixes alone.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Stack]
    recognises: Callable[[bytes], bool] | None = None
    read_labels: Callable[[Path], Stack] | None = None


def read_start(path: Path) -> bytes:
    """The bytes from which a format is recognised.

    Raises:
        UserError: if the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(_START_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from error


@contextmanager
def decoding(path: Path, fault: str) -> Iterator[None]:
    """Report any exception of a decoder as a fault of the file ("damaged"), with the decoder's reason.

    Raises:
        UserError: for any exception except a `UserError` or a lack of memory, which pass unchanged.
    """
    # tifffile reports a damaged file in log lines as well as by the exception that is reported below.
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: {fault} ({reason}); copy or export it again") from error
    finally:
        logger.setLevel(level)
