"""Maps of an image written window by window, so that the whole is never in memory."""

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import tifffile

from cellflax.errors import UserError


class MapFile:
    """An OME-TIFF of (H, W, K) float32 maps, axes CYX, uncompressed so that windows can be written in any order.

    As a context it is written beside its target, which is replaced at the end, unless that is an exception.

    Args:
        path: the target.
        shape: height and width.
        names: of the K maps.
        pixel_size_um: edge of a pixel, if known.

    Raises:
        UserError: if the file cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, int], names: tuple[str, ...], pixel_size_um: float | None):
        self._path, self._temporary = path, path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._shape = (len(names), *shape)
        metadata: dict = {"axes": "CYX", "Channel": {"Name": list(names)}}
        options: dict = {"ome": True, "photometric": "minisblack", "metadata": metadata}
        if pixel_size_um is not None:
            for axis in "XY":
                metadata |= {f"PhysicalSize{axis}": pixel_size_um, f"PhysicalSize{axis}Unit": "µm"}
            options |= {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
        try:
            whole = tifffile.memmap(self._temporary, shape=self._shape, dtype=np.float32, **options)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
        self._offset, self._dtype = whole.offset, whole.dtype

    def write(self, window: tuple[slice, slice], values: np.ndarray) -> None:
        """Write (h, w, K) values of a window."""
        # Mapped anew each time: pages written to count as this process's memory for as long as they are mapped.
        whole = np.memmap(self._temporary, self._dtype, "r+", self._offset, self._shape)
        whole[:, *window] = np.moveaxis(values, -1, 0)

    def __enter__(self) -> "MapFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._temporary.replace(self._path)
        self._temporary.unlink(missing_ok=True)
