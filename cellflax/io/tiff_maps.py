"""Maps of an image written window by window, so that the whole is never in memory."""

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import tifffile

from cellflax.io.movie_time import TimeAxis
from cellflax.io.tiff import ome_options, writing


class MapFile:
    """An OME-TIFF of (H, W, K) float32 maps, uncompressed so that windows can be written in any order.

    Its axes are CYX, those of a movie TCYX. As a context it is written beside its target, which is replaced at the end,
    unless that is an exception.

    Args:
        path: the target.
        shape: height and width.
        names: of the K maps.
        pixel_size_um: edge of a pixel, if known.
        time: of a movie.

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
        self._path, self._temporary = path, path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._shape = (1 if time is None else time.n_frames, len(names), *shape)
        metadata: dict = {"Channel": {"Name": list(names)}}
        if time is not None:
            metadata |= time.ome_metadata(planes=len(names))
        options = ome_options("CYX" if time is None else "TCYX", metadata, pixel_size_um)
        in_file = self._shape[1:] if time is None else self._shape
        with writing(path):
            whole = tifffile.memmap(self._temporary, shape=in_file, dtype=np.float32, **options)
        self._offset, self._dtype = whole.offset, whole.dtype

    def write(self, window: tuple[slice, slice], values: np.ndarray, frame: int = 0) -> None:
        """Write (h, w, K) values of a window."""
        # Mapped anew each time: pages written to count as this process's memory for as long as they are mapped.
        whole = np.memmap(self._temporary, self._dtype, "r+", self._offset, self._shape)
        whole[frame, :, *window] = np.moveaxis(values, -1, 0)

    def __enter__(self) -> "MapFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._temporary.replace(self._path)
        self._temporary.unlink(missing_ok=True)
