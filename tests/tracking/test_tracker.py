"""Whole movies: identities do not come from the labels, and what segmentation misses is mended."""

import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.metrics.lineage import tracking_summary
from cellflax.tracking.cells import measure_movie
from cellflax.tracking.ctc import TrackedMovie, read_ctc, to_ctc
from cellflax.tracking.divisions import DivisionConfig
from cellflax.tracking.drift import DriftConfig, DriftMethod
from cellflax.tracking.gaps import GapConfig
from cellflax.tracking.lineage import build_lineage
from cellflax.tracking.tracker import TrackerConfig, track_cells
from tests.metrics.drawing import grid
from tests.tracking.drawing import colony, discs, scrambled

SHAPE = (60, 120)


def _spans(tracking):
    table = tracking.lineage.tracks
    return [tuple(row) for row in table[["track", "begin", "end", "parent", "generation"]].to_numpy().tolist()]


@pytest.mark.parametrize("seed", range(3))
def test_a_colony_is_followed(seed):
    truth = colony(seed)
    tracking = track_cells(scrambled(truth.labels, seed), TrackerConfig())
    scores = tracking_summary(truth, to_ctc(tracking.movie, tracking.lineage))
    assert scores["n_divisions_reference"] > 3
    assert scores["TRA"] == scores["division_f1"] == scores["complete_tracks"] == 1


def test_a_drifting_colony_needs_the_correction():
    truth = colony(4)
    field = np.pad(truth.labels, ((0, 0), (60, 60), (60, 60)))
    shifts = np.cumsum([(0, 0), *([(19, -23), (-22, 20)] * 6)], axis=0)[: len(field)]
    drifting = np.stack([np.roll(frame, shift, (0, 1)) for frame, shift in zip(field, shifts, strict=True)])
    moved = type(truth)(drifting, truth.tracks)
    scores = {}
    for method in DriftMethod:
        tracking = track_cells(scrambled(drifting), TrackerConfig(drift=DriftConfig(method)))
        scores[method] = tracking_summary(moved, to_ctc(tracking.movie, tracking.lineage))
    assert scores[DriftMethod.auto]["link_recall"] == 1
    assert scores[DriftMethod.none]["link_recall"] < 0.5


def _movie(*frames):
    return np.stack([discs(SHAPE, cells) for cells in frames])


def test_gaps_are_closed_up_to_their_longest():
    still, gone = {1: (30, 30, 8), 2: (30, 90, 8)}, {2: (30, 90, 8)}
    movie = _movie(still, gone, gone, still)
    assert _spans(track_cells(movie, TrackerConfig())) == [(1, 0, 3, 0, 0), (2, 0, 3, 0, 0)]
    short = TrackerConfig(gaps=GapConfig(max_frames=1))
    assert _spans(track_cells(movie, short)) == [(1, 0, 0, 0, 0), (2, 0, 3, 0, 0), (3, 3, 3, 0, 0)]


def test_a_daughter_that_is_seen_late_gets_its_parent():
    parent, one = {1: (30, 30, 10), 9: (30, 90, 10)}, {1: (30, 23, 7), 9: (30, 90, 10)}
    both = {**one, 2: (30, 38, 7)}
    movie = _movie(parent, parent, parent, one, both, both, both)
    tracking = track_cells(movie, TrackerConfig())
    assert tracking.n_repaired == 1
    assert _spans(tracking) == [(1, 0, 2, 0, 0), (2, 0, 6, 0, 0), (3, 3, 6, 1, 1), (4, 4, 6, 1, 1)]
    unrepaired = track_cells(movie, TrackerConfig(divisions=DivisionConfig(repair_frames=0)))
    assert _spans(unrepaired) == [(1, 0, 6, 0, 0), (2, 0, 6, 0, 0), (3, 4, 6, 0, 0)]


