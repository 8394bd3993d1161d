"""Movies: a TIFF with time as an axis, or a folder with one file per frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.files import ImageFiles, list_files
from cellflax.io.frames import is_movie, label_frame, open_label_movie
from cellflax.io.images import frame_image, pixel_size_of, read_channels, read_labels
from cellflax.io.movie_time import regular_times_s
from cellflax.io.name_matching import common_of
from cellflax.io.names import frame_numbers, natural_key, stem_of
from cellflax.io.pairs import PairBy, by_stem, check_places, match_frames, partners
from cellflax.io.readers import open_scene
from cellflax.io.reading import Reading, TimeFrom
from cellflax.io.scene import with_time_axis
from cellflax.labels import components, is_mask
from cellflax.progress import say

_MOST_MISSING = 10  # times the frames that are there: more are no gap, but numbers that mean something else


@dataclass(frozen=True)
class FrameNumbers:
    """Which frame of a movie each file of a folder is, by the numbers in the files' names.

    Attributes:
        first: number of the first frame.
        step: difference that all numbers are a multiple of; frames that are `step` apart follow each other.
        present: place in the movie of each file, rising, from 0; other places are frames without a file.
        numbered: whether the names hold numbers. If not, the files are taken for successive frames.
    """

    first: int
    step: int
    present: tuple[int, ...]
    numbered: bool = True

    @property
    def count(self) -> int:
        """Number of frames, with those that have no file."""
        return self.present[-1] + 1

    @property
    def missing(self) -> list[int]:
        """Numbers of the frames that have no file."""
        places = set(self.present)
        return [self.first + self.step * place for place in range(self.count) if place not in places]

    @property
    def numbers(self) -> list[int]:
        """Number of each file's frame."""
        return [self.first + self.step * place for place in self.present]


