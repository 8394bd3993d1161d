"""TIFF files with time as an axis, read one frame at a time."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from cellflax.errors import UserError
from cellflax.io.movie_time import frame_times_s, regular_times_s
from cellflax.io.notices import warn
from cellflax.io.reader import decoding, read_start
from cellflax.io.stack import NamesFrom, plane_names
from cellflax.io.tiff import channel_names, is_tiff, pixel_size_um, unnamed_channels, upright_values
from cellflax.io.tiff_file import open_tiff

# tifffile's letters for the axis of time; Q and I are axes that the file leaves unnamed.
TIME_AXES = "TQI"
# Labels have no channels; a movie of three or four frames is easily taken for a colour image when it is written.
LABEL_TIME_AXES = "TQICS"
_FAULT = "damaged, incomplete or no TIFF"


class MovieFile:
    """A TIFF movie, opened by `open_movie`; only the requested frame is in memory.

    Args:
        path: the file.
        tiff: the same, open.
        series: its movie.
        time_axes: tifffile's letters of axes that may be time.
        channel_axes: letters of its channel axes; the last of several runs fastest.

    Raises:
        UserError: if it has one frame, or has other axes.
    """

    def __init__(
        self,
        path: Path,
        tiff: tifffile.TiffFile,
        series: tifffile.TiffPageSeries,
        time_axes: str,
        channel_axes: str,
    ):
        self._path, self._tiff, self._series = path, tiff, series
        self._axes, self._shape = self._series.axes, self._series.shape
        self._planes = "YX" + channel_axes
        self._time = _time_axis(path, self._axes, self._shape, time_axes, self._planes)
        self._offset, self._keyframe = self._series.dataoffset, self._series.keyframe
        self.n_frames = self._shape[self._time]
        self.pixel_size_um = pixel_size_um(path, tiff)
        lengths = dict(zip(self._axes, self._shape, strict=True))
        planes = lengths.get("Z", 1) if "Z" in channel_axes else 1
        count = math.prod(lengths.get(axis, 1) for axis in channel_axes if axis != "Z")
        names, origin = channel_names(path, tiff, series, count)
        self.channels = plane_names(names, planes)
        self.origin: NamesFrom = "planes" if planes > 1 else origin

    def times_s(self, frame_interval_s: float | None = None) -> np.ndarray | None:
        """(T,) time of each frame in seconds, None if unknown; an interval overrides the times in the file.

        Raises:
            UserError: if the file's time stamps are needed and do not rise.
        """
        if frame_interval_s is not None:
            return regular_times_s(self.n_frames, frame_interval_s)
        try:
            with np.errstate(invalid="ignore"):  # an infinite interval
                times_s = frame_times_s(self._path, self._tiff, self.n_frames)
        except (ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
            warn(f"{self._path}: its times cannot be read ({error}); unknown")
            return None
        if times_s is not None and not np.isfinite(times_s).all():
            warn(f"{self._path}: its times are no numbers; unknown")
            return None
        return times_s

    def frame(self, t: int) -> np.ndarray:
        """(H, W, C) pixels of a frame in the file's own data type.

        Raises:
            UserError: if the file does not hold it, or it cannot be decoded.
        """
        with decoding(self._path, _FAULT):
            array = self._decoded(t) if self._offset is None else self._mapped(t, self._offset)
        axes = self._axes[: self._time] + self._axes[self._time + 1 :]
        array = array[tuple(slice(None) if axis in self._planes else 0 for axis in axes)]
        axes = "".join(axis for axis in axes if axis in self._planes)
        array = array.transpose([axes.index(axis) for axis in self._planes if axis in axes])
        return upright_values(self._path, self._keyframe, array.reshape(*array.shape[:2], -1))

    def frames(self) -> np.ndarray:
        """All frames, (T, H, W, C)."""
        first = self.frame(0)
        whole = np.empty((self.n_frames, *first.shape), first.dtype)
        whole[0] = first
        for t in range(1, self.n_frames):
            whole[t] = self.frame(t)
        return whole

    def _mapped(self, t: int, offset: int) -> np.ndarray:
        dtype = self._series.dtype.newbyteorder(self._tiff.byteorder)
        # Mapped anew each time: pages that were read count as this process's memory for as long as they are mapped.
        whole = np.memmap(self._path, dtype, "r", offset, self._shape)
        return whole[(slice(None),) * self._time + (t,)].astype(self._series.dtype.newbyteorder("="))

    def _decoded(self, t: int) -> np.ndarray:
        """A frame from the TIFF's pages, which hold the last axes; the first axes run from page to page."""
        n_pages, page_axes = len(self._series.pages), 0
        while page_axes < len(self._shape) and math.prod(self._shape[:page_axes]) < n_pages:
            page_axes += 1
        of_pages = self._shape[:page_axes]
        if self._time >= page_axes or math.prod(of_pages) != n_pages:
            return np.take(self._whole, t, self._time)
        planes = []
        for number in np.arange(n_pages).reshape(of_pages).take(t, self._time).ravel().tolist():
            page = self._series.pages[number]
            if page is None:
                raise UserError(f"{self._path}: frame {t} is missing from this file; copy or export it again")
            planes.append(page.asarray())
        return np.stack(planes).reshape(self._shape[: self._time] + self._shape[self._time + 1 :])

    @cached_property
    def _whole(self) -> np.ndarray:
        """All frames, for files in which a page holds several."""
        return self._series.asarray().reshape(self._shape)


