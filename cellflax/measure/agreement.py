"""Agreement of measured time courses with the truth of simulated movies."""

from typing import Any

import numpy as np

_MIN_POINTS = 3  # the correlation of fewer points means nothing


def time_course_agreement(track: np.ndarray, truth: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """How well measured time courses of many cells follow the true ones.

    Args:
        track: (n,) cell of each row.
        truth: (n,) positive.
        measured: (n,), NaN where it could not be measured.

    Returns:
        For JSON: `n` measured rows of `n_truth`; `relative_error`, the median of |measured - truth| / truth over
        them; `correlation`, the median over the cells of Pearson's correlation between measured and true time course.
        It uses the cells seen three times or more whose truth and measurement vary. Undefined values are None.
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
