"""Many small objects on one array, so that one call handles all of them."""

from collections.abc import Iterator, Sequence

import numpy as np

# Pixels of a sheet, unless one object has more. Larger sheets do not fit a processor's cache.
_PIXELS = 1 << 16


class Sheet:
    """Masks of objects side by side, each with background around it.

    The background is at least one pixel wide, so that no object touches another, also at a corner. Of two pixels of an
    object, the one that comes first in its own crop comes first on the sheet.

    Attributes:
        labels: (H, W) int32; mask i has the number i + 1.
    """

    def __init__(self, masks: Sequence[np.ndarray]):
        """Lay the masks, (h, w) bool, on shelves, the highest first."""
        shapes = [mask.shape for mask in masks]
        self._windows: dict[int, tuple[slice, slice]] = {}
        area = sum((height + 1) * (width + 1) for height, width in shapes) if len(shapes) > 1 else 0
        edge = max(int(np.sqrt(area)), max(width for _, width in shapes)) + 2
        top, left, shelf = 1, 1, 0
        for i in sorted(range(len(shapes)), key=lambda i: -shapes[i][0]):
            height, width = shapes[i]
            if left + width + 1 > edge:
                top, left, shelf = top + shelf + 1, 1, 0
            self._windows[i] = slice(top, top + height), slice(left, left + width)
            left, shelf = left + width + 1, max(shelf, height)
        self._shape = (top + shelf + 1, edge)
        self.labels = self.put([mask * np.int32(i + 1) for i, mask in enumerate(masks)])

    def put(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """The sheet with a crop in place of each mask, and 0 between them."""
        array = np.zeros(self._shape, crops[0].dtype)
        for i, crop in enumerate(crops):
            array[self._windows[i]] = crop
        return array

    def take(self, array: np.ndarray, i: int, margin: int = 0) -> np.ndarray:
        """A view of crop i of an array of the sheet's shape, with a margin of 0 or 1 pixel."""
        rows, columns = self._windows[i]
        return array[rows.start - margin : rows.stop + margin, columns.start - margin : columns.stop + margin]


def sheetfuls(shapes: Sequence[tuple[int, ...]]) -> Iterator[slice]:
    """Cut a list of crops into runs that fill a sheet each."""
    first, pixels = 0, 0
    for i, (height, width) in enumerate(shapes):
        if i > first and pixels + height * width > _PIXELS:
            yield slice(first, i)
            first, pixels = i, 0
        pixels += height * width
    if first < len(shapes):
        yield slice(first, len(shapes))
