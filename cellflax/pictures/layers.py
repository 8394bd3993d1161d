"""Pictures for a page, in two layers: the image, and the outlines, which a reader can hide."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image as Pillow

from cellflax.pictures.overlay import OUTLINE_COLOURS, Panel, background, outlines_of, scale_of, stretch

_GAP_PX = 8
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
    outlines = outlines_of(panel, side_px, thick=True)
    return Layers(_grey(background(panel)[::step, ::step]), _indexed(outlines), outlines.shape[::-1])


def row_layers(panels: Sequence[Panel], side_px: int) -> Layers:
    """Panels of one size side by side, as one picture in two layers; arguments as of `panel_layers`."""
    zoom, step = scale_of(panels[0], side_px)
    greys = [background(panel)[::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1) for panel in panels]
    drawn = [outlines_of(panel, side_px) for panel in panels]
    row, lines = _in_a_row(greys, 1), _in_a_row(drawn, 0)
    return Layers(_grey(row), _indexed(lines), (lines.shape[1], lines.shape[0]))


def _in_a_row(parts: Sequence[np.ndarray], between: int) -> np.ndarray:
    gap = np.full_like(parts[0], between, shape=(parts[0].shape[0], _GAP_PX))
    return np.concatenate([one for part in parts for one in (part, gap)][:-1], axis=1)


def sheet_side_px(count: int) -> int:
    """How large each picture may be where a page holds so many rows of them."""
    return next((side for most, side in ((24, 256), (100, 128)) if count <= most), 64)


def coloured_layers(image: np.ndarray | None, outlines: np.ndarray) -> Layers:
    """An image under outlines in many colours.

    Args:
        image: (H, W) intensities, or None for black.
        outlines: (H', W', 4) uint8, red, green, blue and opacity.
    """
    height, width = outlines.shape[:2]
    grey = np.zeros((height, width)) if image is None else stretch(image)
    return Layers(_grey(grey), bytes(imagecodecs.png_encode(np.ascontiguousarray(outlines), level=6)), (width, height))


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
    return bytes(imagecodecs.jpeg_encode(np.ascontiguousarray((255 * image).astype(np.uint8)), level=_QUALITY))


def _indexed(outlines: np.ndarray) -> bytes:
    """A PNG of four colours, the first of them transparent."""
    picture = Pillow.fromarray(outlines, "P")
    colours = [(0, 0, 0), *(tuple(bytes.fromhex(colour[1:])) for colour in OUTLINE_COLOURS)]
    picture.putpalette([part for colour in colours for part in colour])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", bits=2, transparency=0, compress_level=6)
    return buffer.getvalue()
