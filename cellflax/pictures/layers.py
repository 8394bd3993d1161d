"""Pictures for a page, in two layers: the image, and the outlines, which a reader can hide."""

import io
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image as Pillow

from cellflax.pictures.overlay import OUTLINE_COLOURS, Panel, background, outlines_of, stretch

_QUALITY = 82  # of JPEG
_MOST_SHEET_PX = 1 << 26
_SHEET_WIDTH_PX = 1400


@dataclass(frozen=True)
class Layers:
    """A picture, encoded.

    Attributes:
        image: JPEG of the image, in grey.
        outlines: PNG of the outlines, transparent elsewhere, or None.
        size: width and height that it is shown at, pixels.
    """

    image: bytes
    outlines: bytes | None
    size: tuple[int, int]


def panel_layers(panel: Panel, side_px: int) -> Layers:
    """The two layers of a panel.

    A small image is stored as it is, and only its outlines are enlarged. A large one is thinned out.

    Args:
        panel: what to show.
        side_px: the longer side of its outlines will be this to twice this.
    """
    side = max(panel.predicted.shape)
    step = -(-side // (2 * side_px))
    outlines = outlines_of(panel, side_px)
    return Layers(_grey(background(panel)[::step, ::step]), _indexed(outlines), outlines.shape[::-1])


def coloured_layers(image: np.ndarray | None, outlines: np.ndarray) -> Layers:
    """An image under outlines in many colours.

    Args:
        image: (H, W) intensities, or None for black.
        outlines: (H', W', 4) uint8, red, green, blue and opacity.
    """
    height, width = outlines.shape[:2]
    grey = np.zeros((height, width)) if image is None else stretch(image)
    return Layers(_grey(grey), imagecodecs.png_encode(np.ascontiguousarray(outlines), level=6), (width, height))


def sheet_layers(path: Path) -> Layers | None:
    """A figure that is a file already, made small enough for a page; None if there is none or it is too large."""
    if not path.is_file():
        return None
    with Pillow.open(path) as figure:
        if figure.width * figure.height > _MOST_SHEET_PX:
            return None
        shown = figure.convert("RGB")
    shown.thumbnail((_SHEET_WIDTH_PX, 8 * _SHEET_WIDTH_PX))
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=_QUALITY)
    return Layers(buffer.getvalue(), None, shown.size)


def _grey(image: np.ndarray) -> bytes:
    return imagecodecs.jpeg_encode(np.ascontiguousarray((255 * image).astype(np.uint8)), level=_QUALITY)


def _indexed(outlines: np.ndarray) -> bytes:
    """A PNG of four colours, the first of them transparent."""
    picture = Pillow.fromarray(outlines, "P")
    colours = [(0, 0, 0), *(tuple(bytes.fromhex(colour[1:])) for colour in OUTLINE_COLOURS)]
    picture.putpalette([part for colour in colours for part in colour])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", bits=2, transparency=0, optimize=True)
    return buffer.getvalue()
