"""Label movies written one frame at a time."""

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import tifffile

from cellflax.io.movie_time import TimeAxis
from cellflax.io.tiff import ome_options, writing


class LabelMovieFile:
    """A compressed OME-TIFF of labels with axes TYX: uint16, or uint32 from label 65,536 on.

    A context at whose end the target is written, unless that is an exception. Until then the frames are kept,
    compressed, in a hidden file beside it: only the last of them settles the data type.

    Args:
        path: the target.
        time: its frames.
        pixel_size_um: edge of a pixel, if known.

    Raises:
        UserError: if the file cannot be written.
    """

    def __init__(self, path: Path, time: TimeAxis, pixel_size_um: float | None):
        self._path, self._time, self._pixel_size_um = path, time, pixel_size_um
        self._staged = path.with_name(f".{path.name}.{os.getpid()}.frames.tmp")
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._shape, self._largest = (0, 0), 0
        with writing(path):
            self._writer = tifffile.TiffWriter(self._staged, bigtiff=True)

    def write(self, labels: np.ndarray) -> None:
        """Write the (H, W) labels of the next frame."""
        self._shape, self._largest = labels.shape, max(self._largest, int(labels.max(initial=0)))
        with writing(self._path):
            self._writer.write(labels.astype(np.uint32), compression="zlib", photometric="minisblack", metadata=None)

    def __enter__(self) -> "LabelMovieFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with writing(self._path):
                self._writer.close()
                if kind is None:
                    self._finish()
        finally:
            self._staged.unlink(missing_ok=True)
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        dtype = np.uint16 if self._largest <= 65535 else np.uint32
        options = ome_options("TYX", self._time.ome_metadata(), self._pixel_size_um)
        with tifffile.TiffFile(self._staged) as staged:
            frames = (page.asarray().astype(dtype) for page in staged.pages)
            shape = (self._time.n_frames, *self._shape)
            tifffile.imwrite(self._temporary, frames, shape=shape, dtype=dtype, compression="zlib", **options)
        self._temporary.replace(self._path)
