"""Label images to quantify, alone or as the frames of a tracked movie, and what is known of their cells."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.images import label_plane, read_image, read_labels
from cellflax.io.movie_file import is_movie, open_label_movie, open_movie
from cellflax.io.movies import natural_key
from cellflax.io.pairs import by_stem
from cellflax.io.predictions import cells_of_image, read_cells
from cellflax.labels import label_values, majority_owners

# Columns of a segmentation besides the shape of a cell; they go into every table.
_KNOWN = re.compile(r"cell_type|score_.*|uncertainty|probability_mean_.*|intensity_(mean|std)_.*")


@dataclass(frozen=True)
class RecordedFrame:
    """One label image of a recording.

    Attributes:
        name: name for errors: its file, with the frame's number if it is in a movie or folder.
        stem: beginning of the names of images that belong to it.
        read: function to its (H, W) int32 labels.
        key: columns that distinguish its rows from those of other images: `image`, or `frame` and `time_s`, or all.
        known: rows with the column `label` or `track` and the columns that the segmentation has of that cell.
    """

    name: str
    stem: str
    read: Callable[[], np.ndarray]
    key: dict[str, Any]
    known: pd.DataFrame


@dataclass(frozen=True)
class Recording:
    """Label images that are quantified together: single images, or the frames of a movie.

    Attributes:
        source: the argument that they come from.
        frames: in order.
        lineage: one row per track: `track`, `parent` (0: none), `generation`; None where cells are not tracked.
        pixel_size_um: edge of a pixel, if known.
    """

    source: str
    frames: list[RecordedFrame]
    lineage: pd.DataFrame | None
    pixel_size_um: float | None

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


def predicted_recording(text: str, pixel_size_um: float | None) -> Recording:
    """Label images and label movies of FILE | DIR | GLOB, with their rows of the `cells.csv` beside them, if any.

    Raises:
        UserError: if there is none, or its table cannot be read.
    """
    files = by_stem("predicted", text)
    folders = {file.parent for file in files.values()}
    tables = {folder: read_cells(folder / results.CELLS) for folder in folders if (folder / results.CELLS).is_file()}
    frames = []
    for stem in sorted(files, key=natural_key):
        file, name = files[stem], results.input_name(files[stem])
        known = cells_of_image(tables[file.parent], name) if file.parent in tables else nothing_known()
        known = nothing_known() if known.empty else known  # a table without the image says nothing of its cells
        frames += _frames(file, stem, name, known)
    return Recording(text, frames, None, pixel_size_um or _pixel_size_um(files))


def image_recording(option: str, text: str, pixel_size_um: float | None) -> Recording:
    """Images and movies of FILE | DIR | GLOB in which cells have still to be found.

    Raises:
        UserError: if there are none.
    """
    files = by_stem(option, text)
    stems = sorted(files, key=natural_key)
    frames = [frame for stem in stems for frame in _frames(files[stem], stem, files[stem].stem, nothing_known())]
    return Recording(text, frames, None, pixel_size_um or _pixel_size_um(files))


def _frames(file: Path, stem: str, name: str, known: pd.DataFrame) -> list[RecordedFrame]:
    """The one frame of an image, or those of a movie, whose rows of `known` have a column `frame`."""
    if not is_movie(file):
        return [RecordedFrame(str(file), stem, lambda: read_labels(file), {results.IMAGE: name}, known)]
    if results.FRAME not in known:
        known = nothing_known().assign(**{results.FRAME: 0})
    with open_label_movie(file) as movie:
        n_frames, times_s = movie.n_frames, movie.times_s()

    @functools.cache
    def labels() -> np.ndarray:
        # All at once: opening the file for every frame costs a pass over all of its frames.
        with open_label_movie(file) as movie:
            return np.stack([label_plane(movie.frame(t), f"{file}, frame {t}") for t in range(movie.n_frames)])

    frames = []
    for t in range(n_frames):
        key = {results.IMAGE: name, results.FRAME: t} | ({} if times_s is None else {results.TIME_S: float(times_s[t])})
        here = known.loc[known[results.FRAME] == t].drop(columns=results.FRAME)
        frames.append(RecordedFrame(f"{file}, frame {t}", f"{stem}_{t}", lambda t=t: labels()[t], key, here))
    return frames


def _pixel_size_um(files: dict[str, Path]) -> float | None:
    file = next(iter(files.values()))
    if not is_movie(file):
        return read_image(file).pixel_size_um
    with open_movie(file) as movie:
        return movie.pixel_size_um


def with_known_of_cells(tracks: Recording, cells: Recording, *, same_cells: bool) -> Recording:
    """Add to a tracked movie the per-cell columns of the label images it was made from.

    Args:
        tracks: the movie.
        cells: label images of the same frames, in order.
        same_cells: whether its tracks are those cells, at the same places under other numbers. Otherwise they are
            nuclei, and their rows get a column `label` for the cell.

    Raises:
        UserError: if their numbers or shapes differ.
    """
    if len(tracks.frames) != len(cells.frames):
        raise UserError(
            f"predicted={cells.source}: {len(cells.frames)} label images for {len(tracks.frames)} frames of "
            f"{tracks.source}; give one per frame"
        )
    frames = []
    for mine, its in zip(tracks.frames, cells.frames, strict=True):
        frames.append(replace(mine, known=_by_track(mine, its) if same_cells else its.known))
    return replace(tracks, frames=frames, pixel_size_um=tracks.pixel_size_um or cells.pixel_size_um)


def _by_track(mine: RecordedFrame, its: RecordedFrame) -> pd.DataFrame:
    """The known columns of the cells of a frame, by the track at the place of the cell."""
    tracks, cells = mine.read(), its.read()
    if tracks.shape != cells.shape:
        raise UserError(f"{its.name}: shape {cells.shape} differs from {tracks.shape} of {mine.name}")
    label, _ = majority_owners(tracks, cells)
    place = pd.DataFrame({results.LABEL: label, results.TRACK: label_values(tracks)})
    return place.merge(its.known, on=results.LABEL).drop(columns=results.LABEL)
