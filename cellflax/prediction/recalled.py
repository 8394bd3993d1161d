"""What the report keeps of an image while it is segmented, from the files of one that is finished already."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.frames import Frames, open_labels
from cellflax.io.journal import Journal
from cellflax.prediction.report import PredictionSights

Open = Callable[[], AbstractContextManager[Frames]]


def recall(sights: PredictionSights, name: str, journal: Journal, open_image: Open, labels: Path) -> None:
    """Add a finished image or movie to the sights; one that cannot be read any more is left out.

    Args:
        sights: takes it.
        name: of the image.
        journal: has it, and the table of its cells.
        open_image: opens the image as it was segmented.
        labels: its label image or movie.
    """
    done = journal.done[name]
    with suppress(UserError, OSError):  # only its pictures are missing
        cells = pd.read_csv(journal.cells(name))
        if results.FRAME not in cells:
            sights.add(name, name, cells, partial(_look, open_image, labels, 0))
            return
        with open_image() as frames:
            titles = {t: frame_title(frames, t) for t in range(frames.count)}
        of_frame = dict(iter(cells.groupby(results.FRAME)))
        for t, title in titles.items():
            if title not in done.blank and title not in done.failed:
                sights.add(
                    name, title, of_frame[t] if t in of_frame else cells.head(0), partial(_look, open_image, labels, t)
                )


def frame_title(frames: Frames, t: int) -> str:
    """How messages and pictures call an image, or a frame of a movie."""
    return frames.name if frames.time is None else f"{frames.name}, frame {t}"


def _look(open_image: Open, labels: Path, t: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) labels and intensities of a frame."""
    with open_image() as frames, open_labels(labels, frames.time) as read:
        return read(t), frames.read(t).pixels[..., 0]
