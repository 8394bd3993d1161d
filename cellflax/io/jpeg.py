"""JPEG pictures, whose compression changes the pixels."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL.Image import Transpose
from PIL.JpegImagePlugin import JpegImageFile

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.reader import Reader, read_whole
from cellflax.io.scene import Scene
from cellflax.io.stack import Stack, default_channel_names
from cellflax.progress import say
from cellflax.wholefile import read_content

_MOST_BYTES = 1 << 31
_ORIENTATION = 0x0112  # EXIF's tag
# By EXIF's number; 1 is upright.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
# The most pixels that a byte can stand for: 16 x 16 pixels of colours that equal the last ones take 6 bits.
_PIXELS_PER_BYTE = 16 * 16 * 8 // 6 + 1


def is_jpeg(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a JPEG."""
    return start.startswith(b"\xff\xd8\xff")


def read_jpeg(path: Path) -> Stack:
    """Read a JPEG with its colours as channels; it is turned as its EXIF orientation says, as viewers show it.

    Raises:
        UserError: for more than 8 bits, and for the colours of print.
    """
    content = read_content(path, "export it as TIFF", _MOST_BYTES)
    try:
        # Not Image.open, which refuses and warns by the number of pixels alone.
        picture = JpegImageFile(io.BytesIO(content))
    except SyntaxError as error:
        if "12-bit" in str(error):
            raise UserError(f"{path}: a JPEG of 12 bits is not supported; export the image as TIFF") from error
        raise
    if picture.mode not in ("L", "RGB"):
        raise UserError(f"{path}: colours {picture.mode} are not supported; export the image as TIFF, grey or RGB")
    width, height = picture.size
    require_plausible_size(path, width * height, _PIXELS_PER_BYTE * len(content))
    _note(path, "a JPEG, whose compression changes the pixels: do not measure intensities; export TIFF if you can")
    orientation = _orientation(picture)
    upright = picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture
    if upright is not picture:
        _note(path, f"turned as its EXIF orientation ({orientation}) says, as viewers show it")
    pixels = np.asarray(upright).reshape(upright.height, upright.width, 1, -1)
    count = pixels.shape[-1]
    origin = "colours" if count > 1 else "default"
    return Stack(pixels.transpose(3, 2, 0, 1), default_channel_names(count), origin=origin)


@contextmanager
def refuse_jpeg_labels(path: Path) -> Iterator[Sequence[Scene]]:
    """No labels are read from a JPEG.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"{path}: labels in a JPEG are not read, because its compression changes their numbers; save labels as PNG or "
        "TIFF"
    )
    yield  # a context manager needs it


JPEG = Reader("JPEG", (".jpg", ".jpeg"), read_whole(read_jpeg), is_jpeg, refuse_jpeg_labels)


def _orientation(picture: JpegImageFile) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF may hold anything; without it the picture stays as it is
        return 1


_noted: set[tuple[Path, str]] = set()


def _note(path: Path, text: str) -> None:
    """Print a remark, once for each folder: a folder of JPEGs is one remark, not a thousand."""
    if (path.parent, text) not in _noted:
        _noted.add((path.parent, text))
        say(f"note: {path}: {text}")
