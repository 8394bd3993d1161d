"""Divisions repaired after linking: a parent that seems to live on as one of its daughters.

Where one daughter was missed at first, or the parent's last outline was a poor one, the linking sees one cell that
continues and another that appears from nowhere. The areas over several frames before and after show the division.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellflax.checks import above, at_least, check
from cellflax.tracking.cells import MovieCells
from cellflax.tracking.lineage import build_lineage
from cellflax.tracking.matching import match


@dataclass
class DivisionConfig:
    """Repair of divisions.

    Attributes:
        repair_frames: the parent may have shrunk up to this many frames before the orphan appears, and areas are
            compared over this many frames; 0 repairs none.
        max_change: largest ratio, either way, of the daughters' summed area to the parent's.
        max_survivor: largest area of the parent's survivor, as a share of the parent's: a cell that does not shrink
            has not divided.
    """

    repair_frames: int = 3
    max_change: float = 1.5
    max_survivor: float = 0.75

    def __post_init__(self) -> None:
        check(self, "divisions", at_least(0), "repair_frames")
        check(self, "divisions", at_least(1), "max_change")
        check(self, "divisions", above(0, at_most=1), "max_survivor")


def repair_divisions(
    movie: MovieCells,
    edges: np.ndarray,
    config: DivisionConfig,
    max_daughter_ratio: float,
    gate_px: float,
    drift: np.ndarray,
) -> np.ndarray:
    """Find the parents of tracks that begin beside a cell which has just shrunk by about their area.

    Cells at the border of the image are skipped, because only a part of their area may be visible.

    Args:
        movie: the cells.
        edges: (E, 2) links, numbers of cells in the movie.
        config: what counts as a division.
        max_daughter_ratio: largest ratio of the daughters' areas.
        gate_px: how far the daughters may be from each other, pixels.
        drift: (T, 2) shift of the field from each frame to the next, pixels.

    Returns:
        (D, 2) edges from the last cell of a parent to the first of its second daughter.
    """
    if not config.repair_frames:
        return np.zeros((0, 2), np.int64)
    track_of = build_lineage(movie, edges).nodes["track"].to_numpy() - 1
    order = np.argsort(track_of, kind="stable")  # by frame within each track
    tracks = np.split(order, np.cumsum(np.bincount(track_of))[:-1])
    orphans = np.setdiff1d(np.arange(movie.start[1], len(movie.label)), edges[:, 1])
    found = []
    for orphan in orphans[~movie.touches_border[orphans]]:
        for sister, distance_px in _neighbours(movie, orphan, gate_px):
            survivor = tracks[track_of[sister]]
            split = _split(movie, survivor, tracks[track_of[orphan]], config, max_daughter_ratio)
            if split is not None:
                parent = _last_before_leap(movie, survivor, split.at, int(movie.frame[orphan]), drift)
                cost = split.unlike + distance_px / gate_px
                found.append(_Candidate(int(orphan), int(track_of[sister]), parent, cost))
    return _choose(found)


class _Candidate(NamedTuple):
    """An orphan, and the track that may have divided into its own later part and the orphan."""

    orphan: int
    track: int
    parent: int  # the track's last cell before the division
    cost: float


def _neighbours(movie: MovieCells, cell: int, gate_px: float) -> list[tuple[int, float]]:
    """Other cells of the same frame within the gate, and their distances."""
    frame = movie.cells_of(movie.frame[cell])
    others = np.arange(frame.start, frame.stop)
    distance = np.hypot(*(movie.centroid[others] - movie.centroid[cell]).T)
    near = (distance <= gate_px) & (others != cell)
    return list(zip(others[near], distance[near], strict=True))


class _Split(NamedTuple):
    """A drop of a track's area like that of a division."""

    at: int  # position of the track's last cell before the drop
    unlike: float  # 0 for a division into halves that conserve the area


def _split(
    movie: MovieCells, survivor: np.ndarray, orphan: np.ndarray, config: DivisionConfig, max_daughter_ratio: float
) -> _Split | None:
    """The most division-like drop of a track's area before an orphan appeared; both are cells by frame.

    Areas are medians over `repair_frames`, so that one poor outline does not decide.
    """
    width = config.repair_frames
    orphan_area = np.median(movie.area[orphan[:width]])
    birth = movie.frame[orphan[0]]
    best = None
    for at in np.flatnonzero((movie.frame[survivor] < birth) & (movie.frame[survivor] >= birth - width)):
        before, after = survivor[max(at + 1 - width, 0) : at + 1], survivor[at + 1 : at + 1 + width]
        if movie.touches_border[np.concatenate([before, after])].any():
            continue
        parent_area, survivor_area = np.median(movie.area[before]), np.median(movie.area[after])
        change = abs(np.log2((survivor_area + orphan_area) / parent_area))
        difference = abs(np.log2(survivor_area / orphan_area))
        possible = (
            change <= np.log2(config.max_change)
            and difference <= np.log2(max_daughter_ratio)
            and survivor_area <= config.max_survivor * parent_area
        )
        unlike = float(change + difference)
        if possible and (best is None or unlike < best.unlike):
            best = _Split(int(at), unlike)
    return best


def _last_before_leap(movie: MovieCells, survivor: np.ndarray, at: int, birth: int, drift: np.ndarray) -> int:
    """The parent's last cell: the one before the survivor's centroid leaps farthest, to that of a daughter.

    Cells in mitosis may shrink long before they divide, but do not leap then.

    Args:
        movie: the cells.
        survivor: cells of the track by frame.
        at: position in `survivor` of the last cell before the area drops.
        birth: frame in which the other daughter is first seen.
        drift: as in `repair_divisions`.
    """
    later = np.flatnonzero(movie.frame[survivor] < birth)
    here = later[later >= at][::-1]  # the latest of equals
    field = np.cumsum(drift, axis=0)[movie.frame[survivor]]
    place = movie.centroid[survivor] - field
    leap = np.hypot(*(place[here + 1] - place[here]).T)
    return int(survivor[here[leap.argmax()]])


def _choose(found: list[_Candidate]) -> np.ndarray:
    """One parent per orphan, one orphan per track, at the least cost."""
    if not found:
        return np.zeros((0, 2), np.int64)
    orphans, orphan = np.unique([candidate.orphan for candidate in found], return_inverse=True)
    track = np.array([candidate.track for candidate in found])
    cost = np.array([candidate.cost for candidate in found])
    chosen = match(orphan, track, cost, np.full(len(orphans), cost.max() + 1.0))
    return np.array([(found[i].parent, found[i].orphan) for i in chosen if i >= 0], np.int64).reshape(-1, 2)
