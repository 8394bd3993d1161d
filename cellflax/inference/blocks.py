"""Cut an image into blocks, each segmented with its surroundings, so that segmentation takes bounded memory."""

from dataclasses import dataclass
from itertools import pairwise

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Block:
    """A part of an image that is segmented at once.

    Attributes:
        core: rows and columns of the part; the cores of all blocks tile the image.
        window: the core and its surroundings as far as a cell can reach; cells are found in it.
        source: the window and its surroundings as far as a network sees; the network is applied to it. All sources
            of an image have one shape, so that one compilation serves them.
    """

    core: Window
    window: Window
    source: Window


def split_blocks(shape: tuple[int, int], *, block: int, halo: int, margin: int, multiple: int) -> list[Block]:
    """Cut an image into the fewest equal blocks, in reading order; an image that fits is a single block.

    Args:
        shape: height and width.
        block: largest edge of a core, pixels.
        halo: pixels from a core to its window's edge; fewer at the image's edge.
        margin: pixels from a window to its source's edge; fewer at the image's edge.
        multiple: sources begin and end at multiples of this, counted from either end of the image. A network's
            poolings then fall on the same pixels as in the whole image, even if it is turned or reflected.
    """
    rows, columns = (_spans(size, block, halo, margin, multiple) for size in shape)
    return [Block(core=(y[0], x[0]), window=(y[1], x[1]), source=(y[2], x[2])) for y in rows for x in columns]


def inside(window: Window, outer: Window) -> Window:
    """A window relative to the origin of another."""
    rows, columns = (slice(span.start - of.start, span.stop - of.start) for span, of in zip(window, outer, strict=True))
    return rows, columns


def _spans(size: int, block: int, halo: int, margin: int, multiple: int) -> list[tuple[slice, slice, slice]]:
    """Core, window and source of every block along one axis."""
    count = -(-size // block)
    if count == 1:
        whole = slice(0, size)
        return [(whole, whole, whole)]
    edges = [i * size // count for i in range(count + 1)]
    needed = -(-size // count) + 2 * (halo + margin) + multiple - 1
    length = min(needed + (size - needed) % multiple, size)
    spans = []
    for start, stop in pairwise(edges):
        window = slice(max(start - halo, 0), min(stop + halo, size))
        first = min(max(window.start - margin, 0) // multiple * multiple, size - length)
        spans.append((slice(start, stop), window, slice(first, first + length)))
    return spans
