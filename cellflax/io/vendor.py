"""What the readers of microscope makers' formats share: their libraries, which are extras, and how files are opened."""

import importlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cellflax.errors import UserError
from cellflax.io.notices import warn


def library(path: Path, name: str, extra: str) -> ModuleType:
    """Import the library that reads a format.

    Raises:
        UserError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{path}: needs the package {name}; pip install 'cellflax[{extra}]'") from error


def known[T](path: Path, what: str, read: Callable[[], T | None]) -> T | None:
    """A value of a file's metadata; one that cannot be read is unknown, with a warning, and does not spoil the pixels.

    Raises:
        UserError: as `read`.
    """
    try:
        return read()
    except UserError:
        raise
    except Exception as error:  # metadata may hold anything
        reason = (str(error).splitlines() or [""])[0]
        warn(f"{path}: its {what} cannot be read ({reason or type(error).__name__}); unknown")
        return None


@contextmanager
def bounded(path: Path) -> Iterator["BoundedFile"]:
    """Open a file so that a reader claims no more memory than the file has bytes."""
    file = BoundedFile(path)
    try:
        yield file
    finally:
        file.close()


class BoundedFile:
    """A binary file whose `read(size)` claims memory for what the file holds, not for what it declares.

    It is no `io.BufferedReader`, so that libraries read it instead of mapping it: mapped pages that were read count as
    memory of this process.

    Attributes:
        size: bytes of the file.
    """

    mode = "rb"

    def __init__(self, path: Path):
        self._file = path.open("rb")
        self.name = str(path)
        self.size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to this many bytes, or all that are left."""
        left = max(self.size - self._file.tell(), 0)
        return self._file.read(left if size is None or size < 0 else min(size, left))

    def readinto(self, buffer, /) -> int:
        """Fill a buffer; returns the number of bytes."""
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """False."""
        return False

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def close(self) -> None:
        """Close it."""
        self._file.close()
