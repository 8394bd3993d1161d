"""What every simulator of movies returns: frames, labels by track, and the table of the truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.labels import label_values


@dataclass(frozen=True)
class SimulatedMovie:
    """A simulated movie and its exact truth.

    Attributes:
        images: (T, H, W, C) float32, camera counts (integers from 0 to 65535), channels as in `channels`.
        channels: names of the channels.
        tracks: (T, H, W) int32; a cell keeps its number in all frames. A track ends when its cell divides, and
            the daughters begin in the next frame with new numbers.
        nuclei: (T, H, W) int32, numbered like the cells; None where cells have none.
        truth: one row per cell and frame: `frame` (from 0), `time_s`, `track`, `parent` (0 for none), and what
            the simulator knows about the cell.
        pixel_size_um: edge of a pixel.
        frame_interval_s: time between two frames.
    """

    images: np.ndarray
    channels: tuple[str, ...]
    tracks: np.ndarray
    nuclei: np.ndarray | None
    truth: pd.DataFrame
    pixel_size_um: float
    frame_interval_s: float


def man_track(truth: pd.DataFrame) -> np.ndarray:
    """Tracks as the Cell Tracking Challenge writes them: rows (label, first frame, last frame, parent).

    Args:
        truth: table with the columns `track`, `frame` and `parent`.

    Returns:
        (n, 4) int, ascending by label.
    """
    spans = truth.groupby("track", as_index=False).agg(
        begin=("frame", "min"), end=("frame", "max"), parent=("parent", "first")
    )
    return spans[["track", "begin", "end", "parent"]].to_numpy(int)


def tracks_in_view(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number cells each time they come into view: one that leaves and comes back is a new track.

    Args:
        labels: (T, H, W) int; a cell keeps its number in all frames, even after it was out of view.

    Returns:
        (T, H, W) int32 tracks 1..n in the order of their first frames, and (m, 3) int rows (frame, label, track),
        one for every cell in view.
    """
    tracks, rows = np.zeros(labels.shape, np.int32), []
    in_view: dict[int, int] = {}
    n_tracks = 0
    for frame, frame_labels in enumerate(labels):
        visible = label_values(frame_labels)
        new = [label for label in visible if label not in in_view]
        in_view = {label: in_view[label] for label in visible if label in in_view}
        in_view |= {label: n_tracks + 1 + i for i, label in enumerate(new)}
        n_tracks += len(new)
        table = np.zeros(frame_labels.max() + 1, np.int32)
        for label, track in in_view.items():
            table[label] = track
            rows.append((frame, label, track))
        tracks[frame] = table[frame_labels]
    return tracks, np.array(rows, int).reshape(-1, 3)
