"""PNG pictures."""

import struct
from pathlib import Path

import imagecodecs

from cellflax.io.reader import Reader, require_plausible_size
from cellflax.io.stack import Stack, default_channel_names

# Samples of a pixel, by PNG's number of the colour type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def is_png(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a PNG."""
    return start.startswith(b"\x89PNG")


def read_png(path: Path) -> Stack:
    """Read a PNG with its colours as channels; an alpha channel is dropped."""
    content = path.read_bytes()
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


PNG = Reader("PNG", (".png",), read_png, is_png)
