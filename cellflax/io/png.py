"""PNG pictures."""

from pathlib import Path

import imagecodecs

from cellflax.io.reader import Reader
from cellflax.io.stack import Stack, default_channel_names


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


PNG = Reader("PNG", (".png",), read_png, is_png)
