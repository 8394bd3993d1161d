"""Maps of an image written window by window, so that the whole is never in memory."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tifffile

from cellflax.atomic import replacing, reserve
from cellflax.io.movie_time import TimeAxis
from cellflax.io.tiff_output import ome_options, writing


class MapWriter:
    """Writes an OME-TIFF of (H, W, K) float32 maps, uncompressed so that windows can be written in any order.

    Its axes are CYX, or TCYX for a movie. A context manager: the file appears when the block ends without an
    exception.

    Args:
        path: the target.
        shape: height and width.
        names: names of the K maps.
        pixel_size_um: edge of a pixel, if known.
        time: time axis, if it is a movie.

    Raises:
        UserError: if the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        names: tuple[str, ...],
        pixel_size_um: float | None,
        time: TimeAxis | None = None,
    ):
        self._path = path
        self._shape = (1 if time is None else time.n_frames, len(names), *shape)
        metadata: dict = {"Channel": {"Name": list(names)}}
        if time is not None:
            metadata |= time.ome_metadata(planes=len(names))
        # The pixels come later, so that the file is told from others by its name.
        identity = f"{path.name} {self._shape}".encode()
        self._options = ome_options("CYX" if time is None else "TCYX", metadata, pixel_size_um, identity)
        self._in_file = self._shape[1:] if time is None else self._shape

    def write(self, window: tuple[slice, slice], values: np.ndarray, frame: int = 0) -> None:
        """Write (h, w, K) values of a window."""
        # Mapped anew each time: pages that were written count as this process's memory for as long as they are mapped.
        whole = np.memmap(self._temporary, self._dtype, "r+", self._offset, self._shape)
        whole[frame, :, *window] = np.moveaxis(values, -1, 0)

    def __enter__(self) -> Self:
        with writing(self._path), ExitStack() as stack:
            self._temporary = stack.enter_context(replacing(self._path))
            whole = tifffile.memmap(self._temporary, shape=self._in_file, dtype=np.float32, **self._options)
            reserve(self._temporary)
            self._offset, self._dtype = whole.offset, whole.dtype
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(self._path):
            self._open.__exit__(kind, error, trace)
