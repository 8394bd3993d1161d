"""Movies: a TIFF with time as an axis, or a folder with one file per frame.

Labels of a movie are read once and kept compressed. Frames of images are read whenever one is wanted.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.frame_sequence import FrameSequence, FramesOnDemand, PackedFrames
from cellflax.io.files import ImageFiles, list_files
from cellflax.io.frames import is_movie, label_frame, open_label_movie
from cellflax.io.images import Image, frame_image, pixel_size_of, read_channels, read_labels
from cellflax.io.movie_time import regular_times_s
from cellflax.io.name_matching import common_of
from cellflax.io.names import frame_numbers, natural_key, stem_of
from cellflax.io.numbered_frames import FrameNumbers, number_frames
from cellflax.io.pairs import PairBy, by_stem, check_places, match_frames, partners
from cellflax.io.readers import open_scene
from cellflax.io.reading import Reading, TimeFrom
from cellflax.io.scene import with_time_axis
from cellflax.labels import components, label_values


@dataclass(frozen=True)
class LabelMovie:
    """Segmented cells of every frame.

    Attributes:
        labels: (T, H, W) int32 frames, 0 = background; a number identifies a cell only within its frame.
        times_s: (T,) time of each frame in seconds, if known.
        pixel_size_um: edge of a pixel, if known.
        source: the file or folder.
        from_mask: the movie had a single non-zero value; its connected components are the cells.
        frames: which frames the files of a folder are; frames without a file are empty. None for a movie in one file.
        files: the files, of the frames that have one.
    """

    labels: FrameSequence
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
        pixels: (T, H, W, C) frames in the files' own data type.
        channels: name of each channel.
        times_s: (T,) time of each frame in seconds, if known.
        pixel_size_um: edge of a pixel, if known.
    """

    pixels: FrameSequence
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
            labels = PackedFrames(label_frame(movie, t) for t in range(movie.n_frames))
            size, times_s = pixel_size_um or movie.pixel_size_um, movie.times_s(frame_interval_s)
    else:
        files, frames = number_frames(option, text, files, pair)
        labels = PackedFrames(_with_gaps(files, map(read_labels, files), frames))
        size = pixel_size_um or _one_size_um(files, [pixel_size_of(file) for file in files])
        times_s = regular_times_s(frames.count, frame_interval_s and frame_interval_s * frames.step)
    from_mask = _are_masks(labels)
    if from_mask:
        labels = PackedFrames(map(components, labels))
    return LabelMovie(labels, times_s, size, text, from_mask, frames, tuple(files))


@contextmanager
def open_image_movie(
    text: str,
    option: str = "images",
    frame_interval_s: float | None = None,
    pair: PairBy = PairBy.names,
    labels: LabelMovie | None = None,
    reading: Reading | None = None,
) -> Iterator[ImageMovie]:
    """Open an image movie: a TIFF with axes TYX or TCYX, or FILE | DIR | GLOB with one image per frame.

    A frame is read, and its content checked, each time that it is taken.

    Args:
        text: FILE | DIR | GLOB.
        option: the argument's name, for errors.
        frame_interval_s: as for `read_label_movie`.
        pair: as for `read_label_movie`; with `order`, files belong to those of `labels` in order.
        labels: movie whose frames the images belong to; images are then paired with its frames by their names.
        reading: how to read the files.

    Raises:
        UserError: as `read_label_movie`, and if frames of `labels` lack an image. A frame that cannot be used raises
            it when it is taken.
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
            first = frame_image(movie, 0, reading)
            shape = (movie.n_frames, *first.pixels.shape)
            pixels = FramesOnDemand(shape, first.pixels.dtype, lambda t: frame_image(movie, t, reading).pixels)
            yield ImageMovie(pixels, first.channels, movie.times_s(frame_interval_s), movie.pixel_size_um)
        return
    if labels is None:
        files, frames = number_frames(option, text, files, pair)
    else:
        files, frames = _files_of_frames(text, option, pair, labels)

    def image(file: Path) -> Image:
        return read_channels(ImageFiles(stem_of(file), (file,), reading=reading or Reading()))

    first = image(files[0])
    file_of = dict(zip(frames.present, files, strict=True))

    def frame(t: int) -> np.ndarray:
        if t not in file_of:
            return np.zeros_like(first.pixels)
        pixels = image(file_of[t]).pixels
        _check_shape(file_of[t], pixels, files[0], first.pixels)
        return pixels

    times_s = regular_times_s(frames.count, frame_interval_s and frame_interval_s * frames.step)
    size = _one_size_um(files, [_size_um(file, reading) for file in files])
    pixels = FramesOnDemand((frames.count, *first.pixels.shape), first.pixels.dtype, frame)
    yield ImageMovie(pixels, first.channels, times_s, size)


def read_image_movie(text: str, *args: Any, **options: Any) -> ImageMovie:
    """All frames of an image movie in memory; arguments and errors as of `open_image_movie`."""
    with open_image_movie(text, *args, **options) as movie:
        return replace(movie, pixels=np.stack(list(movie.pixels)))


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


def _size_um(file: Path, reading: Reading | None) -> float | None:
    with open_scene(file, reading) as scene:
        return scene.pixel_size_um


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


def _with_gaps(files: Sequence[Path], frames: Iterable[np.ndarray], numbers: FrameNumbers) -> Iterator[np.ndarray]:
    """The frames of a movie in order, with empty ones for those without a file."""
    first, place = None, 0
    for file, frame, its_place in zip(files, frames, numbers.present, strict=True):
        first = frame if first is None else first
        _check_shape(file, frame, files[0], first)
        for _ in range(place, its_place):
            yield np.zeros_like(first)
        yield frame
        place = its_place + 1


def _check_shape(file: Path, frame: np.ndarray, first_file: Path, first: np.ndarray) -> None:
    if frame.shape != first.shape:
        raise UserError(
            f"{file}: shape {frame.shape} differs from {first.shape} of {first_file.name}; all frames of a movie must "
            "have the same shape"
        )


def _are_masks(labels: FrameSequence) -> bool:
    """Whether there is one value besides 0 in all frames together (see `labels.is_mask`)."""
    found: set[int] = set()
    for frame in labels:
        found.update(label_values(frame)[:2].tolist())
        if len(found) > 1:
            return False
    return len(found) == 1
