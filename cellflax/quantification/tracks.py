"""Tracked movies to quantify: what `cellflax.track` wrote, or another Cell Tracking Challenge folder."""

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.frame_sequence import FramesOnDemand
from cellflax.io import results
from cellflax.io.images import pixel_size_of
from cellflax.io.movie_time import check_times
from cellflax.io.tables import read_table
from cellflax.jsonfile import read_json
from cellflax.labels import compact
from cellflax.quantification.recording import RecordedFrame, Recording, nothing_known
from cellflax.tracking.ctc import TrackedMovie, read_ctc

_REMEDY = f"track again, or remove {results.TRACKS} to use the masks and {results.CTC_TRACKS} alone"


def read_tracks(folder: Path, pixel_size_um: float | None, frame_interval_s: float | None) -> Recording:
    """Read a tracked movie.

    Args:
        folder: Cell Tracking Challenge folder; `cellflax.track` also writes `tracks.csv` there, with the times of the
            frames, and `summary.json`, with the size of a pixel.
        pixel_size_um: edge of a pixel; overrides that of the folder.
        frame_interval_s: time between frames; overrides that of the folder.

    Raises:
        UserError: if files are missing, damaged or contradict each other, or times do not rise.
    """
    tracked = join_gaps(read_ctc(folder))
    details = _read_details(folder / results.TRACKS)
    if details is not None:
        tracked = _renamed(tracked, details)
    said = _said(folder)
    first, step = said.get("first_number"), said.get("number_step") or 1
    interval = frame_interval_s and frame_interval_s * step
    times = _times(folder / results.TRACKS, details, len(tracked.labels), interval)
    missing = set(said.get("missing_frames") or ())
    size = pixel_size_um or _pixel_size_um(folder, said)
    frames = []
    for i in range(len(tracked.labels)):
        key = {results.FRAME: i} if times is None else {results.FRAME: i, results.TIME_S: float(times[i])}
        name, known = f"{folder}, frame {i}", nothing_known(results.TRACK)
        number = i if first is None else first + step * i
        frames.append(
            RecordedFrame(name, str(i), partial(_frame_of, tracked, i), key, known, size, number, missing=i in missing)
        )
    return Recording(str(folder), frames, _lineage(tracked.tracks), numbered=first is not None)


def _frame_of(tracked: TrackedMovie, t: int) -> np.ndarray:
    return tracked.labels[t]


def join_gaps(tracked: TrackedMovie) -> TrackedMovie:
    """Join the tracks of a cell that was not seen for some frames.

    The challenge's tracks have no gaps: there, after a gap, the cell is a new track, the only daughter of the first.
    """
    table = tracked.tracks.sort_values("begin", ignore_index=True)
    n_children = Counter(table["parent"].tolist())
    ends = dict(zip(table["track"].tolist(), table["end"].tolist(), strict=True))
    name = {track: track for track in ends}
    rows: dict[int, list[int]] = {}
    for track, begin, end, parent in table[["track", "begin", "end", "parent"]].to_numpy().tolist():
        if parent and n_children[parent] == 1 and begin > ends[parent] + 1:
            name[track] = name[parent]
            rows[name[parent]][2] = end
        else:
            rows[track] = [track, begin, end, name.get(parent, 0)]
    joined = TrackedMovie(
        tracked.labels, pd.DataFrame(list(rows.values()), columns=tracked.tracks.columns, dtype=np.int64)
    )
    return _with_names(joined, name)


def _with_names(tracked: TrackedMovie, name: dict[int, int]) -> TrackedMovie:
    """Tracks under other numbers, where `name` has some."""

    def frame(t: int) -> np.ndarray:
        present, numbered = compact(tracked.labels[t])
        return np.array([0, *(name.get(track, track) for track in present.tolist())], np.int32)[numbered]

    renamed = {
        column: [name.get(track, track) for track in tracked.tracks[column].tolist()] for column in ("track", "parent")
    }
    return TrackedMovie(FramesOnDemand(tracked.labels.shape, np.int32, frame), tracked.tracks.assign(**renamed))


