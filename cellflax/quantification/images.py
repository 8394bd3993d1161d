"""Images that belong to the frames of a movie: a reporter, a nuclear marker, labels of nuclei."""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.images import ImageFiles, as_grey, channel_index, grey_hint, grey_if_equal, read_channels, read_labels
from cellflax.io.movies import ImageMovie, frame_files, open_image_movie, read_label_movie
from cellflax.io.outlines import has_outlines
from cellflax.io.pairs import PairBy, files_for, match_frames, partners
from cellflax.io.reading import Reading
from cellflax.quantification.recording import Recording


@dataclass(frozen=True)
class Planes:
    """An image of one channel for every frame.

    Attributes:
        read: function from the place of a frame in the movie to its (H, W) pixels.
        size_um: function from the same to the edge of a pixel, if the file records it.
    """

    read: Callable[[int], np.ndarray]
    size_um: Callable[[int], float | None]


def planes(
    option: str,
    text: str,
    recording: Recording,
    pair: PairBy,
    opened: ExitStack,
    reading: Reading | None = None,
    channel: str | None = None,
) -> Planes:
    """Find the images of the frames: one file each (see `companions`), or a movie.

    Args:
        option: the argument's name, for errors.
        text: where to look.
        recording: the frames.
        pair: whether files belong to frames by name or by order.
        opened: keeps the file of a movie open, whose frames are read one at a time.
        reading: how to read the files.
        channel: name or number of the channel within each file; None where files have one.

    Raises:
        UserError: if their number differs from that of the frames, or they have several channels.
    """
    if _is_one_movie(option, text, recording):
        movie = opened.enter_context(open_image_movie(text, option, reading=reading))
        if len(movie.pixels) != len(recording.frames):
            raise _wrong_movie(option, text, recording, movie)
        index = None if channel is None else channel_index(movie.channels, channel, text)

        def read(i: int) -> np.ndarray:
            pixels = movie.pixels[i] if index is not None else grey_if_equal(movie.pixels[i])
            if index is None and pixels.shape[-1] != 1:
                raise _wrong_movie(option, text, recording, movie)
            return pixels[..., index or 0]

        read(0)
        return Planes(read, lambda i: movie.pixel_size_um)
    files = companions(option, text, recording, pair)

    @functools.lru_cache(maxsize=1)
    def plane(i: int) -> tuple[np.ndarray, float | None]:
        return read_plane(files[i], option, reading, channel)

    return Planes(lambda i: plane(i)[0], lambda i: plane(i)[1])


def _wrong_movie(option: str, text: str, recording: Recording, movie: ImageMovie) -> UserError:
    n_frames, *_, n_channels = movie.pixels.shape
    return UserError(
        f"{option}={text}: {n_frames} frames of {n_channels} channels ({', '.join(movie.channels)}); give "
        f"{len(recording.frames)} frames, and choose one channel with {option}_channel=..."
    )


def label_planes(option: str, text: str, recording: Recording, pair: PairBy) -> Callable[[int], np.ndarray]:
    """Find the label images of the frames: one file each (see `companions`), or a label movie.

    Returns:
        Function from the place of a frame in the movie to its (H, W) int32 labels.

    Raises:
        UserError: if their number differs from that of the frames; reading a file without labels can raise it too.
    """
    if _is_one_movie(option, text, recording):
        labels = read_label_movie(text, option).labels
        if len(labels) != len(recording.frames):
            raise UserError(
                f"{option}={text}: {len(labels)} frames; give {len(recording.frames)}, as {recording.source} has"
            )
        return lambda i: labels[i]
    files = companions(option, text, recording, pair)
    return lambda i: read_labels(files[i], recording.labels(i).shape if has_outlines(files[i]) else None)


def _is_one_movie(option: str, text: str, recording: Recording) -> bool:
    return len(files_for(option, text)) == 1 < len(recording.present)


def companions(option: str, text: str, recording: Recording, pair: PairBy) -> dict[int, Path]:
    """The file of FILE | DIR | GLOB that belongs to each recorded frame, by the frame's place.

    Frames of one movie are paired by their numbers, other label images by their names.

    Args:
        option: the argument's name, for errors.
        text: where to look.
        recording: the frames; those of tracked movies have no names.
        pair: whether files belong to frames by name or by order.

    Raises:
        UserError: if a frame has no file.
    """
    present = recording.present
    frames = [recording.frames[i] for i in present]
    numbers = [frame.number for frame in frames if frame.number is not None]
    if len(numbers) == len(frames):
        files = match_frames(
            option, text, numbers, frame_files(text, option), recording.source, pair, sure=recording.numbered
        )
        return dict(zip(present, files, strict=True))
    found = partners(option, text, {frame.stem: Path(frame.name) for frame in frames}, pair)
    return {i: found[frame.stem] for i, frame in zip(present, frames, strict=True)}


def read_plane(
    file: Path, option: str, reading: Reading | None = None, channel: str | None = None
) -> tuple[np.ndarray, float | None]:
    """Read an image of one channel, (H, W), and its pixel size in um if the file records it.

    Args:
        file: the file.
        option: the argument's name, for errors.
        reading: how to read it.
        channel: name or number of the channel; None for a file with one.

    Raises:
        UserError: if it has several channels and none is chosen.
    """
    within = () if channel is None else (channel,)
    image = as_grey(read_channels(ImageFiles(file.stem, (file,), within=within, reading=reading or Reading())))
    if image.pixels.shape[-1] != 1:
        raise UserError(
            f"{file}: has {image.pixels.shape[-1]} channels ({', '.join(image.channels)}); choose one with "
            f"{option}_channel=...{grey_hint(image)}"
        )
    return image.pixels[..., 0], image.pixel_size_um
