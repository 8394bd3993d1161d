"""PNG pictures."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from cellflax.io.reader import Reader
from cellflax.io.stack import Stack, default_channel_names

_COLOUR_TYPE = 25  # its place in a PNG: signature, length, "IHDR", width, height and bit depth come before
_INDEXED = b"\x03"


def is_png(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a PNG."""
    return start.startswith(b"\x89PNG")


def read_png(path: Path) -> Stack:
    """Read a PNG with its colours as channels; an alpha channel is dropped."""
    array = imagecodecs.png_decode(path.read_bytes())
    pixels = array.reshape(*array.shape[:2], 1, -1)
    if pixels.shape[-1] in (2, 4):
        pixels = pixels[..., :-1]
    return Stack(pixels.transpose(3, 2, 0, 1), default_channel_names(pixels.shape[-1]))


def read_png_labels(path: Path) -> Stack:
    """Read a PNG as labels: of an indexed one the numbers of its colours, not the colours of its palette.

    Programs for annotation (labelme, CVAT, GIMP, ImageJ with a look-up table) write labels so.
    """
    content = path.read_bytes()
    if content[_COLOUR_TYPE : _COLOUR_TYPE + 1] != _INDEXED:
        return read_png(path)
    # imagecodecs always replaces the numbers by their colours.
    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        return Stack(np.asarray(picture)[None, None], default_channel_names(1))


PNG = Reader("PNG", (".png",), read_png, is_png, read_png_labels)