def number_frames(
    option: str, text: str, files: Sequence[Path], pair: PairBy = PairBy.names
) -> tuple[list[Path], FrameNumbers]:
    """Put the files of a folder in order, and find out which frames they are.

    A gap in their numbers is a gap, which is reported on the screen.

    With `pair=order`, files are successive frames whatever their numbers.

    Raises:
        UserError: if so many frames are missing that the numbers cannot count frames.
    """
    found = None
    if pair is PairBy.names:
        found = frame_numbers(common_of(file) for file in files) or frame_numbers(stem_of(file) for file in files)
    if found is None:
        return list(files), FrameNumbers(0, 1, tuple(range(len(files))), numbered=False)
    files = [file for _, file in sorted(zip(found, files, strict=True))]
    step = math.gcd(*(number - found[0] for number in found))
    numbers = FrameNumbers(min(found), step, tuple(sorted((number - min(found)) // step for number in found)))
    gaps = numbers.count - len(files)
    if gaps > _MOST_MISSING * len(files):
        raise UserError(
            f"{option}={text}: {len(files)} files are numbered from {min(found)} to {max(found)}; if these are not "
            "numbers of frames, add pair=order to take the files as successive frames"
        )
    if gaps:
        names = ", ".join(map(str, numbers.missing[:5])) + (", ..." if gaps > 5 else "")
        say(f"note: {option}={text}: {gaps} frames are missing, by the numbers in the files' names ({names})")
    if step > 1:
        say(
            f"note: {option}={text}: numbers rise by {step}; frame_interval_s is the time of one number, so that "
            f"successive files are {step} times as far apart; with pair=order it is the time between files"
        )
    return files, numbers


@dataclass(frozen=True)
class LabelMovie:
    """Segmented cells of every frame.

    Attributes:
        labels: (T, H, W) int32, 0 = background; a number identifies a cell only within its frame.
        times_s: (T,) time of each frame in seconds, if known.
        pixel_size_um: edge of a pixel, if known.
        source: the file or folder.
        from_mask: the movie had a single non-zero value; its connected components are the cells.
        frames: which frames the files of a folder are; frames without a file are empty. None for a movie in one file.
        files: the files, of the frames that have one.
    """

    labels: np.ndarray
    times_s: np.ndarray | None
    pixel_size_um: float | None
    source: str
    from_mask: bool = False
    frames: FrameNumbers | None = None
    files: tuple[Path, ...] = ()

    @property
    def missing(self) -> list[int]:
        """Places of the frames without a file."""
        return [] if self.frames is None else sorted(set(range(len(self.labels))) - set(self.frames.present))


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


def read_label_movie(
    text: str,
    option: str = "input",
    frame_interval_s: float | None = None,
    pair: PairBy = PairBy.names,
    pixel_size_um: float | None = None,
) -> LabelMovie:
    """Read a label movie: a TIFF with axes TYX, or FILE | DIR | GLOB with one label image per frame.

    Frames of a folder follow the numbers in their names (`t2` before `t10`). A gap in the numbers is a gap in the
    movie: its frames hold no cell.

    Args:
        text: FILE | DIR | GLOB.
        option: the argument's name, for errors.
        frame_interval_s: time between frames, that of a difference of 1 between numbers in names; overrides what the
            files say.
        pair: with `order`, files of a folder are successive frames whatever their numbers.
        pixel_size_um: edge of a pixel; overrides what the files say.

    Raises:
        UserError: if there are fewer than two frames, frames of different shapes or pixel sizes, or no label images.
    """
    files = frame_files(text, option)
    frames = None
    if len(files) == 1:
        with open_label_movie(files[0]) as movie:
            labels = np.stack([label_frame(movie, t) for t in range(movie.n_frames)])
            size, times_s = pixel_size_um or movie.pixel_size_um, movie.times_s(frame_interval_s)
    else:
        files, frames = number_frames(option, text, files, pair)
        labels = _stack(files, [read_labels(file) for file in files], frames)
        size = pixel_size_um or _one_size_um(files, [pixel_size_of(file) for file in files])
        times_s = regular_times_s(frames.count, frame_interval_s and frame_interval_s * frames.step)
    from_mask = is_mask(labels)
    if from_mask:
        labels = np.stack([components(frame) for frame in labels])
    return LabelMovie(labels, times_s, size, text, from_mask, frames, tuple(files))


def read_image_movie(
    text: str,
    option: str = "images",
    frame_interval_s: float | None = None,
    pair: PairBy = PairBy.names,
    labels: LabelMovie | None = None,
    reading: Reading | None = None,
) -> ImageMovie:
    """Read an image movie: a TIFF with axes TYX or TCYX, or FILE | DIR | GLOB with one image per frame.

    Args:
        text: FILE | DIR | GLOB.
        option: the argument's name, for errors.
        frame_interval_s: as for `read_label_movie`.
        pair: as for `read_label_movie`; with `order`, files belong to those of `labels` in order.
        labels: movie whose frames the images belong to; images are then paired with its frames by their names.
        reading: how to read the files.

    Raises:
        UserError: as `read_label_movie`, and if frames of `labels` lack an image.
    """
    files = sorted(list_files(text), key=lambda file: natural_key(file.stem))
    if len(files) > 1:
        files = frame_files(text, option) if labels is None else files
    if len(files) == 1:
        with open_scene(files[0], reading) as movie:
            if movie.n_frames == 1 and movie.unnamed == "C":  # a few frames look like channels
                movie = with_time_axis(movie, TimeFrom.C)
            if movie.n_frames == 1:
                raise UserError(f"{files[0]}: has one frame; a movie has two or more, save time as the axis T")
            images = [frame_image(movie, t, reading) for t in range(movie.n_frames)]
            pixels = np.stack([image.pixels for image in images])
            return ImageMovie(pixels, images[0].channels, movie.times_s(frame_interval_s), movie.pixel_size_um)
    if labels is None:
        files, frames = number_frames(option, text, files, pair)
    else:
        files, frames = _files_of_frames(text, option, pair, labels)
    images = [read_channels(ImageFiles(stem_of(file), (file,), reading=reading or Reading())) for file in files]
    pixels = _stack(files, [image.pixels for image in images], frames)
    times_s = regular_times_s(frames.count, frame_interval_s and frame_interval_s * frames.step)
    size = _one_size_um(files, [image.pixel_size_um for image in images])
    return ImageMovie(pixels, images[0].channels, times_s, size)


def _files_of_frames(text: str, option: str, pair: PairBy, labels: LabelMovie) -> tuple[list[Path], FrameNumbers]:
    """Image files in the order of the frames of a label movie, and which of its frames they are."""
    if labels.frames is None:
        frames = FrameNumbers(0, 1, tuple(range(len(labels.labels))), numbered=False)
        files = frame_files(text, option)
        return match_frames(option, text, frames.numbers, files, labels.source, pair, sure=False), frames
    frames = labels.frames
    if pair is PairBy.names and frames.numbered:
        candidates = frame_files(text, option)
        if frame_numbers(map(common_of, candidates)) or frame_numbers(map(stem_of, candidates)):
            files = match_frames(option, text, frames.numbers, candidates, labels.source)
            for mine, its in zip(labels.files, files, strict=True):
                check_places(mine, its)
            return files, frames
    found = partners(option, text, {common_of(file): file for file in labels.files}, pair)
    return list(found.values()), frames


def frame_files(text: str, option: str) -> list[Path]:
    """Files of a movie, in the order of the numbers in their names; one file if it is a TIFF movie.

    Raises:
        UserError: if there are none, two files stand for one frame, or there are several movies.
    """
    files = sorted(by_stem(option, text).values(), key=lambda file: natural_key(stem_of(file)))
    if len(files) > 1 and is_movie(files[0]):
        raise UserError(
            f"{option}={text}: {files[0].name} is a movie, and there are {len(files)} files; give one movie"
        )
    return files


def _one_size_um(files: Sequence[Path], sizes: Sequence[float | None]) -> float | None:
    """The pixel size that all frames of a movie share; None where no file says."""
    known = [(file, size) for file, size in zip(files, sizes, strict=True) if size is not None]
    for file, size in known:
        if abs(size - known[0][1]) > 0.01 * size:
            raise UserError(
                f"{file}: pixel size {size:g} um differs from {known[0][1]:g} um of {known[0][0].name}; all frames of "
                "a movie need one, so resample them or give pixel_size_um=..."
            )
    return known[0][1] if known else None


def _stack(files: Sequence[Path], frames: Sequence[np.ndarray], numbers: FrameNumbers) -> np.ndarray:
    """Frames as one array, with zeros for those without a file."""
    for file, frame in zip(files, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise UserError(
                f"{file}: shape {frame.shape} differs from {frames[0].shape} of {files[0].name}; all frames of a "
                "movie must have the same shape"
            )
    whole = np.zeros((numbers.count, *frames[0].shape), np.result_type(*frames))
    for place, frame in zip(numbers.present, frames, strict=True):
        whole[place] = frame
    return whole
