"""PNG pictures."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from cellflax.io.damage import require_plausible_size
from cellflax.io.reader import Reader, read_whole
from cellflax.io.stack import Stack, default_channel_names
from cellflax.wholefile import read_content

# Samples of a pixel, by PNG's number of the colour type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MOST_BYTES = 1 << 31
_COLOUR_TYPE = 25  # its place in a PNG: signature, length, "IHDR", width, height and bit depth come before
_INDEXED = b"\x03"


def is_png(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a PNG."""
    return start.startswith(b"\x89PNG")


def read_png(path: Path) -> Stack:
    """Read a PNG with its colours as channels; an alpha channel is dropped."""
    content = read_content(path, "export it as TIFF", _MOST_BYTES)
    width, height, bits, colour = struct.unpack(">IIBB", content[16:26])
    # Deflate packs at most 1032 bytes into one.
    require_plausible_size(path, width * height * bits * _SAMPLES.get(colour, 1) // 8, 1032 * len(content))
    array = imagecodecs.png_decode(content)
    pixels = array.reshape(*array.shape[:2], 1, -1)
    if pixels.shape[-1] in (2, 4):
        pixels = pixels[..., :-1]
    count = pixels.shape[-1]
    origin = "colours" if count > 1 else "default"
    return Stack(pixels.transpose(3, 2, 0, 1), default_channel_names(count), origin=origin)


def read_png_labels(path: Path) -> Stack:
    """Read a PNG as labels: of an indexed one the numbers of its colours, not the colours of its palette.

    Programs for annotation (labelme, CVAT, GIMP, ImageJ with a look-up table) write labels so.
    """
    content = read_content(path, "export it as TIFF", _MOST_BYTES)
    if content[_COLOUR_TYPE : _COLOUR_TYPE + 1] != _INDEXED:
        return read_png(path)
    # imagecodecs always replaces the numbers by their colours.
    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        return Stack(np.asarray(picture)[None, None], default_channel_names(1))


PNG = Reader("PNG", (".png",), read_whole(read_png), is_png, read_whole(read_png_labels))
