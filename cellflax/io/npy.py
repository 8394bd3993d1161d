"""NumPy's arrays (`.npy`), whose pixels are read from the file plane by plane."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cellflax.errors import UserError
from cellflax.io.reader import Reader
from cellflax.io.scene import Scene
from cellflax.io.stack import default_channel_names
from cellflax.io.unnamed_axes import UNNAMED, named_axes

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 10_000  # bytes; NumPy writes 128
# For axes before rows and columns, from the last; those beyond the first two have no meaning unless they are 1 long.
_LETTERS = UNNAMED[0] + UNNAMED[1] + "ABDEFGHJKLMNOPRUVW"


def is_npy(start: bytes) -> bool:
    """Whether a file that starts with these bytes is an NPY file."""
    return start.startswith(_MAGIC)


@contextmanager
def open_npy(path: Path) -> Iterator[Sequence[Scene]]:
    """Open the array of an NPY file.

    Its last axes are rows and columns, or rows, columns and a few channels. Before them it may have one more, which the
    file cannot name: a few planes are channels, more are the frames of a movie.

    Raises:
        UserError: for Python objects, which only running code of the file could restore, and for other axes.
    """
    with path.open("rb") as file:
        shape, fortran, dtype = _header(path, file)
        start = file.tell()
    if dtype.hasobject:
        raise UserError(
            f"{path}: holds Python objects (a pickle), which are not read because they can run code; export the image "
            "or the masks as TIFF or PNG (in Cellpose: File > Save masks as PNG/TIFF)"
        )
    declared, held = int(np.prod(shape, dtype=object)) * dtype.itemsize, path.stat().st_size - start
    if declared != held:
        raise UserError(
            f"{path}: damaged or incomplete (declares {declared} bytes of pixels and holds {held}); copy or export it "
            "again"
        )
    if len(shape) < 2 or min(shape) < 1:
        raise UserError(f"{path}: an array of shape {shape} is no image; save rows and columns")
    if len(shape) - 2 > len(_LETTERS):
        raise UserError(f"{path}: an array of {len(shape)} axes is not supported; save one image")
    axes, unnamed = named_axes(path, _LETTERS[: len(shape) - 2] + "YX", shape)
    size = {axis: shape[axes.index(axis)] if axis in axes else 1 for axis in "TCZYX"}

    def read(t: int, c: int, _: int) -> np.ndarray:
        at = {"T": t, "C": c}
        index = tuple(slice(None) if axis in "YX" else at.get(axis, 0) for axis in axes)
        # Mapped anew each time: what was read counts as this process's memory for as long as it is mapped.
        return np.array(np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")[index])

    yield [Scene(path, size, dtype, read, default_channel_names(size["C"]), unnamed=unnamed)]


NPY = Reader("NPY", (".npy",), open_npy, is_npy)


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first in the file, and type of the pixels; the file then stands at the pixels."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file, _MOST_HEADER)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file, _MOST_HEADER)
    raise UserError(f"{path}: version {version} of NPY is not supported; save numbers with numpy.save")
