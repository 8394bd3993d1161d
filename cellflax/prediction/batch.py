"""The images of one prediction, segmented one after the other: each is finished on disk before the next begins."""

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.errors import BlankError, ContentError, OutputError, UserError
from cellflax.io import results
from cellflax.io.frames import Frames, open_labels
from cellflax.io.images import Image, ImageFiles
from cellflax.io.journal import Journal, input_states
from cellflax.io.tables import write_table
from cellflax.pictures.overlay import Panel
from cellflax.prediction.files import ResultFiles, frame_cells, panel
from cellflax.prediction.inputs import open_images, open_nuclei
from cellflax.prediction.networks import Networks
from cellflax.prediction.recalled import frame_title, recall
from cellflax.prediction.report import PredictionSights
from cellflax.prediction.segment import Segmentation
from cellflax.prediction.unlike import UnlikeTraining
from cellflax.progress import Progress, say

MAX_PANELS = 6


@dataclass(frozen=True)
class Source:
    """An image or movie that is to be segmented.

    Attributes:
        files: its files.
        nuclei: file of its nuclei, if they are given.
    """

    files: ImageFiles
    nuclei: Path | None

    def states(self) -> dict[str, list[int]]:
        """By name, size and time of its files."""
        return input_states([*self.files.paths, *([] if self.nuclei is None else [self.nuclei])])


class ImageBatch:
    """Segments images, and keeps what is wrong with some of them.

    Args:
        networks: what segments them.
        folder: where the results go.
        journal: notes the images that are finished.
        bar: says how far it is.
        maps: whether to write probabilities, uncertainties and seeds.
        pixel_size_um: overrides the pixel size of all images.
        frame_interval_s: overrides the time between the frames of all movies.

    Attributes:
        unusable: by image or frame, what was wrong with it.
        panels: pictures of the first images.
        unlike: gathers images that are unlike those of the training.
        sights: what the report shows of the images.
    """

    def __init__(
        self,
        networks: Networks,
        folder: Path,
        journal: Journal,
        bar: Progress,
        *,
        maps: bool,
        pixel_size_um: float | None,
        frame_interval_s: float | None,
    ):
        self._networks, self._folder, self._journal, self._bar = networks, folder, journal, bar
        self._maps, self._sizes = maps, (pixel_size_um, frame_interval_s)
        self._said_unsure = False
        self.unusable: dict[str, str] = {}
        self.panels: list[Panel] = []
        self.sights = PredictionSights()
        self.unlike = UnlikeTraining(networks.model)

    def segment(self, source: Source) -> None:
        """Segment an image or movie; one that cannot be used is noted.

        Raises:
            OutputError: if a result cannot be written.
        """
        files, states = source.files, source.states()
        if files.name in self._journal.done:  # a movie, some of whose frames could not be used
            self._journal.forget(files.name)
        try:
            with self.open(source) as frames:
                self._segment_frames(frames, source.nuclei, states)
        except OutputError:
            raise
        except UserError as error:
            self.unusable[files.name] = str(error)
            say(f"not segmented: {error}")

    def open(self, source: Source) -> AbstractContextManager[Frames]:
        """Open an image or movie as it is segmented.

        Raises:
            UserError: if it cannot be used.
        """
        return open_images(source.files, self._networks.model, *self._sizes)

    def show(self, source: Source, labels: Path) -> None:
        """Keep of an image that is finished already what the report shows, and draw it if the overlay has room.

        Args:
            source: the image or movie.
            labels: its label image or movie.
        """
        recall(self.sights, source.files.name, self._journal, partial(self.open, source), labels)
        if len(self.panels) >= MAX_PANELS:
            return
        with (
            suppress(UserError),  # it is finished, and only a picture of it is missing
            self.open(source) as frames,
            open_labels(labels, frames.time) as read,
        ):
            for t in sorted(self._shown(frames)):
                with suppress(ContentError):  # a blank frame
                    self.panels.append(panel(frame_title(frames, t), read(t), frames.read(t).pixels[..., 0]))

    def _segment_frames(self, frames: Frames, nuclei: Path | None, states: dict[str, list[int]]) -> None:
        """Segment an image or all frames of a movie, write the results and note that they are finished.

        A frame that cannot be analysed has no cells; unless it is blank, that is noted as for an image. Some of the
        frames are kept for the overlay.

        Raises:
            UserError: if the image, or all frames of a movie, cannot be used.
        """
        networks, bar, folder = self._networks, self._bar, self._folder
        options = {"maps": self._maps, "uncertainty": networks.has_uncertainty}
        shown = self._shown(frames)
        files = ResultFiles(folder, frames, networks.model.outputs.names, **options)
        tables: list[pd.DataFrame] = []
        blank: dict[str, str] = {}
        unusable: dict[str, str] = {}

        def on_block(done: int, count: int) -> None:
            if frames.count == 1:
                bar.part("block", done, count)

        try:
            with open_nuclei(nuclei, frames) as read_nuclei, files:
                for t in range(frames.count):
                    title = frame_title(frames, t)
                    try:
                        image = frames.read(t)
                        if not tables:  # the first frame that can be used
                            self.unlike.image(frames.name, image)
                        result = networks.segment(image, read_nuclei(t, image), files.maps(t, image), on_block)
                    except ContentError as error:
                        (blank if isinstance(error, BlankError) else unusable)[title] = str(error)
                        if len(blank) + len(unusable) == frames.count:
                            raise
                        say(f"warning: no cells in this frame: {error}")
                        continue
                    files.write(t, image, result)
                    tables.append(frame_cells(frames, t, result.cells))
                    self.sights.add(frames.name, title, result.cells, partial(_look, image, result))
                    if t in shown:
                        self.panels.append(panel(title, result.labels, image.pixels[..., 0]))
                    bar.brief(f"{title}: {len(result.cells)} cells")
                    bar.part("frame", t + 1, frames.count)
            cells = pd.concat(tables, ignore_index=True)
            self.unlike.cells(frames.name, cells)
            self._say_unsure(frames.name, cells)
            write_table(self._journal.cells(frames.name), _keys_first(cells))
            self._journal.add(frames.name, states, files.written, blank, unusable)
        except BaseException:
            for file in files.written:  # what is left of an image that is not finished
                file.unlink(missing_ok=True)
            raise
        self.unusable |= unusable

    def _say_unsure(self, name: str, cells: pd.DataFrame) -> None:
        """Say, of the first image, that its probabilities of being right are empty, and why."""
        empty = [column for column in results.RIGHT if column in cells and cells[column].isna().to_numpy().any()]
        if empty and not self._said_unsure:
            self._said_unsure = True
            say(
                f"{name}: {' and '.join(empty)} are empty, because its pixels are not as large as those of the "
                "calibration; other such images are not named"
            )

    def _shown(self, frames: Frames) -> set[int]:
        """Frames that the overlay has room for."""
        room = min(frames.count, MAX_PANELS - len(self.panels))
        return set(np.linspace(0, frames.count - 1, room, dtype=int).tolist())


def _look(image: Image, result: Segmentation) -> tuple[np.ndarray, np.ndarray]:
    """What the report draws a cell from."""
    return result.labels, image.pixels[..., 0]


def _keys_first(cells: pd.DataFrame) -> pd.DataFrame:
    """A table of cells whose first columns locate a cell."""
    keys = [name for name in (results.IMAGE, results.FRAME, results.TIME_S) if name in cells]
    return cells.reindex(columns=[*keys, *cells.columns.drop(keys)])
