"""What a file format provides so that cellflax can read it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cellflax.io.scene import Scene, scene_of
from cellflax.io.stack import Stack
from cellflax.wholefile import open_regular

type Opener = Callable[[Path], AbstractContextManager[Sequence[Scene]]]

_START_BYTES = 16


@dataclass(frozen=True)
class Reader:
    """One file format; the table `readers.READERS` lists all.

    Attributes:
        name: for error messages, such as "TIFF".
        suffixes: endings of its files in lower case, such as ".tif". Folders and patterns find files by them.
        open: opens a file and yields its images, one for each position or scene; their planes are read while it is
            open. It raises `UserError` for what is not supported; any other exception means that the file is damaged.
        recognises: whether a file that starts with these bytes (the first 16, or all of a shorter file) has the
            format. None for a format without such a mark, which is known by its suffixes alone.
        open_labels: opens a file as labels where that differs from opening it as an image: the numbers of an indexed
            picture instead of their colours. None where it does not.
        is_folder: whether an image is a folder, which is known by its content.
        several: whether a file can hold several images.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Opener
    recognises: Callable[[bytes], bool] | None = None
    open_labels: Opener | None = None
    is_folder: Callable[[Path], bool] | None = None
    several: bool = False


def read_whole(read: Callable[[Path], Stack], source: str = "") -> Opener:
    """Opens files of a format that are read as a whole, and hold one image."""

    @contextmanager
    def open_file(path: Path) -> Iterator[Sequence[Scene]]:
        yield [scene_of(path, read(path), source)]

    return open_file


def read_start(path: Path) -> bytes:
    """The bytes from which a format is recognised.

    Raises:
        UserError: if the file cannot be opened.
    """
    with open_regular(path, "give an image file") as file:
        return file.read(_START_BYTES)
