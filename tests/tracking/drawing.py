"""Movies of drawn cells whose lineage is known."""

import numpy as np
import pandas as pd

from cellflax.tracking.ctc import TrackedMovie


def discs(shape: tuple[int, int], cells: dict[int, tuple[float, float, float]]) -> np.ndarray:
    """Label image of discs: label -> (row, column, radius)."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for label, (y, x, r) in cells.items():
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= r**2] = label
    return labels


def colony(seed: int, frames: int = 12, side: int = 4) -> TrackedMovie:
    """Cells that wander and divide, on a grid wide enough that daughters find room."""
    rng = np.random.default_rng(seed)
    spacing, radius = 34, 8.0
    cells = {1 + i: [spacing * (0.7 + i // side), spacing * (0.7 + i % side), radius] for i in range(side * side)}
    division = {track: int(rng.integers(2, 2 * frames)) for track in cells}
    spans, labels = {track: [0, 0, 0] for track in cells}, []
    for t in range(frames):
        for track in [track for track in cells if division.get(track) == t]:
            y, x, r = cells.pop(track)
            angle = rng.uniform(0, np.pi)
            for sign in (-1, 1):
                new = max(spans) + 1
                cells[new] = [y + sign * 6.5 * np.sin(angle), x + sign * 6.5 * np.cos(angle), r / np.sqrt(2)]
                spans[new] = [t, t, track]
        for track, cell in cells.items():
            cell[0] += rng.normal(0, 0.8)
            cell[1] += rng.normal(0, 0.8)
            spans[track][1] = t
        size = int(spacing * (side + 0.4))
        labels.append(discs((size, size), {track: (y, x, r) for track, (y, x, r) in cells.items()}))
    rows = [(track, begin, end, parent) for track, (begin, end, parent) in spans.items()]
    return TrackedMovie(np.stack(labels), pd.DataFrame(rows, columns=["track", "begin", "end", "parent"]))


def scrambled(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same cells with new labels in every frame, so that labels do not identify cells."""
    rng = np.random.default_rng(seed)
    out = np.zeros_like(labels)
    for t, frame in enumerate(labels):
        names = np.unique(frame[frame > 0])
        lut = np.zeros(int(frame.max()) + 1, np.int32)
        lut[names] = rng.permutation(3 * len(names) + 1)[: len(names)] + 1
        out[t] = lut[frame]
    return out
