"""Tracking metrics: counted by hand on drawn movies, and against py-ctcmetrics on a simulated one."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from ctc_metrics.scripts.evaluate import evaluate_sequence

from cellflax.errors import UserError
from cellflax.metrics.lineage import score_divisions, score_tracks, tracking_summary
from cellflax.metrics.tracking import count_errors, match_cells, segmentation_score
from cellflax.tracking.ctc import TrackedMovie, read_ctc, read_seg, write_ctc
from tests.metrics.drawing import grid
from tests.tracking.drawing import colony


def _movie(frames, *tracks):
    return TrackedMovie(
        np.stack([grid(frame) for frame in frames]), pd.DataFrame(tracks, columns=["track", "begin", "end", "parent"])
    )


# Cell 1 divides into 2 and 3; cell 4 stays.
REFERENCE = _movie(["111.444", "111.444", "2.3.444", "2.3.444"], (1, 0, 1, 0), (2, 2, 3, 1), (3, 2, 3, 1), (4, 0, 3, 0))


def _errors(predicted):
    return count_errors(REFERENCE, predicted, match_cells(REFERENCE.labels, predicted.labels))


def test_a_perfect_result():
    summary = tracking_summary(REFERENCE, REFERENCE, dict(enumerate(REFERENCE.labels)))
    assert summary["n_links_reference"] == 8
    perfect = ("TRA", "DET", "SEG", "division_f1", "complete_tracks", "CT", "link_recall", "link_precision")
    assert [summary[key] for key in perfect] == [1.0] * 8
    json.dumps(summary, allow_nan=False)


def test_errors_counted_by_hand():
    # Frame 0: cell 4 missed, a false one. Frame 2: 2 and 3 not apart. Cell 1 continues as 3 instead of dividing.
    tracks = (1, 0, 3, 0), (2, 3, 3, 0), (4, 1, 3, 0), (5, 2, 2, 1), (9, 0, 0, 0)
    predicted = _movie(["1119...", "111.444", "555.444", "2.1.444"], *tracks)
    errors = _errors(predicted)
    assert (errors.splits, errors.false_negatives, errors.false_positives) == (1, 1, 1)
    # Reference links: 1-1, 1-2, 1-3, 2-2, 3-3, and 4-4 three times; found are 1-1 and 4-4 twice.
    assert (errors.redundant_links, errors.missing_links, errors.wrong_links) == (0, 5, 0)
    assert errors.det == pytest.approx(1 - (5 + 10 + 1) / 100)
    assert errors.tra == pytest.approx(1 - (16 + 5 * 1.5) / (100 + 8 * 1.5))


def test_a_parent_that_lives_on_as_a_daughter_is_a_wrong_link():
    predicted = _movie(["111.444", "111.444", "1.3.444", "1.3.444"], (1, 0, 3, 0), (3, 2, 3, 0), (4, 0, 3, 0))
    errors = _errors(predicted)
    assert (errors.redundant_links, errors.missing_links, errors.wrong_links) == (0, 1, 1)
    assert errors.tra == pytest.approx(1 - 2.5 / 112)
    assert errors.link_recall == pytest.approx(6 / 8)
    assert errors.link_precision == pytest.approx(6 / 7)
    tracks = score_tracks(REFERENCE, predicted, match_cells(REFERENCE.labels, predicted.labels))
    assert (tracks.n_complete, tracks.fraction, tracks.ct) == (2, 2 / 4, 4 / 7)


def test_swapped_cells_are_redundant_links():
    predicted = _movie(
        ["111.444", "444.111", "2.3.111", "2.3.111"], (1, 0, 3, 0), (2, 2, 3, 4), (3, 2, 3, 4), (4, 0, 1, 0)
    )
    errors = _errors(predicted)
    assert (errors.redundant_links, errors.missing_links, errors.wrong_links) == (2, 2, 0)


@pytest.mark.parametrize(("tolerance", "right"), [(0, 0), (1, 1)])
def test_a_late_division_is_right_within_the_tolerance(tolerance, right):
    late = _movie(["111.444", "111.444", "111.444", "2.3.444"], (1, 0, 2, 0), (2, 3, 3, 1), (3, 3, 3, 1), (4, 0, 3, 0))
    score = score_divisions(REFERENCE, late, match_cells(REFERENCE.labels, late.labels), tolerance)
    assert (score.n_reference, score.n_predicted, score.n_right, score.f1) == (1, 1, right, right)


def test_undefined_values_are_none():
    empty = TrackedMovie(np.zeros((2, 3, 3), np.int32), pd.DataFrame(columns=REFERENCE.tracks.columns, dtype=np.int64))
    summary = tracking_summary(empty, empty)
    assert [summary[key] for key in ("TRA", "DET", "SEG", "division_f1", "complete_tracks", "CT")] == [None] * 6


def test_movies_that_do_not_fit():
    with pytest.raises(UserError, match=r"the reference has shape \(4, 1, 7\)"):
        match_cells(REFERENCE.labels, REFERENCE.labels[:3])
    with pytest.raises(UserError, match="the reference segments frame 4, but the prediction has 4 frames"):
        segmentation_score({4: REFERENCE.labels[0]}, REFERENCE.labels)


def _perturbed(reference, seed):
    """Cells missed, cut, joined and invented; outlines shifted; tracks broken, swapped and joined to wrong parents."""
    rng = np.random.default_rng(seed)
    labels = reference.labels.copy()
    for frame in labels:
        names = np.unique(frame[frame > 0])
        for name in names:
            cell, fate = frame == name, rng.random()
            if fate < 0.03:
                frame[cell] = 0
            elif fate < 0.06:
                rows = np.nonzero(cell.any(axis=1))[0]
                frame[cell & (np.arange(len(frame))[:, None] > rows.mean())] = 901 + rng.integers(3)
            elif fate < 0.09:
                frame[cell] = rng.choice(names)
            elif fate < 0.12:
                frame[cell] = 801 + rng.integers(5)
    labels = np.stack([np.roll(frame, rng.integers(-2, 3, 2), (0, 1)) for frame in labels])
    parent_of = dict(zip(reference.tracks["track"], reference.tracks["parent"], strict=True))
    return _tracks_of(labels, parent_of, rng)


def _tracks_of(labels, parent_of, rng):
    """Every run of a label is a track; parents are those of the labels, the label itself, or any."""
    numbers, runs, rows = np.zeros_like(labels), {}, []
    for t, frame in enumerate(labels):
        for name in np.unique(frame[frame > 0]).tolist():
            goes_on = (t - 1, name) in runs and rng.random() > 0.05
            if not goes_on:
                before = [row for row in rows if row[2] < t and row[4] in (name, parent_of.get(name))]
                before = before or [row for row in rows if row[2] == t - 1 and rng.random() < 0.1]
                parent = max(before, key=lambda row: row[2])[0] if before and rng.random() < 0.9 else 0
                rows.append([len(rows) + 1, t, t, parent, name])
            runs[t, name] = runs[t - 1, name] if goes_on else len(rows)
            rows[runs[t, name] - 1][2] = t
            numbers[t][frame == name] = runs[t, name]
    end = {row[0]: row[2] for row in rows}
    kept = [(track, begin, last, parent if end.get(parent, t) < begin else 0) for track, begin, last, parent, _ in rows]
    table = pd.DataFrame(kept, columns=["track", "begin", "end", "parent"])
    return TrackedMovie(numbers, table)


def _compare(reference, seg, folder, predicted, result, tolerance=2):
    result.mkdir()
    write_ctc(result, predicted)
    metrics = ["Valid", "TRA", "DET", "SEG", "CT", "BC"]
    theirs = evaluate_sequence(str(result), str(folder), metrics=metrics, threads=1)
    ours = tracking_summary(reference, predicted, seg, tolerance)
    assert theirs["Valid"] == 1
    names = {
        "TRA": "TRA", "DET": "DET", "SEG": "SEG", "CT": "CT", "BC(0)": "division_f1",
        f"BC({tolerance})": "division_f1_within_tolerance",
    }  # fmt: skip
    for their, our in names.items():
        assert ours[our] == pytest.approx(theirs[their], abs=1e-9), their
    operations = {
        "NS": "split_cells", "FN": "false_negatives", "FP": "false_positives",
        "ED": "redundant_links", "EA": "missing_links", "EC": "wrong_links",
    }  # fmt: skip
    for their, our in operations.items():
        assert ours["errors"][our] == theirs[f"AOGM_{their}"], their
    return ours


def _write_reference(folder, reference):
    """Every third frame is segmented."""
    (folder / "TRA").mkdir(parents=True)
    (folder / "SEG").mkdir()
    for t, frame in enumerate(reference.labels):
        tifffile.imwrite(folder / f"TRA/man_track{t:03}.tif", frame.astype(np.uint16))
        if t % 3 == 0:
            tifffile.imwrite(folder / f"SEG/man_seg{t:03}.tif", frame.astype(np.uint16))
    rows = reference.tracks.to_numpy().tolist()
    (folder / "TRA/man_track.txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))


def test_equal_to_py_ctcmetrics(tmp_path):
    reference, truth = colony(3), tmp_path / "01_GT"
    _write_reference(truth, reference)
    for seed in range(3):
        predicted = _perturbed(reference, seed)
        ours = _compare(reference, read_seg(truth), truth, predicted, tmp_path / str(seed))
        assert min(ours["errors"].values()) > 0
        assert 0 < ours["n_divisions_right"] < ours["n_divisions_reference"]


@pytest.mark.real_data
def test_equal_to_py_ctcmetrics_on_a_challenge_sequence(data_root, tmp_path):
    whole, truth = read_ctc(data_root / "ctc/Fluo-N2DH-SIM+/01_GT"), tmp_path / "01_GT"
    tracks = whole.tracks[whole.tracks["begin"] < 15]
    part = TrackedMovie(np.asarray(whole.labels)[:15, ::2, ::2], tracks.assign(end=tracks["end"].clip(upper=14)))
    _write_reference(truth, part)
    _compare(part, read_seg(truth), truth, _perturbed(part, 0), tmp_path / "01_RES")
