"""Label images to quantify, alone or as the frames of a tracked movie, and what is known of their cells."""

import functools
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.frame_sequence import PackedFrames
from cellflax.io import results
from cellflax.io.failures import Failures
from cellflax.io.frames import is_movie, label_frame, open_label_movie
from cellflax.io.images import pixel_size_of, read_labels
from cellflax.io.names import natural_key, stem_of
from cellflax.io.outlines import has_outlines
from cellflax.io.pairs import PairBy, by_stem, match_frames
from cellflax.io.predictions import cells_by_image, read_cells
from cellflax.labels import label_values, majority_owners

# Columns of a segmentation besides the shape of a cell; they go into every table.
_KNOWN = re.compile(r"cell_type|score_.*|uncertainty|probability_(mean_.*|iou\d+)|intensity_(mean|std)_.*")


@dataclass(frozen=True)
class RecordedFrame:
    """One label image of a recording.

    Attributes:
        name: name for errors: its file, with the frame's number if it is in a movie or folder.
        stem: beginning of the names of images that belong to it.
        read: function to its (H, W) int32 labels.
        key: columns that distinguish its rows from those of other images: `image`, or `frame` and `time_s`, or all.
        known: rows with the column `label` or `track` and the columns that the segmentation has of that cell.
        pixel_size_um: edge of a pixel, if known; it belongs to the file.
        number: number of the frame, where the frames are those of one movie.
        file: its label image or movie; None for a tracked movie.
        missing: whether the frame was not recorded; it has no cell then.
    """

    name: str
    stem: str
    read: Callable[[], np.ndarray]
    key: dict[str, Any]
    known: pd.DataFrame
    pixel_size_um: float | None = None
    number: int | None = None
    file: Path | None = None
    missing: bool = False


@dataclass(frozen=True)
class Recording:
    """Label images that are quantified together: single images, or the frames of a movie.

    Attributes:
        source: the argument that they come from.
        frames: in order.
        lineage: one row per track: `track`, `parent` (0: none), `generation`; None where cells are not tracked.
        numbered: whether the numbers of frames are those in the names of the files that were tracked; if not, they
            count from 0.
    """

    source: str
    frames: list[RecordedFrame]
    lineage: pd.DataFrame | None
    numbered: bool = False

    @property
    def present(self) -> list[int]:
        """Places of the frames that were recorded."""
        return [i for i, frame in enumerate(self.frames) if not frame.missing]

    def with_sizes_um(self, size_um: Callable[[int], float | None]) -> "Recording":
        """The same with a pixel size for each frame that has none, by its place.

        Raises:
            UserError: if sizes of the frames of a tracked movie differ.
        """
        frames = [
            frame if frame.missing or frame.pixel_size_um else replace(frame, pixel_size_um=size_um(i))
            for i, frame in enumerate(self.frames)
        ]
        sizes = {frame.pixel_size_um for frame in frames if frame.pixel_size_um}
        if self.lineage is not None and sizes and max(sizes) > 1.01 * min(sizes):
            raise UserError(
                f"{self.source}: images of its frames have pixels of {min(sizes):g} to {max(sizes):g} um; a movie "
                "needs one size, so resample them or give pixel_size_um=..."
            )
        return replace(self, frames=frames)

    @property
    def has_outlines(self) -> bool:
        """Whether the cells of a frame are outlines, which can be read only with the shape of their image."""
        return any(frame.file is not None and has_outlines(frame.file) for frame in self.frames)

    def with_shapes(self, shape: Callable[[int], tuple[int, ...]]) -> "Recording":
        """The same with a height and width for each frame whose cells are outlines, by its place."""

        def read(i: int, file: Path) -> np.ndarray:
            height, width = shape(i)[:2]
            return read_labels(file, (height, width))

        frames = [
            replace(frame, read=functools.partial(read, i, frame.file))
            if frame.file is not None and has_outlines(frame.file)
            else frame
            for i, frame in enumerate(self.frames)
        ]
        return replace(self, frames=frames)

    def labels(self, i: int) -> np.ndarray:
        """(H, W) int32 labels of a frame by its place in the recording."""
        return self.frames[i].read()

    def rows(self, frame: RecordedFrame, table: pd.DataFrame, track: str = results.LABEL) -> pd.DataFrame:
        """Measured cells of a frame as rows of the whole table: key, lineage, measurements, what else is known.

        Args:
            frame: where they are.
            table: one row per cell.
            track: its column that holds the tracks, if there is a lineage; it is then renamed to `track`.
        """
        if self.lineage is not None:
            table = table.rename(columns={track: results.TRACK}).astype({results.TRACK: np.int64})
            table = table.merge(self.lineage, on=results.TRACK, how="left")
            table = table.reindex(columns=[*self.lineage, *(name for name in table if name not in self.lineage)])
        on = results.TRACK if results.TRACK in frame.known else results.LABEL
        new = [str(name) for name in frame.known if _KNOWN.fullmatch(str(name)) and name not in table]
        table = table.merge(frame.known.reindex(columns=[on, *new]), on=on, how="left")
        return pd.concat([pd.DataFrame(frame.key, index=table.index), table], axis=1)


