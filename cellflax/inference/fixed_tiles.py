"""Apply a network to any window of an image, on tiles that lie where they would whatever the window.

A pixel's outputs then depend on the image alone, to the last bit: neither on the window nor on who asks for it. The
tiles of `predict_tiles` divide each array that it is given equally, so that its outputs are equal up to rounding only.
"""

from collections.abc import Callable

import numpy as np

from cellflax.inference.blocks import Window
from cellflax.inference.dense import SHAPE_STEP, Apply
from cellflax.models import Geometry

# Takes a window of the image, returns its normalised pixels (h, w, C).
ReadWindow = Callable[[Window], np.ndarray]


class FixedTiles:
    """A network over an image that is read window by window. Pixels beyond the image are mirrored.

    Args:
        apply: as in `predict_tiles`; it is given one tile at a time, so that one program is compiled.
        geometry: geometry of the network.
        shape: height and width of the image.
        tile: largest edge of a tile, pixels.
        transforms: rotations and reflections, as in `predict_transforms`.
    """

    def __init__(
        self, apply: Apply, geometry: Geometry, shape: tuple[int, int], *, tile: int = 512, transforms: int = 1
    ):
        self._apply, self._shape, self._transforms = apply, shape, transforms
        self._border = geometry.border
        step = int(np.lcm(SHAPE_STEP, geometry.multiple))
        self._largest, self._step = max(tile // step, 1) * step, step

    def seen(self, window: Window) -> Window:
        """The part of the image that the outputs of a window depend on, whatever the transform."""
        spans = []
        for k in range(self._transforms):
            shape, turned = _turned(window, self._shape, k)
            axes = [self._axis(size, span) for size, span in zip(shape, turned, strict=True)]
            (top, bottom), (left, right) = [(min(map(min, rows)), max(map(max, rows)) + 1) for rows in axes]
            spans.append(_turned_back((slice(top, bottom), slice(left, right)), self._shape, k))
        rows, columns = (
            slice(min(span[axis].start for span in spans), max(span[axis].stop for span in spans)) for axis in (0, 1)
        )
        return rows, columns

    def predict(self, window: Window, read: ReadWindow) -> list[np.ndarray]:
        """Outputs of a window for each transform, in the orientation of the image.

        Args:
            window: rows and columns of the image.
            read: gives the normalised pixels of windows within `seen(window)`. They must not depend on the window
                that is asked for.

        Returns:
            For each transform (h, w, K) float32.
        """
        return [self._predict(window, read, k) for k in range(self._transforms)]

    def _predict(self, window: Window, read: ReadWindow, k: int) -> np.ndarray:
        shape, turned = _turned(window, self._shape, k)
        rows, columns = (self._axis(size, span) for size, span in zip(shape, turned, strict=True))
        output: np.ndarray | None = None
        for y in rows:
            for x in columns:
                pixels = self._pixels(y, x, read, k)
                result = np.asarray(self._apply(pixels[None]))[0]
                if output is None:
                    size = [span.stop - span.start for span in turned]
                    output = np.empty((*size, result.shape[-1]), np.float32)
                target, source = [], []
                for seen, length, span in zip((y, x), result.shape[:2], turned, strict=True):
                    first = seen.start
                    start, stop = max(first, span.start), min(first + length, span.stop)
                    target.append(slice(start - span.start, stop - span.start))
                    source.append(slice(start - first, stop - first))
                output[tuple(target)] = result[tuple(source)]
        assert output is not None
        output = output[:, ::-1] if k >= 4 else output
        return np.ascontiguousarray(np.rot90(output, -(k % 4)))

    def _pixels(self, y: "_Seen", x: "_Seen", read: ReadWindow, k: int) -> np.ndarray:
        """Normalised pixels of one tile of the turned image, with its border."""
        place = slice(min(y), max(y) + 1), slice(min(x), max(x) + 1)
        pixels = np.rot90(read(_turned_back(place, self._shape, k)), k % 4)
        pixels = pixels[:, ::-1] if k >= 4 else pixels
        return pixels[np.subtract(y, place[0].start)[:, None], np.subtract(x, place[1].start)]

    def _axis(self, size: int, span: slice) -> list["_Seen"]:
        """Along one axis, what each tile that has a part in a span sees."""
        edge = min(self._largest, -(-size // self._step) * self._step)
        first = span.start // edge * edge
        return [_Seen(size, start, edge, self._border) for start in range(first, span.stop, edge)]


class _Seen(list[int]):
    """Numbers of the pixels along an axis that a tile sees, mirrored at the image's ends; `start` is its own first."""

    def __init__(self, size: int, start: int, edge: int, border: int):
        super().__init__(_mirrored(np.arange(start - border, start + edge + border), size).tolist())
        self.start = start


def _mirrored(places: np.ndarray, size: int) -> np.ndarray:
    """Places along an axis beyond whose ends the image is mirrored, as `np.pad(mode="reflect")` does."""
    if size == 1:
        return np.zeros_like(places)
    places = np.mod(places, 2 * (size - 1))
    return np.minimum(places, 2 * (size - 1) - places)


def _turned(window: Window, shape: tuple[int, int], k: int) -> tuple[tuple[int, int], Window]:
    """The shape of an image after transform k of `predict_transforms`, and where a window is in it."""
    for _ in range(k % 4):
        rows, columns = window
        window = slice(shape[1] - columns.stop, shape[1] - columns.start), rows
        shape = shape[1], shape[0]
    return shape, _reflected(window, shape) if k >= 4 else window


def _turned_back(window: Window, shape: tuple[int, int], k: int) -> Window:
    """Where a window of the turned image is in an image of this shape."""
    turned = (shape[1], shape[0]) if k % 2 else shape
    if k >= 4:
        window = _reflected(window, turned)
    return _turned(window, turned, -k % 4)[1]


def _reflected(window: Window, shape: tuple[int, int]) -> Window:
    rows, columns = window
    return rows, slice(shape[1] - columns.stop, shape[1] - columns.start)
