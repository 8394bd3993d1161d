"""An image or a movie as frames that are read one at a time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import ContentError, UserError
from cellflax.io.files import ImageFiles
from cellflax.io.images import Image, frame_image, label_plane, read_labels, stack_channels
from cellflax.io.movie_time import TimeAxis
from cellflax.io.outlines import has_outlines
from cellflax.io.readers import open_scene
from cellflax.io.reading import Reading, TimeFrom
from cellflax.io.scene import Scene, with_time_axis


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
        files: files with several frames along T, or an unnamed axis too long for channels, are movies.
        frame_interval_s: time between frames; overrides what the files say.

    Raises:
        UserError: if a file is damaged, has several positions, or the files of a movie differ in number of frames.
    """
    with ExitStack() as stack:
        scenes = [stack.enter_context(open_scene(path, files.reading)) for path in files.paths]
        count = scenes[0].n_frames
        for scene in scenes:
            if scene.n_frames != count:
                raise UserError(
                    f"{scene.path}: {scene.n_frames} frames, but {files.paths[0].name} has {count}; channels of one "
                    "movie must have the same frames"
                )

        def read(t: int) -> Image:
            images = [_frame(scene, t, files.reading) for scene in scenes]
            return stack_channels(images, files.channels, files.within)

        time = None if count == 1 else TimeAxis(count, scenes[0].times_s(frame_interval_s))
        yield Frames(files.name, time, read)


def _frame(scene: Scene, t: int, reading: Reading) -> Image:
    """A frame; one that cannot be read does not spoil the others.

    Raises:
        ContentError: if it is damaged, and there are others.
        UserError: if the only one is damaged.
    """
    try:
        return frame_image(scene, t, reading)
    except ContentError:
        raise
    except UserError as error:
        if scene.n_frames == 1:
            raise
        raise ContentError(str(error)) from error


def is_movie(path: Path, reading: Reading | None = None) -> bool:
    """Whether a file has several frames: along T, or an unnamed axis too long to be channels.

    Raises:
        UserError: if it is damaged.
    """
    if has_outlines(path):
        return False
    with open_scene(path, reading) as scene:
        return scene.n_frames > 1


@contextmanager
def open_label_movie(path: Path) -> Iterator[Scene]:
    """Open a movie of labels.

    Labels have no channels: a few frames that the file calls channels or colours are frames.

    Raises:
        UserError: if it has one frame, or several focal planes.
    """
    with open_scene(path, as_labels=True) as scene:
        if scene.n_frames == 1:
            scene = with_time_axis(scene, TimeFrom.C)
        sizes = ", ".join(f"{axis} {length}" for axis, length in scene.sizes.items())
        if scene.sizes["Z"] > 1:
            raise UserError(
                f"{path}: not a movie of single planes ({sizes}); save time as axis T, one plane and position, and "
                "labels without channels"
            )
        if scene.n_frames == 1:
            raise UserError(f"{path}: has one frame ({sizes}); a movie has two or more, as the axis T")
        yield scene


def label_frame(scene: Scene, t: int) -> np.ndarray:
    """The labels of a frame, (H, W) int32.

    Raises:
        UserError: as `label_plane`.
    """
    return label_plane(frame_image(scene, t).pixels, f"{scene.path}, frame {t}")


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
        yield lambda t: label_frame(movie, t)
