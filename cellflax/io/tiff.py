"""TIFF in all its dialects (plain, OME, ImageJ, MetaMorph STK, Zeiss LSM); planes are read when they are wanted."""

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from cellflax.errors import UserError
from cellflax.io.reader import Reader
from cellflax.io.scene import Scene
from cellflax.io.tiff_file import open_tiff
from cellflax.io.tiff_metadata import TiffMetadata
from cellflax.io.unnamed_axes import named_axes
from cellflax.progress import say

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA = {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA}


def is_tiff(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a TIFF or BigTIFF."""
    return start.startswith(_MAGIC)


@contextmanager
def open_tiff_images(path: Path) -> Iterator[Sequence[Scene]]:
    """Open the images of a TIFF.

    Raises:
        UserError: for an axis other than rows, columns, channels, focal planes and time, missing pixels, or oblong
            pixels.
    """
    with open_tiff(path) as (tiff, images):
        yield [_scene(path, tiff, image, TiffMetadata(path, tiff, image)) for image in images]


TIFF = Reader(
    "TIFF",
    (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".stk", ".lsm"),
    open_tiff_images,
    is_tiff,
    several=True,
)


def _scene(path: Path, tiff: tifffile.TiffFile, image: tifffile.TiffPageSeries, metadata: TiffMetadata) -> Scene:
    axes, unnamed = named_axes(path, image.axes, image.shape)
    planes = _Planes(path, tiff, image, axes)
    extra, colours = image.keyframe.extrasamples, "S" in axes and planes.sizes["C"] > 2
    names, origin = metadata.channel_names(planes.sizes["C"], colours)
    if extra and extra[-1] in _ALPHA and planes.samples > 1:
        planes.sizes["C"] -= 1  # the last
        names, origin = metadata.channel_names(planes.sizes["C"], colours) if origin != "file" else (names[:-1], origin)
    return Scene(
        path,
        planes.sizes,
        image.dtype,
        planes.read,
        names,
        origin,
        metadata.name(),
        metadata.pixel_size_um(),
        metadata.source(),
        metadata.z_um(planes.sizes["Z"]),
        functools.partial(metadata.times_s, planes.sizes["T"]),
        unnamed,
    )


class _Planes:
    """Reads single planes of an image of a TIFF.

    Attributes:
        sizes: lengths of the axes T, C, Z, Y, X; samples of a pixel are channels.
        samples: number of samples of a pixel.
    """

    def __init__(self, path: Path, tiff: tifffile.TiffFile, image: tifffile.TiffPageSeries, axes: str):
        self._path, self._image, self._axes = path, image, axes
        size = dict(zip(axes, image.shape, strict=True))
        self.samples = size.get("S", 1)
        self.sizes = {axis: size.get(axis, 1) for axis in "TCZYX"} | {"C": size.get("C", 1) * self.samples}
        self._dtype = image.dtype.newbyteorder(tiff.byteorder)
        self._of_pages = _leading(image.shape, len(image.pages))
        self._page: tuple[int, np.ndarray] | None = None  # the last one, of which another channel may be wanted

    def read(self, t: int, c: int, z: int) -> np.ndarray:
        """A plane, (H, W)."""
        at = {"T": t, "C": c // self.samples, "S": c % self.samples, "Z": z}
        index = tuple(slice(None) if axis in "YX" else at.get(axis, 0) for axis in self._axes)
        pages = [i for i in index[: self._of_pages] if isinstance(i, int)]
        if self._image.dataoffset is not None:
            # Mapped anew each time: pages that were read count as this process's memory for as long as they are mapped.
            whole = np.memmap(self._path, self._dtype, "r", self._image.dataoffset, self._image.shape)
            plane = np.array(whole[index])
        elif len(pages) < self._of_pages:  # rows or columns run from page to page
            plane = self._whole[index]
        else:
            number = 0
            for place, length in zip(pages, self._image.shape, strict=False):
                number = number * length + place
            plane = self._read_page(number)[index[self._of_pages :]]
        if self._axes.index("Y") > self._axes.index("X"):
            plane = plane.T
        return _upright(self._path, self._image.keyframe, plane)

    def _read_page(self, number: int) -> np.ndarray:
        if self._page is None or self._page[0] != number:
            page = self._image.pages[number]
            if page is None:
                raise UserError(f"{self._path}: plane {number} is missing from this file; copy or export it again")
            self._page = number, page.asarray().reshape(self._image.shape[self._of_pages :])
        return self._page[1]

    @functools.cached_property
    def _whole(self) -> np.ndarray:
        """All planes, for files whose pages are not planes."""
        return self._image.asarray().reshape(self._image.shape)


def _leading(shape: tuple[int, ...], n_pages: int) -> int:
    """How many of the first axes run from page to page; all, if pages do not hold the last axes."""
    for count in range(len(shape) + 1):
        if math.prod(shape[:count]) == n_pages:
            return count
    return len(shape)


def _upright(path: Path, page: tifffile.TiffPage, pixels: np.ndarray) -> np.ndarray:
    """Pixels with black as the least value, if the file says that white is zero (PhotometricInterpretation 0).

    A bilevel image, as fax compression stores it, is inverted, except tifffile's: tifffile marks every boolean array so
    and stores True as 1. With more bits the stored values stay: the tag is then most often ImageJ's inverting look-up
    table, which concerns the display alone. Where values stay, a line on the screen says so.

    Args:
        path: the file.
        page: page that describes the pixels.
        pixels: of any shape.
    """
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE:
        return pixels
    if page.bitspersample > 1:
        _warn_of_white(path)
        return pixels
    if page.software == "tifffile.py":
        _warn_of_boolean(path)
        return pixels
    return pixels == 0


@functools.cache  # once for each file, not for each frame
def _warn_of_white(path: Path) -> None:
    say(
        f"warning: {path}: says that white is zero (an inverting look-up table); its stored values are read as they "
        "are. If its picture looks inverted, invert it and save it as black is zero"
    )


_warned_of_boolean: set[Path] = set()  # folders: a data set of boolean masks is one remark, not a thousand


def _warn_of_boolean(path: Path) -> None:
    if path.parent not in _warned_of_boolean:
        _warned_of_boolean.add(path.parent)
        say(
            f"note: {path}: a boolean array that tifffile wrote; True is read as 1, though the file says that white is "
            "zero, as tifffile marks every boolean array"
        )