def test_a_cell_that_shrinks_before_it_divides_divides_when_its_daughters_part():
    others = {8: (15, 70, 8), 9: (45, 95, 8)}
    shrunk = {1: (30, 30, 6.5), **others}
    daughters = {1: (30, 23, 7), 2: (30, 38, 7.5), **others}
    movie = _movie(*[{1: (30, 30, 10), **others}] * 3, shrunk, *[daughters] * 4)
    tracking = track_cells(movie, TrackerConfig())
    assert tracking.n_repaired == 1
    assert _spans(tracking)[0] == (1, 0, 3, 0, 0)
    assert _spans(tracking)[3:] == [(4, 4, 7, 1, 1), (5, 4, 7, 1, 1)]


def test_a_newcomer_beside_a_cell_that_keeps_its_size_is_an_orphan():
    cell = {1: (30, 30, 10)}
    movie = _movie(cell, cell, cell, *[{**cell, 2: (30, 50, 8)}] * 3)
    assert _spans(track_cells(movie, TrackerConfig())) == [(1, 0, 5, 0, 0), (2, 3, 5, 0, 0)]


def test_all_cells_vanish_and_others_come():
    cells = {1: (30, 30, 8), 2: (30, 90, 8)}
    movie = _movie(cells, {}, {}, {}, {}, cells)
    tracks = _spans(track_cells(movie, TrackerConfig()))
    assert tracks == [(1, 0, 0, 0, 0), (2, 0, 0, 0, 0), (3, 5, 5, 0, 0), (4, 5, 5, 0, 0)]
    assert _spans(track_cells(_movie(cells, {}), TrackerConfig())) == tracks[:2]


def test_lineage_of_given_links():
    movie = measure_movie(np.stack([grid("1.2"), grid("345"), grid("6.7"), grid("8..")]))
    #       cells: 0 1 | 2 3 4 | 5 6 | 7; cell 0 divides into 2 and 3; 3 continues as 5 and 7, 1 as 4 and 6
    edges = np.array([(0, 2), (0, 3), (1, 4), (3, 5), (4, 6), (5, 7)])
    lineage = build_lineage(movie, edges)
    assert lineage.nodes["track"].tolist() == [1, 2, 3, 4, 2, 4, 2, 4]
    assert lineage.n_divisions == 1
    assert lineage.tracks.to_numpy().tolist() == [[1, 0, 0, 0, 0], [2, 0, 0, 0, 2], [3, 1, 1, 1, 1], [4, 1, 1, 1, 3]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GapConfig(max_frames=-1), "gaps.max_frames must be 0 or more, got -1"),
        (lambda: GapConfig(frame_cost=-0.1), "gaps.frame_cost must be 0 or more"),
        (lambda: DivisionConfig(repair_frames=-1), "divisions.repair_frames must be 0 or more"),
        (lambda: DivisionConfig(max_change=0.9), "divisions.max_change must be 1 or more"),
        (lambda: DivisionConfig(max_survivor=1.2), r"divisions.max_survivor must be in \(0, 1\], got 1.2"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.real_data
@pytest.mark.parametrize("every", [1, 2])
def test_simulated_nuclei_of_the_challenge(data_root, every):
    """Fluo-N2DH-SIM+ from its own segmentation: TRA >= 0.98, also where every other frame is left out."""
    truth = _thinned(read_ctc(data_root / "ctc/Fluo-N2DH-SIM+/01_GT"), every)
    tracking = track_cells(scrambled(truth.labels), TrackerConfig())
    scores = tracking_summary(truth, to_ctc(tracking.movie, tracking.lineage))
    assert scores["DET"] == 1
    assert scores["TRA"] >= 0.98
    assert scores["division_f1"] >= 0.9


def _thinned(truth, every):
    """Every so many frames of a movie; tracks that are in none of them are gone."""
    labels = np.asarray(truth.labels)[::every]
    frames = {track: np.flatnonzero((labels == track).any(axis=(1, 2))) for track in truth.tracks["track"]}
    rows = [
        (track, frames[track][0], frames[track][-1], parent if len(frames.get(parent, ())) else 0)
        for track, parent in truth.tracks[["track", "parent"]].to_numpy().tolist()
        if len(frames[track])
    ]
    return TrackedMovie(labels, pd.DataFrame(rows, columns=["track", "begin", "end", "parent"]))