def nothing_known(on: str = results.LABEL) -> pd.DataFrame:
    """A `RecordedFrame.known` without rows."""
    return pd.DataFrame({on: np.zeros(0, np.int64)})


def predicted_recording(text: str, pixel_size_um: float | None, failures: Failures | None = None) -> Recording:
    """Label images and label movies of FILE | DIR | GLOB, with their rows of the `cells.csv` beside them, if any.

    Args:
        text: FILE | DIR | GLOB.
        pixel_size_um: edge of a pixel; overrides the files.
        failures: where files are noted that cannot be opened; without it, the first is an error.

    Raises:
        UserError: if there is none, or its table cannot be read.
    """
    files = by_stem("predicted", text)
    folders = {file.parent for file in files.values()}
    found = {folder: folder / results.CELLS for folder in folders if (folder / results.CELLS).is_file()}
    tables = {folder: cells_by_image(read_cells(table)) for folder, table in found.items()}
    frames = []
    for stem in sorted(files, key=natural_key):
        file, name = files[stem], results.input_name(files[stem])
        known = tables[file.parent](name) if file.parent in tables else nothing_known()
        known = nothing_known() if known.empty else known  # the table may not list the image
        with failures.of(str(file)) if failures else nullcontext():
            frames += _frames(file, stem, name, known, pixel_size_um)
    return _recording(text, frames, failures)


def image_recording(option: str, text: str, pixel_size_um: float | None, failures: Failures | None = None) -> Recording:
    """Images and movies of FILE | DIR | GLOB in which cells have still to be found.

    Args:
        option: the argument's name, for errors.
        text: FILE | DIR | GLOB.
        pixel_size_um: edge of a pixel; overrides the files.
        failures: as for `predicted_recording`.

    Raises:
        UserError: if there are none.
    """
    files = by_stem(option, text)
    stems = sorted(files, key=natural_key)
    frames = []
    for stem in stems:
        with failures.of(str(files[stem])) if failures else nullcontext():
            frames += _frames(files[stem], stem, stem_of(files[stem]), nothing_known(), pixel_size_um)
    return _recording(text, frames, failures)


def _recording(source: str, frames: list[RecordedFrame], failures: Failures | None) -> Recording:
    if failures is not None:
        failures.require_some(len(frames))
    return Recording(source, _of_one_movie(frames), None)


def _of_one_movie(frames: list[RecordedFrame]) -> list[RecordedFrame]:
    """Frames of several movies have no numbers, because these would repeat."""
    if len({frame.file for frame in frames}) == 1 or all(frame.number is None for frame in frames):
        return frames
    return [replace(frame, number=None) for frame in frames]