@contextmanager
def open_movie(path: Path, time_axes: str = TIME_AXES, channel_axes: str = "CSZ") -> Iterator[MovieFile]:
    """Open a TIFF movie of images.

    Raises:
        UserError: if it is not such a movie (see `MovieFile`).
    """
    with ExitStack() as stack:
        with decoding(path, _FAULT):
            tiff, series = stack.enter_context(open_tiff(path))
            movie = MovieFile(path, tiff, series, time_axes, channel_axes)
        yield movie


@contextmanager
def open_label_movie(path: Path) -> Iterator[MovieFile]:
    """Open a TIFF movie of labels, whose frames have one channel, or three if they are colour pictures.

    Raises:
        UserError: if it is not such a movie (see `MovieFile`).
    """
    with ExitStack() as stack:
        with decoding(path, _FAULT):
            tiff, series = stack.enter_context(open_tiff(path))
            # Beside another axis that may be time, samples are colours.
            long = [axis for axis, length in zip(series.axes, series.shape, strict=True) if length > 1]
            colours = "S" if "S" in long and any(axis in TIME_AXES for axis in long) else ""
            movie = MovieFile(path, tiff, series, LABEL_TIME_AXES, colours)
        yield movie


def is_movie(path: Path) -> bool:
    """Whether a file is a TIFF with several frames: along T, or an unnamed axis too long to be channels.

    Raises:
        UserError: if it is a damaged TIFF.
    """
    if not is_tiff(read_start(path)):
        return False
    with decoding(path, "damaged or incomplete"), open_tiff(path) as (_, series):
        axes, shape = series.axes, series.shape
        axes = unnamed_channels(axes, shape)
        return any(axis in TIME_AXES and length > 1 for axis, length in zip(axes, shape, strict=True))


def _time_axis(path: Path, axes: str, shape: tuple[int, ...], time_axes: str, planes: str) -> int:
    """Which of the axes is time: the only long one beside rows, columns and channels."""
    long = [i for i, length in enumerate(shape) if axes[i] not in planes and length > 1]
    if not long:
        raise UserError(f"{path}: has one frame (axes {axes}, shape {shape}); a movie has two or more")
    if len(long) > 1 or axes[long[0]] not in time_axes:
        raise UserError(
            f"{path}: axes {axes} of shape {shape} are not a movie of single planes; save time as axis T, one "
            "plane and position, and labels without channels"
        )
    return long[0]
