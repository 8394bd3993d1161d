"""The truth of a simulated movie, to compare measurements with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.frame_sequence import FrameSequence
from cellflax.io import results
from cellflax.io.tables import read_table
from cellflax.labels import label_values, majority_owners
from cellflax.quantification.recording import Recording
from cellflax.tracking.ctc import read_ctc


@dataclass(frozen=True)
class Truth:
    """One true value for every cell and frame.

    Attributes:
        source: the folder.
        frame: (n,) number of the frame.
        track: (n,) true track.
        value: (n,) positive.
        labels: (T, H, W) true tracks in each frame.
    """

    source: str
    frame: np.ndarray
    track: np.ndarray
    value: np.ndarray
    labels: FrameSequence


def read_truth(folder: str, quantity: str) -> Truth:
    """Read what `cellflax.simulate` wrote for a movie.

    Args:
        folder: holds `truth.csv`, with the columns `frame`, `track` and the quantity, and the true tracks in `labels`.
        quantity: name of the column.

    Raises:
        UserError: if a file is missing, a column is missing or not numeric, or a value is not positive.
    """
    path = Path(folder) / results.TRUTH
    columns = {results.FRAME: int, results.TRACK: int, quantity: float}
    table = read_table(path, columns, "give truth=MOVIE, a folder that cellflax simulate wrote")
    if table.empty:
        raise UserError(f"{path}: ends behind its first line, without a cell; simulate the movie again")
    frame, track, value = (table[name].to_numpy() for name in (results.FRAME, results.TRACK, quantity))
    for i in np.flatnonzero(~(np.isfinite(value) & (value > 0)))[:1].tolist():
        raise UserError(
            f"{path}: line {i + 2}, {quantity} must be above 0 to have a relative error, got {value[i]:g}; simulate "
            "the movie again"
        )
    return Truth(folder, frame, track, value, read_ctc(Path(folder) / results.LABEL_FOLDER).labels)


def match_truth(truth: Truth, recording: Recording) -> np.ndarray:
    """Track of the movie for every row of the truth: the largest that lies, by more than half, in the true cell.

    Returns:
        (n,) tracks, 0 where there is none.

    Raises:
        UserError: if the movies do not fit, or have no cell in common.
    """
    if len(truth.labels) != len(recording.frames):
        raise UserError(
            f"truth={truth.source}: {len(truth.labels)} frames, {recording.source} has {len(recording.frames)}"
        )
    found = np.zeros(len(truth.frame), np.int64)
    for i, true in enumerate(truth.labels):
        labels = recording.labels(i)
        if labels.shape != true.shape:
            raise UserError(
                f"truth={truth.source}: shape {true.shape} differs from {labels.shape} of {recording.source}"
            )
        track, _ = majority_owners(true, labels)
        of_true = dict(zip(label_values(true).tolist(), track.tolist(), strict=True))
        rows = truth.frame == i
        found[rows] = [of_true.get(one, 0) for one in truth.track[rows].tolist()]
    if not found.any():
        raise UserError(
            f"truth={truth.source}: none of its cells is a track of {recording.source}; is it the same movie?"
        )
    return found
