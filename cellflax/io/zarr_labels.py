"""Labels in one OME-Zarr 0.5, written chunk by chunk: on a disk or in object storage.

The folder is a label image (`image-label`) in copies of less resolution, each with every second row and column of the
one before. Its metadata are written last: until then no program takes it for an image.
"""

import json

import numpy as np
import tensorstore

import cellflax
from cellflax.errors import OutputError, UserError
from cellflax.io.ome_zarr_output import CELLS, CHUNK_PX, ZarrLayout, create_array, multiscale
from cellflax.io.zarr_metadata import validated
from cellflax.io.zarr_place import Place, reason
from cellflax.io.zarr_windows import Window

_VERSION = "0.5"
# While labels are being written, this file says whose they are; afterwards their metadata do.
_MARK = "cellflax.unfinished"
_OURS = "cellflax"


class LabelArray:
    """An array of labels of which windows are read and written, by several processes at once.

    Windows of different processes must have no chunk in common.

    Args:
        store: open array; its last two axes are rows and columns, and the others have length 1.
        name: for errors.
    """

    def __init__(self, store: tensorstore.TensorStore, name: str):
        self._store, self._name = store[(0,) * (store.rank - 2)], name

    def write(self, window: Window, labels: np.ndarray) -> None:
        """Write (h, w) labels.

        Raises:
            OutputError: if they cannot be written.
        """
        try:
            self._store[window].write(labels).result()
        except (ValueError, OSError) as error:
            raise OutputError(f"{self._name}: cannot be written ({reason(error)})") from error

    def read(self, window: Window) -> np.ndarray:
        """(h, w) labels of a window.

        Raises:
            OutputError: if they cannot be read.
        """
        try:
            return np.asarray(self._store[window].read().result())
        except (ValueError, OSError) as error:
            raise OutputError(f"{self._name}: cannot be read ({reason(error)})") from error


def shared_array(place: Place, shape: tuple[int, int], chunk_px: int) -> LabelArray:
    """An int32 array for several processes, made by the first of them.

    Args:
        place: its folder.
        shape: height and width.
        chunk_px: edge of a chunk.

    Raises:
        OutputError: if it cannot be made.
    """
    spec = {
        "driver": "zarr3",
        "kvstore": place.spec(),
        "metadata": {
            "shape": list(shape),
            "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk_px, chunk_px]}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd"},
                {"name": "crc32c"},
            ],
        },
    }
    try:
        return LabelArray(tensorstore.open(spec, open=True, create=True).result(), place.name)
    except (ValueError, OSError) as error:
        raise OutputError(f"{place.name}: cannot be written ({reason(error)})") from error


class LabelPyramid:
    """A label image in OME-Zarr that is being written: first `full`, chunk by chunk, then `finish`.

    Attributes:
        full: the labels at full resolution.

    Args:
        place: its folder, which is emptied (`require_free` says whether it may be).
        shape: height and width.
        pixel_size_um: edge of a pixel, if known.
        chunk_px: edge of a chunk.

    Raises:
        OutputError: if it cannot be written.
    """

    def __init__(self, place: Place, shape: tuple[int, int], pixel_size_um: float | None, chunk_px: int = CHUNK_PX):
        self._place = place
        dtype = np.dtype(np.int32)
        self._layout = ZarrLayout(*shape, (CELLS,), dtype, dtype, None, pixel_size_um, _VERSION, place.stem)
        place.remove()
        place.write(_MARK, b"")
        try:
            self._levels = [
                LabelArray(create_array(place.child(str(i)).spec(), self._layout, dtype, size, 1, chunk_px), place.name)
                for i, size in enumerate(self._layout.sizes)
            ]
        except (ValueError, OSError) as error:
            raise OutputError(f"{place.name}: cannot be written ({reason(error)})") from error
        self.full, self._chunk = self._levels[0], chunk_px

    def finish(self) -> None:
        """Write the copies of less resolution, chunk by chunk, and then the metadata.

        Raises:
            OutputError: if they cannot be written.
        """
        sizes = self._layout.sizes
        for i in range(1, len(sizes)):
            for y in range(0, sizes[i][0], self._chunk):
                for x in range(0, sizes[i][1], self._chunk):
                    bottom, right = min(y + self._chunk, sizes[i][0]), min(x + self._chunk, sizes[i][1])
                    fine = slice(2 * y, 2 * bottom - 1), slice(2 * x, 2 * right - 1)
                    labels = self._levels[i - 1].read(fine)[::2, ::2]
                    self._levels[i].write((slice(y, bottom), slice(x, right)), labels)
        of_cells = multiscale(self._layout, is_image=False)
        validated(self._place.name, "Multiscale", of_cells, _VERSION)
        ome = {"version": _VERSION, "multiscales": [of_cells], "image-label": {}}
        attributes = {"ome": ome, _OURS: {"version": cellflax.__version__}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        self._place.write("zarr.json", json.dumps(group, indent=1).encode())
        self._place.remove_file(_MARK)


def require_free(key: str, place: Place, overwrite: bool) -> None:
    """Refuse to empty a place that holds anything but labels that cellflax wrote.

    Args:
        key: the argument's name, for errors.
        place: the place.
        overwrite: whether finished labels may be replaced. Unfinished ones are.

    Raises:
        UserError: if it may not be emptied.
    """
    if place.read(_MARK) is not None or not place.keys():
        return
    try:
        ours = _OURS in json.loads(place.read("zarr.json") or b"")["attributes"]
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise UserError(f"{key}={place.name}: holds files that cellflax did not write; give another place")
    if not overwrite:
        raise UserError(
            f"{key}={place.name}: holds the labels of an earlier run; give another place, or add overwrite=true"
        )