def _renamed(tracked: TrackedMovie, details: pd.DataFrame) -> TrackedMovie:
    """Tracks under the numbers of `tracks.csv`.

    The challenge's files have other numbers from the first gap on, in the same order (see `ctc.to_ctc`). A table of
    other tracks is ignored.
    """
    rows = np.unique(details[[results.TRACK, results.FRAME]].to_numpy(), axis=0)
    starts = np.flatnonzero(np.append(True, np.diff(rows[:, 0]) != 0))
    spans = np.column_stack([rows[starts, 1], rows[np.append(starts[1:], len(rows)) - 1, 1]])
    tracks = tracked.tracks.sort_values("track", ignore_index=True)
    if not np.array_equal(tracks[["begin", "end"]].to_numpy(), spans):
        return tracked
    return _with_names(tracked, dict(zip(tracks["track"].tolist(), rows[starts, 0].tolist(), strict=True)))


def _lineage(tracks: pd.DataFrame) -> pd.DataFrame:
    """Tracks with their generations, 0 without a parent."""
    generation = {0: -1}
    for track, _, _, parent in tracks.sort_values("begin").to_numpy().tolist():
        generation[track] = generation[parent] + 1
    lineage = tracks.reindex(columns=[results.TRACK, results.PARENT])
    return lineage.assign(generation=[generation[track] for track in tracks["track"].tolist()])


def _said(folder: Path) -> dict[str, Any]:
    """What `summary.json` of `cellflax.track` says; nothing without one."""
    path = folder / results.SUMMARY
    if not path.is_file():
        return {}
    said = read_json(path, "track again or remove it")
    try:
        kinds = {"pixel_size_um": (int, float, type(None))}
        kinds |= dict.fromkeys(("first_number", "number_step"), (int, type(None)))
        right = all(_is_of(said[key], kind) for key, kind in kinds.items() if key in said or key == "pixel_size_um")
        missing = said.get("missing_frames")
        places = all(_is_of(place, (int,)) for place in missing) if isinstance(missing, list) else missing is None
        if not right or not places:
            raise ValueError("values of other types")
        size = said["pixel_size_um"]
        if size is not None and not 0 < size < math.inf:
            raise ValueError(f"a pixel of {size} um")
        return said
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: not a summary of cellflax.track; track again or remove it") from error


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _pixel_size_um(folder: Path, said: dict[str, Any]) -> float | None:
    if said:
        return said["pixel_size_um"]
    masks = folder / "TRA" if (folder / "TRA").is_dir() else folder
    return pixel_size_of(min(masks.glob("*.tif*")))


def _read_details(path: Path) -> pd.DataFrame | None:
    """`tracks.csv`, if there is one."""
    if not path.is_file():
        return None
    table = read_table(path, {results.FRAME: int, results.TRACK: int}, _REMEDY, {results.TIME_S: float})
    if table.empty:
        raise UserError(f"{path}: ends behind its first line, without a track; {_REMEDY}")
    return table


def _times(
    path: Path, details: pd.DataFrame | None, n_frames: int, frame_interval_s: float | None
) -> np.ndarray | None:
    """Time of each frame in seconds, None if they are unknown."""
    if frame_interval_s is not None:
        return np.arange(n_frames) * frame_interval_s
    if details is None or results.TIME_S not in details:
        return None
    for i in np.flatnonzero(~np.isfinite(details[results.TIME_S].to_numpy()))[:1].tolist():
        raise UserError(f"{path}: line {i + 2} has no {results.TIME_S}; give frame_interval_s=..., or {_REMEDY}")
    frame, row = np.unique(details[results.FRAME].to_numpy(), return_index=True)
    if frame[0] > 0 or frame[-1] < n_frames - 1:
        raise UserError(f"{path}: the first or the last frame has no {results.TIME_S}; give frame_interval_s=...")
    # Frames without cells have no row.
    return check_times(path, np.interp(np.arange(n_frames), frame, details[results.TIME_S].to_numpy(np.float64)[row]))
