"""Movies: a TIFF with time as an axis, or a folder with one file per frame."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.files import ImageFiles
from cellflax.io.images import label_plane, read_channels, read_image, read_labels
from cellflax.io.movie_file import is_movie, open_label_movie, open_movie
from cellflax.io.movie_time import regular_times_s
from cellflax.io.pairs import by_stem
from cellflax.labels import components, is_mask


@dataclass(frozen=True)
class LabelMovie:
    """Segmented cells of every frame.

    Attributes:
        labels: (T, H, W) int32, 0 = background; a number identifies a cell only within its frame.
        times_s: (T,) time of each frame in seconds, if known.
        pixel_size_um: edge of a pixel, if known.
        source: the file or folder.
        from_mask: the movie had a single non-zero value; its connected components are the cells.
    """

    labels: np.ndarray
    times_s: np.ndarray | None
    pixel_size_um: float | None
    source: str
    from_mask: bool = False


@dataclass(frozen=True)
class ImageMovie:
    """Images of every frame.

    Attributes:
        pixels: (T, H, W, C) in the files' own data type.
        channels: name of each channel.
        times_s: (T,) time of each frame in seconds, if known.
        pixel_size_um: edge of a pixel, if known.
    """

    pixels: np.ndarray
    channels: tuple[str, ...]
    times_s: np.ndarray | None
    pixel_size_um: float | None


def read_label_movie(text: str, option: str = "input", frame_interval_s: float | None = None) -> LabelMovie:
    """Read a label movie: a TIFF with axes TYX, or FILE | DIR | GLOB with one label image per frame.

    Frames of a folder follow the numbers in their names (`t2` before `t10`).

    Args:
        text: FILE | DIR | GLOB.
        option: the argument's name, for errors.
        frame_interval_s: time between frames; overrides what the files say.

    Raises:
        UserError: if there are fewer than two frames, frames of different shapes, no label images, or time stamps
            that do not rise.
    """
    files = frame_files(text, option)
    if len(files) == 1:
        with open_label_movie(files[0]) as movie:
            labels = np.stack([label_plane(movie.frame(t), f"{files[0]}, frame {t}") for t in range(movie.n_frames)])
            size, times_s = movie.pixel_size_um, movie.times_s(frame_interval_s)
    else:
        labels = _stack(files, [read_labels(file) for file in files])
        size, times_s = read_image(files[0]).pixel_size_um, regular_times_s(len(files), frame_interval_s)
    from_mask = is_mask(labels)
    if from_mask:
        labels = np.stack([components(frame) for frame in labels])
    return LabelMovie(labels, times_s, size, text, from_mask)


def read_image_movie(text: str, option: str = "images", frame_interval_s: float | None = None) -> ImageMovie:
    """Read an image movie: a TIFF with axes TYX or TCYX, or FILE | DIR | GLOB with one image per frame.

    Raises:
        UserError: as `read_label_movie`, which has the same arguments.
    """
    files = frame_files(text, option)
    if len(files) == 1:
        with open_movie(files[0]) as movie:
            pixels, times_s = movie.frames(), movie.times_s(frame_interval_s)
            return ImageMovie(pixels, movie.channels, times_s, movie.pixel_size_um)
    images = [read_channels(ImageFiles(file.stem, (file,))) for file in files]
    pixels = _stack(files, [image.pixels for image in images])
    times_s = regular_times_s(len(files), frame_interval_s)
    return ImageMovie(pixels, images[0].channels, times_s, images[0].pixel_size_um)


def frame_files(text: str, option: str) -> list[Path]:
    """Files of a movie, in the order of the numbers in their names; one file if it is a TIFF movie.

    Raises:
        UserError: if there are none, two files stand for one frame, or there are several movies.
    """
    files = sorted(by_stem(option, text).values(), key=lambda file: natural_key(file.stem))
    if len(files) > 1 and is_movie(files[0]):
        raise UserError(
            f"{option}={text}: {files[0].name} is a movie, and there are {len(files)} files; give one movie"
        )
    return files


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorting key that reads digits as numbers: t2 before t10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _stack(files: Sequence[Path], frames: Sequence[np.ndarray]) -> np.ndarray:
    for file, frame in zip(files, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise UserError(
                f"{file}: shape {frame.shape} differs from {frames[0].shape} of {files[0].name}; all frames of a "
                "movie must have the same shape"
            )
    return np.stack(frames)
