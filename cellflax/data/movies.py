"""Movies: a TIFF with time as an axis, or a folder with one file per frame."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from cellflax.data.annotation import instances_from_mask
from cellflax.data.files import ImageFiles
from cellflax.data.images import read_channels, read_labels
from cellflax.data.movie_time import frame_times_s
from cellflax.data.pairs import by_stem
from cellflax.data.stack import default_channel_names
from cellflax.data.tiff import pixel_size_um
from cellflax.errors import UserError

# tifffile's letters for the axis of time; Q and I are axes that the file leaves unnamed.
_TIME_AXES = "TQI"
# Labels have no channels; a movie of three or four frames is easily taken for a colour image when it is written.
_LABEL_TIME_AXES = "TQICS"


@dataclass(frozen=True)
class LabelMovie:
    """Segmented cells of every frame.

    Attributes:
        labels: (T, H, W) int32, 0 = background; a number means the same cell within its frame alone.
        times_s: (T,) time of each frame in seconds, if known.
        pixel_size_um: edge of a pixel, if known.
        source: the file or folder.
        from_mask: the movie had a single non-zero value, whose connected components were taken for the cells.
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


def read_label_movie(text: str, option: str = "input") -> LabelMovie:
    """Read a label movie: a TIFF with axes TYX, or FILE | DIR | GLOB with one label image per frame.

    Frames of a folder follow the numbers in their names (`t2` before `t10`).

    Args:
        text: where it is.
        option: the argument's name, for errors.

    Raises:
        UserError: if there are fewer than two frames, frames of different shapes, no label images, or time stamps
            that do not rise.
    """
    files = frame_files(text, option)
    if len(files) == 1:
        pixels, size, times_s = _read_tiff_movie(files[0], _LABEL_TIME_AXES, "")
        labels = _as_labels(files[0], pixels[..., 0])
    else:
        labels = _stack(files, [read_labels(file) for file in files])
        size, times_s = None, None
    values = np.unique(labels[labels > 0])
    if values.size == 1:
        labels = np.stack([instances_from_mask(frame) for frame in labels])
    return LabelMovie(labels, times_s, size, text, from_mask=values.size == 1)


def read_image_movie(text: str, option: str = "images") -> ImageMovie:
    """Read an image movie: a TIFF with axes TYX or TCYX, or FILE | DIR | GLOB with one image per frame.

    Raises:
        UserError: as `read_label_movie`.
    """
    files = frame_files(text, option)
    if len(files) == 1:
        pixels, size, times_s = _read_tiff_movie(files[0], _TIME_AXES, "CS")
        return ImageMovie(pixels, default_channel_names(pixels.shape[-1]), times_s, size)
    images = [read_channels(ImageFiles(file.stem, (file,))) for file in files]
    pixels = _stack(files, [image.pixels for image in images])
    return ImageMovie(pixels, images[0].channels, None, images[0].pixel_size_um)


def frame_files(text: str, option: str) -> list[Path]:
    """Files of a movie, in the order of the numbers in their names; one file if it is a TIFF movie.

    Raises:
        UserError: if there are none, or two files stand for one frame.
    """
    return sorted(by_stem(option, text).values(), key=lambda file: natural_key(file.stem))


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


def _read_tiff_movie(
    path: Path, time_axes: str, channel_axes: str
) -> tuple[np.ndarray, float | None, np.ndarray | None]:
    """Pixels (T, H, W, C), pixel size in um and times of a TIFF with an axis of time."""
    # tifffile reports a damaged file by log lines as well as by the exception that is told below.
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as tiff:
            _require_same_shapes(path, tiff)
            pixels = _to_tyxc(path, tiff.series[0].asarray(), tiff.series[0].axes, time_axes, channel_axes)
            return pixels, pixel_size_um(path, tiff), frame_times_s(path, tiff, len(pixels))
    except (UserError, MemoryError):
        raise
    except Exception as error:  # the decoders raise whatever a damaged file leads them into
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: damaged, incomplete or no TIFF ({reason}); copy or export it again") from error
    finally:
        logger.setLevel(level)


def _require_same_shapes(path: Path, tiff: tifffile.TiffFile) -> None:
    """Pages of different shapes become different series, of which a reader would see the first alone."""
    shapes = [series.shape for series in tiff.series]
    if len(shapes) > 1:
        raise UserError(
            f"{path}: holds {len(shapes)} series, of shapes {', '.join(map(str, shapes[:3]))}; all frames of a movie "
            "must have the same shape, and a file hold one movie"
        )


def _to_tyxc(path: Path, array: np.ndarray, axes: str, time_axes: str, channel_axes: str) -> np.ndarray:
    """Array in the order time, rows, columns, channels.

    Args:
        path: the file, for errors.
        array: what it holds.
        axes: tifffile's letters, one per dimension.
        time_axes: letters that may be time.
        channel_axes: letters of channels.
    """
    planes = "YX" + channel_axes
    long = [axis for axis, length in zip(axes, array.shape, strict=True) if axis not in planes and length > 1]
    if not long:
        raise UserError(f"{path}: has one frame (axes {axes}, shape {array.shape}); a movie has two or more")
    if len(long) > 1 or long[0] not in time_axes:
        raise UserError(
            f"{path}: axes {axes} of shape {array.shape} are no movie of single planes; save time as the axis T, one "
            "plane and position, and labels without channels"
        )
    time = long[0]
    array = array[tuple(slice(None) if axis in planes + time else 0 for axis in axes)]
    axes = "".join(axis for axis in axes if axis in planes + time)
    order = [axes.index(axis) for axis in time + planes if axis in axes]
    array = array.transpose(order)
    return array.reshape(*array.shape[:3], -1)


def _as_labels(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biu":
        raise UserError(f"{path}: labels must be whole numbers, it holds {values.dtype}")
    if values.size and (values.min() < 0 or values.max() > np.iinfo(np.int32).max):
        raise UserError(f"{path}: labels must be in 0 ... 2147483647, got {values.min()} ... {values.max()}")
    return values.astype(np.int32)
