"""From a label image to polygons of its cells along the edges of pixels; `rasterise` is the way back, exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cellflax.labels import components

# Steps along the edges of a pixel, with the pixel on the right as the image is seen: along its upper edge to the
# right, its right edge down, its lower edge to the left, its left edge up. Rows and columns.
_STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
_STARTS = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])  # corner of the pixel where each begins
_OUTSIDE = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # the pixel on the other side of each


@dataclass(frozen=True)
class CellPolygon:
    """The outline of a cell.

    Attributes:
        label: its number in the label image.
        parts: of each 4-connected part of the cell its outer ring, then those of its holes; each (n, 2) whole x and y
            of corners of pixels, from (0, 0) at the upper left of the image, the first not repeated. Rings do not
            cross or touch themselves. By the shoelace formula outer rings have positive areas, and holes negative ones.
    """

    label: int
    parts: tuple[tuple[np.ndarray, ...], ...]

    @property
    def rings(self) -> tuple[np.ndarray, ...]:
        """All rings, for the even-odd rule."""
        return tuple(ring for part in self.parts for ring in part)

    @property
    def largest_ring(self) -> np.ndarray:
        """The outer ring of the largest part, for formats that have no holes and no several parts."""
        return max((part[0] for part in self.parts), key=ring_area)


def cell_polygons(labels: np.ndarray) -> list[CellPolygon]:
    """The polygons of all cells of an (H, W) label image, by ascending label; empty if there are none."""
    parts = np.pad(components(labels), 1)
    of_part: dict[int, list[np.ndarray]] = {}
    label_of_part: dict[int, int] = {}
    for row, column, loop in _loops(parts):
        part = int(parts[row, column])
        label_of_part[part] = int(labels[row - 1, column - 1])
        of_part.setdefault(part, []).extend(_without_straight_points(ring) for ring in _simple_rings(loop - 1))
    of_label: dict[int, list[tuple[np.ndarray, ...]]] = {}
    for part in sorted(of_part):
        rings = sorted(of_part[part], key=lambda ring: ring_area(ring) < 0)  # the only outer ring first
        of_label.setdefault(label_of_part[part], []).append(tuple(rings))
    return [CellPolygon(label, tuple(of_label[label])) for label in sorted(of_label)]


def ring_area(ring: np.ndarray) -> float:
    """Area by the shoelace formula, in pixels; negative for holes."""
    x, y = ring[:, 0].astype(float), ring[:, 1].astype(float)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _loops(parts: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Closed walks along the borders of parts: row and column of a pixel of the part, and (n, 2) x and y of corners.

    Where two pixels of a part meet in a corner alone, the walk stays at its pixel, so that each loop is of one
    4-connected part.

    Args:
        parts: (H, W) numbers of 4-connected parts, with a frame of background.
    """
    width = parts.shape[1]
    flat = parts.ravel()
    steps, outside = (offsets[:, 0] * width + offsets[:, 1] for offsets in (_STEPS, _OUTSIDE))
    inner = np.flatnonzero(flat)
    # An edge is 4 times its pixel plus its direction.
    edges: np.ndarray = np.sort(
        np.concatenate([4 * inner[flat[inner] != flat[inner + outside[d]]] + d for d in range(4)])
    )
    pixel, direction = edges // 4, edges % 4
    ahead = pixel + steps[direction]
    aside = ahead + outside[direction]
    goes_on = flat[ahead] == flat[pixel]
    turns_left = goes_on & (flat[aside] == flat[pixel])
    following = np.where(
        turns_left,
        4 * aside + (direction - 1) % 4,
        np.where(goes_on, 4 * ahead + direction, 4 * pixel + (direction + 1) % 4),
    )
    following = np.searchsorted(edges, following).tolist()
    corners = np.stack(np.divmod(pixel, width), axis=-1) + _STARTS[direction]
    seen = bytearray(len(edges))
    for start in range(len(edges)):
        if seen[start]:
            continue
        loop, edge = [], start
        while not seen[edge]:
            seen[edge] = 1
            loop.append(edge)
            edge = following[edge]
        row, column = divmod(int(pixel[start]), width)
        yield row, column, corners[loop][:, ::-1]


def _simple_rings(loop: np.ndarray) -> list[np.ndarray]:
    """A closed walk cut where it passes a corner twice, so that no ring touches itself."""
    codes = (loop[:, 0].astype(np.int64) << 32 | loop[:, 1]).tolist()
    if len(set(codes)) == len(codes):
        return [loop]
    rings, stack, place = [], list[int](), dict[int, int]()
    for i, code in enumerate(codes):
        if code in place:
            first = place[code]
            rings.append(loop[stack[first:]])
            for j in stack[first:]:
                del place[codes[j]]
            del stack[first:]
        place[code] = len(stack)
        stack.append(i)
    return [*rings, loop[stack]]


def _without_straight_points(ring: np.ndarray) -> np.ndarray:
    """A ring without the points at which it goes straight on."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[(before != after).any(axis=1)]
