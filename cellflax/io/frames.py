"""An image or a movie as frames that are read one at a time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.files import ImageFiles
from cellflax.io.images import Image, label_plane, read_channels, read_labels, stack_channels
from cellflax.io.movie_file import MovieFile, is_movie, open_label_movie, open_movie
from cellflax.io.movie_time import TimeAxis


@dataclass(frozen=True)
class Frames:
    """One image, or the frames of a movie.

    Attributes:
        name: name of the image, as in `ImageFiles`.
        time: None for an image.
        read: function from the number of a frame to its image, whose content is checked as by `read_channels`.
    """

    name: str
    time: TimeAxis | None
    read: Callable[[int], Image]

    @property
    def count(self) -> int:
        """Number of frames."""
        return 1 if self.time is None else self.time.n_frames


@contextmanager
def open_frames(files: ImageFiles, frame_interval_s: float | None = None) -> Iterator[Frames]:
    """Open an image or a movie; the channels of either may be in separate files.

    Args:
        files: TIFFs with several frames along T (or an unnamed axis, see `is_movie`) are movies.
        frame_interval_s: time between frames; overrides what the files say.

    Raises:
        UserError: if a file is damaged, has several positions, or the files of a movie differ in number of frames.
    """
    if not any(map(is_movie, files.paths)):
        yield Frames(files.name, None, lambda _: read_channels(files))
        return
    with ExitStack() as stack:
        movies = [stack.enter_context(open_movie(path)) for path in files.paths]
        count = movies[0].n_frames
        for path, movie in zip(files.paths, movies, strict=True):
            if movie.n_frames != count:
                raise UserError(
                    f"{path}: {movie.n_frames} frames, but {files.paths[0].name} has {count}; channels of one movie "
                    "must have the same frames"
                )

        def read(t: int) -> Image:
            images = [_frame(path, movie, t) for path, movie in zip(files.paths, movies, strict=True)]
            return stack_channels(images, files.channels, files.within)

        yield Frames(files.name, TimeAxis(count, movies[0].times_s(frame_interval_s)), read)


def _frame(path: Path, movie: MovieFile, t: int) -> Image:
    pixels = movie.frame(t)
    return Image(pixels, movie.channels, movie.pixel_size_um, Path(f"{path}, frame {t}"), movie.origin)


@contextmanager
def open_labels(path: Path, time: TimeAxis | None) -> Iterator[Callable[[int], np.ndarray]]:
    """Open the labels of an image or a movie; yields a function from the number of a frame to (H, W) int32.

    Raises:
        UserError: if they are not labels, or their number of frames differs.
    """
    if time is None:
        yield lambda _: read_labels(path)
        return
    with open_label_movie(path) as movie:
        if movie.n_frames != time.n_frames:
            raise UserError(
                f"{path}: {movie.n_frames} frames for a movie of {time.n_frames}; give labels of each frame"
            )
        yield lambda t: label_plane(movie.frame(t), f"{path}, frame {t}")