def _frames(file: Path, stem: str, name: str, known: pd.DataFrame, pixel_size_um: float | None) -> list[RecordedFrame]:
    """The one frame of an image, or those of a movie, whose rows of `known` have a column `frame`."""
    if not is_movie(file):
        size = pixel_size_um or (None if has_outlines(file) else pixel_size_of(file))
        key: dict[str, Any] = {results.IMAGE: name}
        return [RecordedFrame(str(file), stem, lambda: read_labels(file), key, known, size, file=file)]
    if results.FRAME not in known:
        known = nothing_known().assign(**{results.FRAME: 0})
    with open_label_movie(file) as movie:
        n_frames, times_s, size = movie.n_frames, movie.times_s(), pixel_size_um or movie.pixel_size_um

    @functools.cache
    def labels() -> PackedFrames:
        # All at once: opening the file for every frame costs a pass over all of its frames.
        with open_label_movie(file) as movie:
            return PackedFrames(label_frame(movie, t) for t in range(movie.n_frames))

    frames = []
    for t in range(n_frames):
        key = {results.IMAGE: name, results.FRAME: t} | ({} if times_s is None else {results.TIME_S: float(times_s[t])})
        here = known.loc[known[results.FRAME] == t].drop(columns=results.FRAME)
        frames.append(
            RecordedFrame(f"{file}, frame {t}", f"{stem}_{t}", lambda t=t: labels()[t], key, here, size, t, file)
        )
    return frames


def with_known_of_cells(
    tracks: Recording, cells: Recording, *, same_cells: bool, pair: PairBy = PairBy.names
) -> Recording:
    """Add to a tracked movie the per-cell columns of the label images it was made from.

    Args:
        tracks: the movie.
        cells: label images of the same frames: a movie, or files with the frames' numbers in their names.
        same_cells: whether its tracks are those cells, at the same places under other numbers. Otherwise they are
            nuclei, and their rows get a column `label` for the cell.
        pair: whether files belong to frames by their numbers or by order.

    Raises:
        UserError: if a frame has no label image, or shapes differ.
    """
    frames = list(tracks.frames)
    for i, its in frames_of_cells(tracks, cells, pair).items():
        mine = frames[i]
        known = _by_track(mine, its) if same_cells else its.known
        frames[i] = replace(mine, known=known, pixel_size_um=mine.pixel_size_um or its.pixel_size_um)
    return replace(tracks, frames=frames)


def frames_of_cells(tracks: Recording, cells: Recording, pair: PairBy = PairBy.names) -> dict[int, RecordedFrame]:
    """The label image of each recorded frame of a tracked movie, by the frame's place.

    Raises:
        UserError: if a frame has no label image.
    """
    present, numbered = tracks.present, cells.frames[0].number is not None
    files = {frame.file: frame for frame in cells.frames if frame.file is not None}
    if numbered or len(files) < len(cells.frames):
        # A movie has no names; with gaps its frames are those of the whole time.
        if len(cells.frames) != len(tracks.frames):
            raise UserError(
                f"predicted={cells.source}: {len(cells.frames)} label images for {len(tracks.frames)} frames of "
                f"{tracks.source}; give one per frame"
            )
        return {i: cells.frames[i] for i in present}
    numbers = [number for i in present if (number := tracks.frames[i].number) is not None]
    found = match_frames("predicted", cells.source, numbers, [*files], tracks.source, pair, sure=tracks.numbered)
    return {i: files[file] for i, file in zip(present, found, strict=True)}


def _by_track(mine: RecordedFrame, its: RecordedFrame) -> pd.DataFrame:
    """The known columns of the cells of a frame, by the track at the place of the cell."""
    tracks, cells = mine.read(), its.read()
    if tracks.shape != cells.shape:
        raise UserError(f"{its.name}: shape {cells.shape} differs from {tracks.shape} of {mine.name}")
    label, _ = majority_owners(tracks, cells)
    place = pd.DataFrame({results.LABEL: label, results.TRACK: label_values(tracks)})
    return place.merge(its.known, on=results.LABEL).drop(columns=results.LABEL)
