"""Cells of a movie as the tracker sees them: where they are, how large, and how they overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from skimage import measure

from cellflax.errors import UserError
from cellflax.frame_sequence import FrameSequence, PackedFrame

# Parts of one label: a speck is a flaw of the outline, two large parts far from each other are two cells.
_PART_AREA = 0.25  # of the label's area
_PART_DISTANCE = 2.0  # typical diameters, between the parts' centroids


@dataclass(frozen=True)
class FrameCells:
    """Cells of one frame, by ascending label.

    Attributes:
        packed: `index`, compressed.
        label: (N,) numbers in the label image.
        centroid: (N, 2) row and column, pixels.
        area: (N,) pixels.
        touches_border: (N,) bool; only a part of such a cell may be visible.
    """

    packed: PackedFrame
    label: np.ndarray
    centroid: np.ndarray
    area: np.ndarray
    touches_border: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width of the frame."""
        return self.packed.shape

    @property
    def index(self) -> np.ndarray:
        """(H, W) int32, 1 + the cell's row in the attributes; 0 = background. Each use unpacks it."""
        return self.packed.unpack()


def measure_frame(labels: np.ndarray) -> FrameCells:
    """Measure the cells of an (H, W) label image, in time linear in its pixels."""
    # Hashing, unlike the sort of np.unique, stays linear in the pixels.
    codes, values = map(np.asarray, pd.factorize(np.concatenate([[0], labels.ravel()]), sort=True))
    index = codes[1:].reshape(labels.shape).astype(np.int32)
    rows, columns = np.nonzero(index)
    cell, n = index[rows, columns] - 1, len(values) - 1
    area = np.bincount(cell, minlength=n)
    sums = [np.bincount(cell, at, minlength=n) for at in (rows, columns)]
    border = np.concatenate([index[0], index[-1], index[:, 0], index[:, -1]])
    return FrameCells(
        packed=PackedFrame(index),
        label=values[1:].astype(np.int64),
        centroid=np.stack(sums, axis=-1) / np.maximum(area, 1)[:, None],
        area=area,
        touches_border=np.isin(np.arange(1, n + 1), border),
    )


@dataclass(frozen=True)
class Overlaps:
    """Pairs of cells of two frames that share pixels.

    Attributes:
        before: (P,) rows of the first frame's cells.
        after: (P,) rows of the second's.
        pixels: (P,) shared.
    """

    before: np.ndarray
    after: np.ndarray
    pixels: np.ndarray


def overlaps(before: FrameCells, after: FrameCells, shift: Sequence[int] | np.ndarray = (0, 0)) -> Overlaps:
    """Pixels that cells of two frames share, once the first is moved by `shift` (rows, columns)."""
    (top, left), (height, width) = map(int, shift), before.shape
    there = before.index[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    here = after.index[max(top, 0) : max(height + top, 0), max(left, 0) : max(width + left, 0)]
    both = (there > 0) & (here > 0)
    n = max(len(after), 1)
    codes, found = map(np.asarray, pd.factorize((there[both].astype(np.int64) - 1) * n + here[both] - 1))
    return Overlaps(*np.divmod(found, n), np.bincount(codes, minlength=len(found)))


@dataclass(frozen=True)
class MovieCells:
    """Cells of all frames. A cell's number in the movie is its row in `label` or `frame`, frame after frame."""

    frames: list[FrameCells]

    @cached_property
    def start(self) -> np.ndarray:
        """(T + 1,) number of the first cell of every frame."""
        return np.cumsum([0, *(len(frame) for frame in self.frames)])

    def cells_of(self, frame: int) -> slice:
        """Numbers of the cells of a frame."""
        return slice(int(self.start[frame]), int(self.start[frame + 1]))

    @cached_property
    def frame(self) -> np.ndarray:
        """(N,) frame of every cell."""
        return np.repeat(np.arange(len(self.frames)), np.diff(self.start))

    @cached_property
    def label(self) -> np.ndarray:
        """(N,) label of every cell within its frame."""
        return np.concatenate([frame.label for frame in self.frames])

    @cached_property
    def area(self) -> np.ndarray:
        """(N,) area of every cell, pixels."""
        return np.concatenate([frame.area for frame in self.frames])

    @cached_property
    def centroid(self) -> np.ndarray:
        """(N, 2) row and column of every cell, pixels."""
        return np.concatenate([frame.centroid for frame in self.frames])

    @cached_property
    def touches_border(self) -> np.ndarray:
        """(N,) whether the image's border may cut the cell."""
        return np.concatenate([frame.touches_border for frame in self.frames])

    @property
    def diameter_px(self) -> float:
        """The typical diameter: that of a disk of the cells' median area; 1 without cells."""
        return 2 * float(np.sqrt(np.median(self.area) / np.pi)) if self.area.size else 1.0


def measure_movie(labels: FrameSequence) -> MovieCells:
    """Measure the cells of every frame of (T, H, W) labels.

    Besides one frame, this holds the cells' measurements and the frames' compressed indices.

    Raises:
        UserError: if there is no cell, or a label of a frame stands for two cells.
    """
    movie = MovieCells([measure_frame(frame) for frame in labels])
    if not movie.area.size:
        raise UserError(f"no cell in any of the {len(labels)} frames; are they label images?")
    for number, frame in enumerate(labels):
        _require_unique(number, frame, movie.diameter_px)
    return movie


def _require_unique(number: int, labels: np.ndarray, diameter_px: float) -> None:
    """Refuse a label with two large parts that lie far from each other."""
    part_of = np.asarray(measure.label(labels, connectivity=2), np.int32)  # 1...n, so also the parts' index
    parts = measure_frame(part_of)
    pixel = np.zeros(len(parts) + 1, np.int64)  # any pixel of a part has its label
    pixel[part_of.ravel()] = np.arange(labels.size)
    label = labels.ravel()[pixel[1:]]
    order = np.lexsort((-parts.area, label))
    names, first, inverse = np.unique(label[order], return_index=True, return_inverse=True)
    largest = order[first][inverse]  # part of the same label, for each part in order
    total = np.bincount(inverse, parts.area[order])[inverse]
    away = np.hypot(*(parts.centroid[order] - parts.centroid[largest]).T)
    twice = np.flatnonzero((parts.area[order] > _PART_AREA * total) & (away > _PART_DISTANCE * diameter_px))
    if twice.size:
        one, two = (parts.centroid[part].round().astype(int) for part in (largest[twice[0]], order[twice[0]]))
        raise UserError(
            f"frame {number}: label {names[inverse[twice[0]]]} is two cells, at row {one[0]} column {one[1]} and at "
            f"row {two[0]} column {two[1]}; give every cell of a frame a label of its own"
        )
