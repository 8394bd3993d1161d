"""Images that belong to the frames of a movie: a reporter, a nuclear marker, labels of nuclei."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.images import ImageFiles, as_grey, grey_hint, grey_if_equal, read_channels, read_labels
from cellflax.io.movies import frame_files, read_image_movie, read_label_movie
from cellflax.io.pairs import partners
from cellflax.quantification.recording import Recording


@dataclass(frozen=True)
class Planes:
    """An image of one channel for every frame.

    Attributes:
        read: function from the place of a frame in the movie to its (H, W) pixels.
        pixel_size_um: edge of a pixel, if the files record it.
    """

    read: Callable[[int], np.ndarray]
    pixel_size_um: float | None


def planes(option: str, text: str, recording: Recording) -> Planes:
    """Find the images of the frames: one file each (see `companions`), or a TIFF with time as an axis.

    Raises:
        UserError: if their number differs from that of the frames, or they have several channels.
    """
    if len(frame_files(text, option)) == 1 < len(recording.frames):
        stack = read_image_movie(text, option)
        pixels = grey_if_equal(stack.pixels)
        n_frames, *_, n_channels = pixels.shape
        if n_frames != len(recording.frames) or n_channels != 1:
            raise UserError(
                f"{option}={text}: {n_frames} frames of {n_channels} channels; give {len(recording.frames)} frames of "
                "one"
            )
        return Planes(lambda i: pixels[i, ..., 0], stack.pixel_size_um)
    files = companions(option, text, recording)
    return Planes(lambda i: read_plane(files[i])[0], read_plane(files[0])[1])


def label_planes(option: str, text: str, recording: Recording) -> Callable[[int], np.ndarray]:
    """Find the label images of the frames: one file each (see `companions`), or a label movie.

    Returns:
        Function from the place of a frame in the movie to its (H, W) int32 labels.

    Raises:
        UserError: if their number differs from that of the frames; reading a file without labels can raise it too.
    """
    if len(frame_files(text, option)) == 1 < len(recording.frames):
        labels = read_label_movie(text, option).labels
        if len(labels) != len(recording.frames):
            raise UserError(
                f"{option}={text}: {len(labels)} frames; give {len(recording.frames)}, as {recording.source} has"
            )
        return lambda i: labels[i]
    files = companions(option, text, recording)
    return lambda i: read_labels(files[i])


def companions(option: str, text: str, recording: Recording) -> list[Path]:
    """The file of FILE | DIR | GLOB that belongs to each frame: by name, or in order if there are as many as frames.

    Args:
        option: the argument's name, for errors.
        text: where to look.
        recording: the frames; those of tracked movies have no names.

    Raises:
        UserError: if the names do not pair up and the numbers differ.
    """
    files = frame_files(text, option)
    if recording.lineage is None:
        try:
            return list(partners(option, text, {frame.stem: Path(frame.name) for frame in recording.frames}).values())
        except UserError:
            if len(files) != len(recording.frames):
                raise
    if len(files) != len(recording.frames):
        raise UserError(
            f"{option}={text}: {len(files)} files for {len(recording.frames)} frames of {recording.source}; give one "
            "per frame"
        )
    return files


def read_plane(file: Path) -> tuple[np.ndarray, float | None]:
    """Read an image of one channel, (H, W), and its pixel size in um if the file records it.

    Raises:
        UserError: if it has several channels.
    """
    image = as_grey(read_channels(ImageFiles(file.stem, (file,))))
    if image.pixels.shape[-1] != 1:
        raise UserError(f"{file}: has {image.pixels.shape[-1]} channels; give only one channel{grey_hint(image)}")
    return image.pixels[..., 0], image.pixel_size_um
