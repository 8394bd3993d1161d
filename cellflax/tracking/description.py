"""What `summary.json` of `cellflax.track` says of a tracking, and what its user should know."""

from typing import Any

import numpy as np

from cellflax.io import results
from cellflax.io.movies import LabelMovie
from cellflax.tracking.tracker import Tracking


def describe_tracking(
    movie: LabelMovie,
    tracking: Tracking,
    times_s: np.ndarray | None,
    pixel_size_um: float | None,
    max_gap: int,
) -> dict[str, Any]:
    """Numbers of a tracking, and notes on it, as JSON.

    Args:
        movie: the labels that were tracked.
        tracking: the result.
        times_s: (T,) time of each frame, if known.
        pixel_size_um: edge of a pixel, if known.
        max_gap: longest gap over which tracks continue, frames.
    """
    return {
        "notes": _notes(movie, tracking, times_s, max_gap),
        "n_frames": len(movie.labels),
        "n_cells": len(tracking.movie.label),
        "n_tracks": len(tracking.lineage.tracks),
        "n_divisions": tracking.lineage.n_divisions,
        "n_gaps_closed": tracking.n_gaps,
        "n_divisions_repaired": tracking.n_repaired,
        "typical_diameter_px": tracking.movie.diameter_px,
        "pixel_size_um": pixel_size_um,
        "first_number": movie.frames.first if movie.frames is not None and movie.frames.numbered else None,
        "number_step": movie.frames.step if movie.frames is not None and movie.frames.numbered else None,
        "missing_frames": movie.missing,
        "drift_px": tracking.drift.tolist(),
    }


def _longest_run(places: list[int]) -> int:
    """Length of the longest run of successive numbers."""
    longest = run = 0
    for before, place in zip([None, *places], places, strict=False):
        run = run + 1 if before is not None and place == before + 1 else 1
        longest = max(longest, run)
    return longest


def _notes(movie: LabelMovie, tracking: Tracking, times_s: np.ndarray | None, max_gap: int) -> list[str]:
    notes = []
    if movie.from_mask:
        notes.append(f"input={movie.source} has a single non-zero value: its connected components are the cells")
    gap = _longest_run(movie.missing)
    if gap:
        notes.append(
            f"{len(movie.missing)} frames are missing; times count them, and tracks continue over at most "
            f"gaps.max_frames={max_gap} frames (the longest gap has {gap})"
        )
    unseen = set(movie.missing)
    empty = [str(t) for t, frame in enumerate(tracking.movie.frames) if not len(frame) and t not in unseen]
    if empty:
        notes.append(f"no cell in {len(empty)} frames ({', '.join(empty[:5])}{', ...' if len(empty) > 5 else ''})")
    farthest = np.abs(tracking.drift).max()
    if farthest > 0:
        notes.append(f"the field moved by up to {farthest} px between frames, which drift.method=auto corrected for")
    if times_s is None:
        notes.append(
            f"the files do not say when frames were taken: no {results.TIME_S} in {results.TRACKS}; add "
            "frame_interval_s=..."
        )
    return notes
