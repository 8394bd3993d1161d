"""Divisions and whole tracks against a reference; BC(i) and CT of the Cell Tracking Challenge.

Ulman et al. 2017 (Nat Methods 14:1141).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cellflax.metrics.tracking import Matches, count_errors, match_cells, segmentation_score
from cellflax.tracking.ctc import TrackedMovie


class _Division(NamedTuple):
    """A track that ends with two or more daughters."""

    parent: int
    end: int
    daughters: dict[int, int]  # track -> its first frame


@dataclass(frozen=True)
class DivisionScore:
    """Divisions found and missed.

    Attributes:
        n_reference: divisions of the reference.
        n_predicted: divisions predicted.
        n_right: divisions found in both.
    """

    n_reference: int
    n_predicted: int
    n_right: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, the challenge's branching correctness; NaN without any division."""
        total = self.n_reference + self.n_predicted
        return 2 * self.n_right / total if total else float("nan")


def score_divisions(
    reference: TrackedMovie, predicted: TrackedMovie, matches: Matches, tolerance: int = 0
) -> DivisionScore:
    """Score divisions as the challenge's BC(i) does, i being the tolerance in frames.

    A predicted division is right if its parent matches the true one in the last frame of both and ends within the
    tolerance. It must also have as many daughters as the true one, and each must match a true daughter in the first
    frame of both and begin within the tolerance. A predicted cell that stands for two reference cells matches neither.
    """
    cells, matched = matches.reference, matches.uniquely_matched()
    match = dict(zip(zip(cells.frame.tolist(), cells.track.tolist(), strict=True), matched.tolist(), strict=True))
    truths, guesses = _divisions(reference.tracks), _divisions(predicted.tracks)
    n_right = sum(any(_is_same(truth, guess, match, tolerance) for guess in guesses) for truth in truths)
    return DivisionScore(len(truths), len(guesses), n_right)


def _divisions(tracks: pd.DataFrame) -> list[_Division]:
    end = dict(zip(tracks["track"].tolist(), tracks["end"].tolist(), strict=True))
    daughters: dict[int, dict[int, int]] = defaultdict(dict)
    for row in tracks[["track", "begin", "parent"]].to_numpy().tolist():
        track, begin, parent = row
        if parent:
            daughters[parent][track] = begin
    return [_Division(parent, end[parent], born) for parent, born in daughters.items() if len(born) > 1]


def _is_same(truth: _Division, guess: _Division, match: dict[tuple[int, int], int], tolerance: int) -> bool:
    """Whether two divisions are the same; `match` gives the predicted track of a reference cell (frame, track)."""
    return (
        len(truth.daughters) == len(guess.daughters)
        and abs(truth.end - guess.end) <= tolerance
        and match.get((min(truth.end, guess.end), truth.parent)) == guess.parent
        and all(
            any(
                abs(begin - other_begin) <= tolerance and match.get((max(begin, other_begin), daughter)) == other
                for other, other_begin in guess.daughters.items()
            )
            for daughter, begin in truth.daughters.items()
        )
    )


@dataclass(frozen=True)
class TrackScore:
    """Whole tracks found.

    Attributes:
        n_reference: tracks of the reference.
        n_predicted: tracks predicted.
        n_complete: reference tracks that one predicted track follows in every frame, from the first to the last.
    """

    n_reference: int
    n_predicted: int
    n_complete: int

    @property
    def fraction(self) -> float:
        """Share of the reference tracks that are complete; NaN without any."""
        return self.n_complete / self.n_reference if self.n_reference else float("nan")

    @property
    def ct(self) -> float:
        """The challenge's CT: the F1 score of complete tracks; NaN without any track."""
        total = self.n_reference + self.n_predicted
        return 2 * self.n_complete / total if total else float("nan")


def score_tracks(reference: TrackedMovie, predicted: TrackedMovie, matches: Matches) -> TrackScore:
    """Count the complete tracks."""
    matched, track = matches.uniquely_matched(), matches.reference.track
    names, at = np.unique(track, return_inverse=True)
    lowest, highest = np.full(len(names), np.iinfo(np.int64).max), np.zeros(len(names), np.int64)
    np.minimum.at(lowest, at, matched)
    np.maximum.at(highest, at, matched)
    span = reference.tracks.set_index("track")[["begin", "end"]].reindex(names).to_numpy()
    found = predicted.tracks.set_index("track")[["begin", "end"]].reindex(lowest).to_numpy()
    complete = (lowest == highest) & (span == found).all(axis=1)
    return TrackScore(len(reference.tracks), len(predicted.tracks), int(complete.sum()))


def tracking_summary(
    reference: TrackedMovie,
    predicted: TrackedMovie,
    segmented: dict[int, np.ndarray] | None = None,
    tolerance: int = 1,
) -> dict[str, Any]:
    """All tracking metrics, ready for JSON; undefined ones (0 / 0) are None.

    Args:
        reference: true tracks.
        predicted: tracks to score.
        segmented: true outlines of some frames, for SEG.
        tolerance: frames by which a division may be early or late in the second division score.
    """
    matches = match_cells(reference.labels, predicted.labels)
    errors = count_errors(reference, predicted, matches)
    exact, near = (score_divisions(reference, predicted, matches, frames) for frames in (0, tolerance))
    tracks = score_tracks(reference, predicted, matches)
    return {
        "TRA": _defined(errors.tra),
        "DET": _defined(errors.det),
        "SEG": _defined(segmentation_score(segmented or {}, predicted.labels)),
        "division_f1": _defined(exact.f1),
        "division_f1_within_tolerance": _defined(near.f1),
        "division_tolerance_frames": tolerance,
        "n_divisions_reference": exact.n_reference,
        "n_divisions_predicted": exact.n_predicted,
        "n_divisions_right": exact.n_right,
        "n_divisions_right_within_tolerance": near.n_right,
        "complete_tracks": _defined(tracks.fraction),
        "CT": _defined(tracks.ct),
        "n_tracks_reference": tracks.n_reference,
        "n_tracks_predicted": tracks.n_predicted,
        "link_recall": _defined(errors.link_recall),
        "link_precision": _defined(errors.link_precision),
        "n_links_reference": errors.n_links,
        "n_links_predicted": errors.n_predicted_links,
        "errors": {
            "split_cells": errors.splits,
            "false_negatives": errors.false_negatives,
            "false_positives": errors.false_positives,
            "redundant_links": errors.redundant_links,
            "missing_links": errors.missing_links,
            "wrong_links": errors.wrong_links,
        },
    }


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
