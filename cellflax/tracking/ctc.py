"""The Cell Tracking Challenge's files: `mask###.tif` with `res_track.txt`, `man_track###.tif` with `man_track.txt`.

Every line of the text file is a track, L B E P: its label, first and last frame (from 0), and the label of its
parent, 0 without one. A track is in every frame from B to E: a cell that was missed for some frames continues as
another track, whose parent is the first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from cellflax.errors import UserError
from cellflax.frame_sequence import FrameSequence, FramesOnDemand, PackedFrames
from cellflax.io import results
from cellflax.io.images import read_labels
from cellflax.io.names import natural_key
from cellflax.labels import label_values
from cellflax.tracking.cells import MovieCells
from cellflax.tracking.lineage import Lineage
from cellflax.tracking.lookup import Lookup
from cellflax.wholefile import read_content

_MOST_TRACKS = 65535  # the format's masks are uint16
_TABLES = (results.CTC_TRUE_TRACKS, results.CTC_TRACKS)
_MASK = re.compile(r"(man_track|mask)(\d+)\.tiff?", re.IGNORECASE)
_MOST_BYTES = 1 << 28
_NUMBER = re.compile(rb"\d{1,10}")
_LARGEST_NUMBER = 2**31 - 1  # of labels
_COLUMNS = ["track", "begin", "end", "parent"]


@dataclass(frozen=True)
class TrackedMovie:
    """Tracks as the challenge writes them.

    Attributes:
        labels: (T, H, W) integers: the track at every pixel of each frame, 0 = background.
        tracks: columns `track`, `begin`, `end`, `parent`.
    """

    labels: FrameSequence
    tracks: pd.DataFrame


def to_ctc(movie: MovieCells, lineage: Lineage) -> TrackedMovie:
    """Tracks in the challenge's form: cut at gaps and renumbered from 1."""
    order, is_track, begins = _cut_at_gaps(lineage.nodes)
    track, frame = lineage.nodes["track"].to_numpy()[order], lineage.nodes["frame"].to_numpy()[order]
    number = np.cumsum(begins)
    first = np.flatnonzero(begins)
    last_number = np.zeros(len(lineage.tracks) + 1, np.int64)  # by track, 0 for none
    last_number[track] = number  # of several the last is kept
    parent = np.append(0, lineage.tracks["parent"].to_numpy())[track[first]]
    table = pd.DataFrame(
        {
            "track": number[first],
            "begin": frame[first],
            "end": frame[np.append(first[1:], len(frame)) - 1],
            "parent": np.where(is_track[first], last_number[parent], number[first] - 1),
        }
    )
    of_cell = np.empty(len(order), np.int64)
    of_cell[order] = number
    return TrackedMovie(paint(movie, of_cell), table)


def tracks_of_masks(nodes: pd.DataFrame) -> np.ndarray:
    """The track of each number in the masks that `to_ctc` makes of these nodes, (n + 1,) with 0 for the background."""
    order, _, begins = _cut_at_gaps(nodes)
    return np.append(0, nodes["track"].to_numpy()[order][begins])


