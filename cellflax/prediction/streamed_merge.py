"""Join the blocks of an image that is larger than memory: one label image, and one row per cell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.inference.blocks import Window
from cellflax.inference.joining import AlignedBlock, number_cells, same_cells
from cellflax.io import results
from cellflax.io.tables import write_table
from cellflax.io.zarr_labels import LabelArray
from cellflax.measure.cell_type import cell_type_names, cell_types
from cellflax.measure.cells import cell_table
from cellflax.prediction.streamed_blocks import BlockFacts, StreamedSource

LoadFacts = Callable[[AlignedBlock], BlockFacts]


@dataclass(frozen=True)
class Joined:
    """Which cell each part of a cell belongs to; parts are numbered block by block.

    Attributes:
        offset: by row and column of a block, the number of its first part.
        number: (n,) int32, number of the cell that each part belongs to.
        first: (n,) first pixel of each part.
        begins: (cells,) first pixel of each cell; index 0 is cell 1.
        fingerprint: (cells,) of all its pixels.
    """

    offset: dict[tuple[int, int], int]
    number: np.ndarray
    first: np.ndarray
    begins: np.ndarray
    fingerprint: np.ndarray

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.begins)


def join_blocks(blocks: Sequence[AlignedBlock], load: LoadFacts, labels: LabelArray) -> Joined:
    """Find the parts that are one cell, by what neighbouring blocks saw alike, and number the cells by position.

    Takes time in proportion to the length of all borders, and memory in proportion to the number of cells (some 100
    bytes each).

    Args:
        blocks: all blocks, in reading order.
        load: reads the facts of a block.
        labels: what each block found in its core.
    """
    offset: dict[tuple[int, int], int] = {}
    first, fingerprint, n = [], [], 0
    for block in blocks:
        facts = load(block)
        offset[block.row, block.column] = n
        first.append(facts.first)
        fingerprint.append(facts.fingerprint)
        n += len(facts.first)
    at = {(block.row, block.column): block for block in blocks}
    pairs = [np.empty((0, 2), np.int64)]
    for block in blocks:
        here = load(block).strips
        for place, axis in (((block.row, block.column + 1), 1), ((block.row + 1, block.column), 0)):
            if place not in at:
                continue
            found = _pairs_across(block, at[place], axis, here, load(at[place]).strips, labels)
            pairs.append(found + np.array([offset[block.row, block.column] - 1, offset[place] - 1]))
    firsts, prints = np.concatenate(first), np.concatenate(fingerprint)
    number = number_cells(firsts, np.concatenate(pairs))
    count = int(number.max(initial=0))
    begins, whole = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.uint64)
    np.minimum.at(begins, number - 1, firsts)
    np.add.at(whole, number - 1, prints)
    return Joined(offset, number, firsts, begins, whole)


def _pairs_across(
    a: AlignedBlock,
    b: AlignedBlock,
    axis: int,
    of_a: dict[str, np.ndarray],
    of_b: dict[str, np.ndarray],
    labels: LabelArray,
) -> np.ndarray:
    """Pairs of labels of block a and the next block b along an axis that are one cell, by the strips of either."""
    after, before = ("right", "left") if axis else ("bottom", "top")
    border = b.core[axis].start

    def along(span: slice) -> Window:
        return (a.core[0], span) if axis else (span, a.core[1])

    def cut(strip: np.ndarray, part: slice) -> np.ndarray:
        return strip[:, part] if axis else strip[part]

    wide = min(of_a[after].shape[axis], b.core[axis].stop - border)
    beyond = labels.read(along(slice(border, border + wide)))
    pairs = [same_cells(cut(of_a[after], slice(0, wide)), beyond)]
    length = of_b[before].shape[axis]
    wide = min(length, border - a.core[axis].start)
    beyond = labels.read(along(slice(border - wide, border)))
    pairs.append(same_cells(beyond, cut(of_b[before], slice(length - wide, length))))
    return np.concatenate(pairs)


def write_joined(
    blocks: Sequence[AlignedBlock],
    joined: Joined,
    labels: LabelArray,
    target: LabelArray,
    check_block: Callable[[AlignedBlock, np.ndarray], None],
) -> None:
    """Write the cells of the whole image, block by block.

    Args:
        blocks: all blocks, in reading order.
        joined: the number of every part.
        labels: what each block found in its core.
        target: where the cells go.
        check_block: is given every block and its labels, and raises an error if chunks of them were lost.
    """
    for block in blocks:
        found = labels.read(block.core)
        check_block(block, found)
        start = joined.offset[block.row, block.column]
        numbers = np.concatenate([[0], joined.number[start : start + int(found.max(initial=0))]]).astype(np.int32)
        target.write(block.core, numbers[found])


class CellRows:
    """The rows of `cells.csv`, from those that the blocks measured.

    A cell that is another one than its block saw (it is larger than the block's surroundings) is measured again.

    Args:
        source: the image.
        labels: the cells of the whole image.
        names: names of the image's channels and of the classes.
        most_px: the most pixels of a cell's bounds that are read at once.

    Attributes:
        unmeasured: number of cells whose bounds are larger: of these only area and probabilities are given.
    """

    def __init__(
        self,
        source: StreamedSource,
        labels: LabelArray,
        names: tuple[Sequence[str], Sequence[str]],
        most_px: int,
    ):
        self._source, self._labels, self._names, self._most_px = source, labels, names, most_px
        self.unmeasured = 0

    def tables(self, blocks: Sequence[AlignedBlock], joined: Joined, load: LoadFacts) -> Iterator[pd.DataFrame]:
        """The rows of each row of blocks, which has the cells that begin in it, by number."""
        again = self._measured_again(blocks, joined, load)
        for _, row in groupby(blocks, key=lambda block: block.row):
            tables, fresh = [], []
            for block in row:
                facts, start = load(block), joined.offset[block.row, block.column]
                part = start + facts.cells[results.LABEL].to_numpy(np.int64) - 1
                number = joined.number[part]
                good = _good(joined, part, number, facts)
                tables.append(facts.cells.assign(**{results.LABEL: number})[good])
                end = start + len(facts.first)
                owned = joined.number[start:end][joined.first[start:end] == joined.begins[joined.number[start:end] - 1]]
                fresh += [again[cell] for cell in owned.tolist() if cell in again]
            table = pd.concat(tables, ignore_index=True)
            if fresh:
                table = pd.concat([table, pd.concat(fresh)], ignore_index=True).reindex(columns=table.columns)
            yield table.sort_values(results.LABEL, ignore_index=True)

    def _measured_again(
        self, blocks: Sequence[AlignedBlock], joined: Joined, load: LoadFacts
    ) -> dict[int, pd.DataFrame]:
        """Rows of the cells that no block saw as they are."""
        missing = np.ones(joined.count + 1, bool)
        missing[0] = False
        for block in blocks:
            facts = load(block)
            part = joined.offset[block.row, block.column] + facts.cells[results.LABEL].to_numpy(np.int64) - 1
            number = joined.number[part]
            missing[number[_good(joined, part, number, facts)]] = False
        wanted = np.flatnonzero(missing)
        place = np.zeros(joined.count + 1, np.int64)
        place[wanted] = np.arange(len(wanted))
        box = np.zeros((len(wanted), 4), np.int64)
        box[:, :2] = np.iinfo(np.int64).max
        area, probability = np.zeros(len(wanted), np.int64), np.zeros((len(wanted), len(self._names[1])))
        for block in blocks:
            facts, start = load(block), joined.offset[block.row, block.column]
            number = joined.number[start : start + len(facts.first)]
            of = missing[number]
            index = place[number[of]]
            np.minimum.at(box[:, :2], index, facts.box[of, :2])
            np.maximum.at(box[:, 2:], index, facts.box[of, 2:])
            np.add.at(area, index, facts.area[of])
            np.add.at(probability, index, facts.probability[of])
        return {
            int(cell): self._measure(int(cell), box[i], int(area[i]), probability[i]) for i, cell in enumerate(wanted)
        }

    def _measure(self, cell: int, box: np.ndarray, area: int, probability: np.ndarray) -> pd.DataFrame:
        """The row of one cell, from the label image and the sums of its probabilities."""
        channels, classes = self._names
        top, left, bottom, right = box.tolist()
        window = slice(top, bottom), slice(left, right)
        height, width = self._source.image.shape
        if (bottom - top) * (right - left) > self._most_px:
            self.unmeasured += 1
            border = top == 0 or left == 0 or bottom == height or right == width
            row = pd.DataFrame({results.LABEL: [cell], "area_px": [float(area)], "touches_border": [border]})
        else:
            labels = np.where(self._labels.read(window) == cell, cell, 0)
            size = self._source.pixel_size_um
            pixels = self._source.read(window)
            row = cell_table(labels, pixels, channels, pixel_size_um=size, origin=(top, left), field=(height, width))
        for name, total in zip(classes, probability.tolist(), strict=True):
            row[f"probability_mean_{name}"] = total / area
        if len(cell_type_names(classes)) > 1:  # by the sums, so that one pixel that has them tells all
            types = cell_types(np.array([[cell]]), probability[None, None], classes)
            row[list(types.columns.drop(results.LABEL))] = types.drop(columns=results.LABEL).to_numpy()
        return row


def _good(joined: Joined, part: np.ndarray, number: np.ndarray, facts: BlockFacts) -> np.ndarray:
    """Of a block's rows, those that are of the whole cell: it begins with this part, and has the pixels that it saw."""
    return (joined.first[part] == joined.begins[number - 1]) & (facts.whole == joined.fingerprint[number - 1])


def write_parts(folder: Path, tables: Iterator[pd.DataFrame], image: str) -> list[Path]:
    """Write tables of cells to files, each with the image's name as its first column."""
    files = []
    for i, table in enumerate(tables):
        files.append(folder / f"{i}.csv")
        table.insert(0, results.IMAGE, image)
        write_table(files[-1], table)
    return files
