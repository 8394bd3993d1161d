"""Label movies written one frame at a time."""

import hashlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tifffile

from cellflax.atomic import replacing
from cellflax.io.movie_time import TimeAxis
from cellflax.io.tiff_output import digest, ome_options, writing


class LabelMovieWriter:
    """Writes a compressed OME-TIFF of labels with axes TYX: uint16, or uint32 from label 65,536 on.

    A context manager: the file appears when the block ends without an exception. Until then the compressed frames are
    in a hidden file, because the data type is known only after the last frame.

    Args:
        path: the target.
        time: time axis of the movie.
        pixel_size_um: edge of a pixel, if known.

    Raises:
        UserError: if the file cannot be written.
    """

    def __init__(self, path: Path, time: TimeAxis, pixel_size_um: float | None):
        self._path, self._time, self._pixel_size_um = path, time, pixel_size_um
        self._shape, self._largest, self._written = (0, 0), 0, 0
        self._content = hashlib.sha1(usedforsecurity=False)

    def write(self, labels: np.ndarray, frame: int | None = None) -> None:
        """Write the (H, W) labels of a frame.

        Args:
            labels: the labels.
            frame: its number, at least that of the next frame, which is the default; frames that are left out have
                no cells.
        """
        self._shape, self._largest = labels.shape, max(self._largest, int(labels.max(initial=0)))
        with writing(self._path):
            self._skip_to(self._written if frame is None else frame)
            self._append(labels.astype(np.uint32))

    def _skip_to(self, frame: int) -> None:
        while self._written < frame:
            self._append(np.zeros(self._shape, np.uint32))

    def _append(self, labels: np.ndarray) -> None:
        self._content.update(digest(labels))
        self._writer.write(labels, compression="zlib", photometric="minisblack", metadata=None)
        self._written += 1

    def __enter__(self) -> Self:
        with writing(self._path):
            # In the target's directory, because the system's directory for temporary files may be small and in memory.
            self._staged = tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=f".{self._path.name}.")
            self._writer = tifffile.TiffWriter(self._staged, bigtiff=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(self._path), self._staged:
            if kind is None:
                self._skip_to(self._time.n_frames)
            self._writer.close()
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        dtype = np.uint16 if self._largest <= 65535 else np.uint32
        content = self._content.digest()
        options = ome_options("TYX", self._time.ome_metadata(), self._pixel_size_um, content)
        self._staged.seek(0)
        with tifffile.TiffFile(self._staged) as staged, replacing(self._path) as temporary:
            frames = (page.asarray().astype(dtype) for page in staged.pages)
            shape = (self._time.n_frames, *self._shape)
            tifffile.imwrite(temporary, frames, shape=shape, dtype=dtype, compression="zlib", **options)