def _cut_at_gaps(nodes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of nodes by track and frame; in it, where a track begins, and where one does or goes on after a gap."""
    track, frame = nodes["track"].to_numpy(), nodes["frame"].to_numpy()
    order = np.lexsort((frame, track))
    track, frame = track[order], frame[order]
    is_track = np.append(True, track[1:] != track[:-1])
    return order, is_track, is_track | np.append(False, np.diff(frame) > 1)


def paint(movie: MovieCells, number_of_cell: np.ndarray) -> FramesOnDemand:
    """Label images in which every cell of the movie carries the given number, (T, H, W) int32, painted when used."""
    numbers = number_of_cell.astype(np.int32)

    def frame(t: int) -> np.ndarray:
        return np.append(np.int32(0), numbers[movie.cells_of(t)])[movie.frames[t].index]

    return FramesOnDemand((len(movie.frames), *movie.frames[0].shape), np.int32, frame)


def require_16_bits(tracked: TrackedMovie) -> None:
    """Refuse more tracks than the challenge's masks hold.

    Raises:
        UserError: for a track beyond 65535.
    """
    highest = int(tracked.tracks["track"].to_numpy().max())
    if highest > _MOST_TRACKS:
        raise UserError(
            f"{highest} tracks: the Cell Tracking Challenge's masks are 16-bit and hold up to {_MOST_TRACKS}; add "
            "ctc=false to write tables alone, or track a part of the field"
        )


def ctc_files(n_frames: int) -> list[str]:
    """Names of the files that `write_ctc` writes: a mask per frame, and the table."""
    digits = max(3, len(str(n_frames - 1)))
    return [*(f"mask{t:0{digits}}.tif" for t in range(n_frames)), results.CTC_TRACKS]


def write_ctc(folder: Path, tracked: TrackedMovie) -> None:
    """Write `mask###.tif` (uint16) and `res_track.txt`.

    Raises:
        UserError: for more tracks than 16 bits hold; nothing is written then.
    """
    require_16_bits(tracked)
    for name, labels in zip(ctc_files(len(tracked.labels)), tracked.labels, strict=False):  # the table comes last
        tifffile.imwrite(folder / name, labels.astype(np.uint16), compression="zlib")
    lines = (" ".join(map(str, row)) for row in tracked.tracks[_COLUMNS].itertuples(index=False))
    (folder / results.CTC_TRACKS).write_text("".join(f"{line}\n" for line in lines))


def read_ctc(folder: str | Path) -> TrackedMovie:
    """Read the tracks of a `.../01_GT`, its `TRA`, or a `.../01_RES`.

    Raises:
        UserError: if there are none, or table and masks do not fit.
    """
    folder = Path(folder).expanduser()
    folder = folder / "TRA" if (folder / "TRA").is_dir() else folder
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if table is None:
        raise UserError(f"{folder}: neither {_TABLES[0]} nor {_TABLES[1]} here; give a Cell Tracking Challenge folder")
    files = sorted((path for path in folder.iterdir() if _MASK.fullmatch(path.name)), key=lambda p: natural_key(p.name))
    if not files:
        raise UserError(f"{folder}: no man_track###.tif or mask###.tif beside {table.name}")
    _require_every_frame(files)
    tracked = TrackedMovie(PackedFrames(_read_masks(files)), _read_table(table))
    _check(table, tracked)
    return tracked


def _read_masks(files: list[Path]) -> Iterator[np.ndarray]:
    shape = None
    for file in files:
        frame = read_labels(file)
        shape = shape or frame.shape
        if frame.shape != shape:
            raise UserError(f"{file}: shape {frame.shape} differs from {shape} of {files[0].name}")
        yield frame


def _require_every_frame(files: list[Path]) -> None:
    """Refuse a gap in the masks' numbers, because the table of tracks counts every frame."""
    numbers = [int(match[2]) for file in files if (match := _MASK.fullmatch(file.name))]
    for file, before, after in zip(files, numbers, numbers[1:], strict=False):
        if after != before + 1:
            missing = str(before + 1) if after == before + 2 else f"{before + 1} to {after - 1}"
            raise UserError(f"{file}: the next masks, of frame {missing}, are missing; add them, or track again")


def _read_table(path: Path) -> pd.DataFrame:
    """The lines L B E P; blank lines do not count."""
    lines = read_content(path, "write the table again", _MOST_BYTES).splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if not all(_NUMBER.fullmatch(word) and int(word) <= _LARGEST_NUMBER for word in words):
            raise UserError(
                f"{path}: line {number} must hold whole numbers of 0 to {_LARGEST_NUMBER}, L B E P; write the table "
                "again"
            )
        if len(words) != len(_COLUMNS):
            raise UserError(f"{path}: line {number} has {len(words)} numbers; every track is four: L B E P")
        rows.append([int(word) for word in words])
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=np.int64)


def _check(path: Path, tracked: TrackedMovie) -> None:
    """Refuse what would make the links of tracks ambiguous."""
    table = tracked.tracks
    track, begin, end, parent = (table[name].to_numpy() for name in _COLUMNS)
    present = [label_values(labels) for labels in tracked.labels]
    names, at = np.unique(np.concatenate(present), return_inverse=True)
    frame = np.repeat(np.arange(len(present)), [len(tracks) for tracks in present])
    first, last = np.full(len(names), len(present)), np.full(len(names), -1)
    np.minimum.at(first, at, frame)
    np.maximum.at(last, at, frame)
    values, counts = np.unique(track, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{path}: track {values[counts > 1][0]} has two lines")
    for name in np.setdiff1d(names, track)[:1]:
        raise UserError(f"{path}: no line for track {name}, which the masks have")
    row = Lookup(names).find(track)
    for i in np.flatnonzero((row < 0) | (np.append(first, -1)[row] != begin) | (np.append(last, -1)[row] != end))[:1]:
        raise UserError(
            f"{path}: track {track[i]} is said to be in frames {begin[i]} to {end[i]}, but the masks have it in others"
        )
    of_parent = Lookup(track).find(parent)
    end_of_parent = np.append(end, len(present))[of_parent]
    for i in np.flatnonzero((parent != 0) & (end_of_parent >= begin))[:1]:
        raise UserError(f"{path}: track {track[i]} begins before its parent {parent[i]} ends, or has no such parent")


def read_seg(folder: str | Path) -> dict[int, np.ndarray]:
    """Segmented reference frames by number, (H, W) int32, of a `.../01_GT` with `SEG/man_seg###.tif`; else empty.

    Raises:
        UserError: for segmented planes of volumes.
    """
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == "TRA" else folder
    frames = {}
    for file in sorted((folder / "SEG").glob("man_seg*.tif")):
        number = file.stem.removeprefix("man_seg")
        if not number.isdigit():
            raise UserError(f"{file}: not a segmented frame man_seg###.tif; volumes are not supported")
        frames[int(number)] = read_labels(file)
    return frames
