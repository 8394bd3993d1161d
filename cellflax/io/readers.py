"""The table of file formats that cellflax reads.

To add a format, write one file that defines its `Reader`, and add a line to `READERS`. Error messages and the search
for files in folders follow from the table.
"""

import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.czi import CZI
from cellflax.io.damage import DAMAGED, decoding
from cellflax.io.ics import ICS
from cellflax.io.jpeg import JPEG
from cellflax.io.lif import LIF
from cellflax.io.nd2 import ND2
from cellflax.io.npy import NPY
from cellflax.io.ome_zarr import OME_ZARR
from cellflax.io.png import PNG
from cellflax.io.reader import Reader, read_start
from cellflax.io.reading import Reading
from cellflax.io.scene import Scene, choose_scene, with_time_axis
from cellflax.io.tiff import TIFF

READERS: tuple[Reader, ...] = (
    TIFF,
    PNG,
    ICS,
    JPEG,
    NPY,
    OME_ZARR,
    CZI,
    ND2,
    LIF,
)


def format_names() -> str:
    """Names of all formats for a sentence: "TIFF, PNG or ICS"."""
    *others, last = (reader.name for reader in READERS)
    return f"{', '.join(others)} or {last}"


def has_known_suffix(path: Path) -> bool:
    """Whether a file's suffix, in upper or lower case, is that of a format in the table."""
    return any(_has_suffix(reader, path) for reader in READERS)


def is_image(path: Path) -> bool:
    """Whether a path is a file with the suffix of a format in the table, or a folder that is an image of one."""
    return is_image_folder(path) if path.is_dir() else path.is_file() and has_known_suffix(path)


def is_image_folder(path: Path) -> bool:
    """Whether a folder is an image of a format in the table."""
    return any(reader.is_folder is not None and reader.is_folder(path) for reader in READERS)


@contextmanager
def open_file(path: Path, *, as_labels: bool = False) -> Iterator[Sequence[Scene]]:
    """Open an image file with the reader for its content or, if no format recognises it, for its suffix.

    Content comes first because the public data sets have TIFFs called `.png`.

    Args:
        path: the file, or the folder of a format that has one.
        as_labels: read the numbers of an indexed picture instead of its colours.

    Yields:
        Its images, one for each position or scene, with names that differ; planes are read while it is open.

    Raises:
        UserError: if the file cannot be opened, is damaged, or has none of the formats.
    """
    reader = find_reader(path)
    opener = (as_labels and reader.open_labels) or reader.open
    with ExitStack() as stack:
        with decoding(path, DAMAGED):
            scenes = list(stack.enter_context(opener(path)))
            if not scenes:
                raise UserError(f"{path}: damaged or incomplete (holds no image); copy or export it again")
            for scene in scenes:
                _check(scene)
        yield _with_names(scenes)


@contextmanager
def open_scene(path: Path, reading: Reading | None = None, *, as_labels: bool = False) -> Iterator[Scene]:
    """Open one image of a file.

    Args:
        path: the file.
        reading: which of several, and which of its axes is time.
        as_labels: as for `open_file`.

    Raises:
        UserError: as `open_file`, and if it holds several and none is chosen.
    """
    reading = reading or Reading()
    with open_file(path, as_labels=as_labels) as scenes:
        yield with_time_axis(choose_scene(scenes, reading), reading.time_axis)


def scene_names(path: Path) -> list[str]:
    """Names of the images of a file that holds several; none for other files, and for those that cannot be opened."""
    try:
        if not find_reader(path).several:
            return []
        with open_file(path) as scenes:
            return [scene.name for scene in scenes if len(scenes) > 1]
    except UserError:
        return []


def find_reader(path: Path) -> Reader:
    """The reader of a file, see `open_file`.

    Raises:
        UserError: if the file cannot be opened or has none of the formats.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened ({getattr(error, 'strerror', error)})") from error
    if stat.S_ISDIR(mode):
        for reader in READERS:
            if reader.is_folder is not None and reader.is_folder(path):
                return reader
        raise UserError(f"{path}: a folder, not an image file")
    if not stat.S_ISREG(mode):  # opening it might wait for ever
        raise UserError(f"{path}: not a regular file; give an image file")
    start = read_start(path)
    if not start:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    by_content = [reader for reader in READERS if reader.recognises is not None and reader.recognises(start)]
    by_suffix = [reader for reader in READERS if reader.recognises is None and _has_suffix(reader, path)]
    for reader in (*by_content, *by_suffix):
        return reader
    raise UserError(f"{path}: its content is not {format_names()}; convert it to one of them")


def _has_suffix(reader: Reader, path: Path) -> bool:
    return path.name.lower().endswith(reader.suffixes)


def _check(scene: Scene) -> None:
    if scene.dtype.kind not in "biuf":
        raise UserError(f"{scene.path}: pixels of type {scene.dtype} are not supported; save integers or floats")
    if min(scene.sizes.values()) < 1:
        raise UserError(f"{scene.path}: the image is empty, its size is {dict(scene.sizes)}")


def _with_names(scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes with their numbers as names where a file's own names are missing or repeat; "" for the only one."""
    if len(scenes) == 1:
        return [replace(scenes[0], name="")]
    counts = Counter(scene.name for scene in scenes)
    usable = all(name and count == 1 for name, count in counts.items())
    return [scene if usable else replace(scene, name=str(i)) for i, scene in enumerate(scenes)]
