"""TIFF files opened so that they depend on nothing else in their folder and lack no pixels."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import tifffile

from cellflax.errors import UserError
from cellflax.io.damage import require_plausible_size
from cellflax.io.notices import warn
from cellflax.io.ome import of_this_file
from cellflax.io.tiff_chain import refuse_circle

# The most bytes that one compressed byte can stand for. Other compressions count as 65,536.
_RATIO = {1: 1, 5: 2731, 8: 1040, 32946: 1040, 32773: 64}
_OTHER_RATIO = 1 << 16
_YCBCR = 6
# Pictures beside the image in files of slide scanners.
_EXTRAS = ("thumbnail", "label", "macro", "overview")


@contextmanager
def open_tiff(path: Path) -> Iterator[tuple[tifffile.TiffFile, list[tifffile.TiffPageSeries]]]:
    """Open a TIFF by itself: metadata that name other files count only for the planes in this one.

    Yields:
        The open file and its images (positions, scenes, sizes), without thumbnails and smaller copies.

    Raises:
        UserError: if it lacks pixels.
    """
    refuse_circle(path)
    with ExitStack() as stack:
        tiff = stack.enter_context(_open(path))
        if tiff.is_ome:
            xml = of_this_file(path, tiff.ome_metadata or "", len(tiff.pages))
            tiff = stack.enter_context(_open(path, is_ome=False) if xml is None else _open(path, xml))
        _require_plausible_page(path, tiff.pages.first)  # tifffile claims memory by the sizes when it finds the images
        images = [image for i, image in enumerate(tiff.series) if i == 0 or not _is_extra(image)]
        for image in images:
            _require_pixels(path, image, path.stat().st_size)
        yield tiff, images


def _open(path: Path, omexml: str | None = None, is_ome: bool | None = None) -> tifffile.TiffFile:
    # Micro-Manager's own formats would be read together with the other files of their folder.
    return tifffile.TiffFile(path, omexml=omexml, _multifile=False, is_mmstack=False, is_ndtiff=False, is_ome=is_ome)


def _require_plausible_page(path: Path, page: tifffile.TiffPage) -> None:
    """Check that the file is large enough for the pixels of its first page, unless tiles may be left out."""
    if not page.is_tiled:
        require_plausible_size(path, _declared_bytes(page.shape, page), path.stat().st_size * _ratio(page))


def _declared_bytes(shape: tuple[int, ...], page: tifffile.TiffPage) -> int:
    """Bytes of pixels of a shape, as a page packs them."""
    if not all(isinstance(length, int) for length in shape):  # a damaged page has several widths, or bits
        raise ValueError(f"its size is {shape!s:.80}")
    bits: int | tuple[int, ...] = page.bitspersample
    return math.prod(shape) * (bits if isinstance(bits, int) else max(bits, default=0)) // 8


def _ratio(page: tifffile.TiffPage) -> int:
    """The most bytes of pixels that one byte of the file can stand for."""
    ratio = _RATIO.get(int(page.compression), _OTHER_RATIO)
    return 16 * ratio if page.photometric == _YCBCR else ratio  # it may store a colour for each 4 x 4 pixels


def _is_extra(series: tifffile.TiffPageSeries) -> bool:
    return series.keyframe.is_reduced or any(word in series.name.lower() for word in _EXTRAS)


def _require_pixels(path: Path, series: tifffile.TiffPageSeries, size: int) -> None:
    """Raise where the pixels that are declared are not all within the file, or cannot be.

    Args:
        path: the file.
        series: its image.
        size: bytes of the file.
    """
    if not all(isinstance(length, int) for length in series.shape):  # by ImageJ's text, which may hold anything
        raise _incomplete(path, f"declares the shape {series.shape}")
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > size:
            raise _incomplete(path, f"pixels of {series.nbytes} bytes in a file of {size}")
        return
    keyframe, empty = series.keyframe, 0
    declared, of_tile = _declared_bytes(keyframe.shape, keyframe), _declared_bytes(keyframe.chunks, keyframe)
    for number, page in enumerate(series.pages):
        if page is None:
            raise _incomplete(path, f"plane {number} is missing")
        if len(page.dataoffsets) < math.prod(keyframe.chunked):
            raise _incomplete(path, f"plane {number} lacks pixels")
        stored = 0
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            stored, empty = stored + int(count), empty + (offset == 0 or count == 0)
            if offset + count > size:
                raise _incomplete(path, f"plane {number} goes beyond the end of the file")
        if empty and not keyframe.is_tiled:
            raise _incomplete(path, f"plane {number} lacks pixels")
        require_plausible_size(path, declared, stored * _ratio(keyframe) + empty * declared)
        if keyframe.is_tiled and any(page.databytecounts):  # each tile is stored whole
            require_plausible_size(path, of_tile, int(max(page.databytecounts)) * _ratio(keyframe))
    if series.nbytes > len(series.pages) * keyframe.nbytes:
        raise _incomplete(path, f"declares the shape {series.shape} and has {len(series.pages)} planes")
    if empty:
        warn(f"{path}: {empty} tiles hold no pixels and are read as 0")


def _incomplete(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: damaged or incomplete ({reason}); copy or export it again")
