"""Measured time courses against the truth, which simulated movies have."""

from typing import Any

import numpy as np

_MIN_POINTS = 3  # fewer have no telling correlation


def time_course_agreement(track: np.ndarray, truth: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """How well a quantity of many cells is followed over time.

    Args:
        track: (n,) cell of each row.
        truth: (n,) positive.
        measured: (n,), NaN where it could not be measured.

    Returns:
        For JSON: `n` measured rows of `n_truth`; `relative_error`, the median of |measured - truth| / truth over
        them; `correlation`, the median over the cells of Pearson's between measured and true time course, among
        those seen three times or more whose truth and measurement vary. None where there is nothing to tell.
    """
    n_truth, known = len(track), np.isfinite(measured)
    track, truth, measured = track[known], truth[known], measured[known]
    courses = [(truth[track == cell], measured[track == cell]) for cell in np.unique(track)]
    correlations = [
        np.corrcoef(*course)[0, 1]
        for course in courses
        if len(course[0]) >= _MIN_POINTS and min(np.ptp(values) for values in course) > 0
    ]
    return {
        "n": len(track),
        "n_truth": n_truth,
        "relative_error": float(np.median(np.abs(measured - truth) / truth)) if len(track) else None,
        "correlation": float(np.median(correlations)) if correlations else None,
    }
