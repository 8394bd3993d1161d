"""Outlines from ImageJ: `.roi` files, and zips of them as the ROI Manager saves them."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cellflax.errors import UserError
from cellflax.io.damage import decoding
from cellflax.io.rasterise import CellOutline
from cellflax.wholefile import open_regular

# Far more than a lab draws, and so little that a zip which expands to terabytes does no harm.
_MOST_ROIS = 100_000
_MOST_BYTES_EACH = 2**24
_MOST_BYTES = 2**28
_AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")


def holds_rois(path: Path) -> bool:
    """Whether a zip lists ROIs; other archives beside images are none of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def read_rois(path: Path) -> list[CellOutline]:
    """Outlines of a `.roi` or of a zip of them, in the order of the file; nothing is written to disk.

    Raises:
        UserError: if the file is damaged, too large or no such file, if a ROI has no area, or ROIs lie on several
            slices, channels or frames of a stack; or without the package `roifile`.
    """
    try:
        import roifile
    except ImportError as error:
        raise UserError(
            f"{path}: ImageJ ROIs need the package roifile; install it with: pip install 'cellflax[rois]'"
        ) from error
    with decoding(path, "damaged, or no ROIs of ImageJ"):
        with open_regular(path, "save the ROIs again") as file:
            entries = _zipped(path, file) if zipfile.is_zipfile(file) else {path.name: _single(path, file)}
        if not entries:
            raise UserError(f"{path}: holds no .roi file; save it with More > Save... in ImageJ's ROI Manager")
        rois = {name: roifile.ImagejRoi.frombytes(data) for name, data in entries.items()}
        outlines = [_outline(path, name, roi) for name, roi in rois.items()]
    _require_one_plane(path, list(rois.values()))
    return outlines


def _single(path: Path, file: BinaryIO) -> bytes:
    file.seek(0)
    return _limited(path, path.name, file.read(_MOST_BYTES_EACH + 1))


def _limited(path: Path, name: str, data: bytes) -> bytes:
    if len(data) > _MOST_BYTES_EACH:
        raise UserError(f"{path}: {name} is larger than {_MOST_BYTES_EACH >> 20} MiB, which no ROI is")
    return data


def _zipped(path: Path, whole: BinaryIO) -> dict[str, bytes]:
    entries, total = {}, 0
    with zipfile.ZipFile(whole) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and _is_visible(member.filename)]
        if len(members) > _MOST_ROIS:
            raise UserError(f"{path}: {len(members)} files, at most {_MOST_ROIS} are read; split it")
        for member in members:
            name = member.filename
            if not name.lower().endswith(".roi"):
                raise UserError(f"{path}: {name[:100]!r} in it is no .roi file; zip the ROIs alone")
            if member.flag_bits & 1:
                raise UserError(f"{path}: it is encrypted; save it without a password")
            with archive.open(member) as file:
                data = _limited(path, name[:100], file.read(_MOST_BYTES_EACH + 1))  # whatever size it declares
            total += len(data)
            if total > _MOST_BYTES:
                raise UserError(f"{path}: its ROIs are larger than {_MOST_BYTES >> 20} MiB; split it")
            if name in entries:
                raise UserError(f"{path}: {name[:100]!r} is in it twice; save it again")
            entries[name] = data
    return entries


def _is_visible(name: str) -> bool:
    """Whether a member of a zip is more than what macOS adds."""
    return not name.startswith("__MACOSX/") and not name.rpartition("/")[2].startswith(".")


def _outline(path: Path, name: str, roi: Any) -> CellOutline:
    called = f"ROI {roi.name or name}"[:100]
    if roi.roitype.name not in _AREAS or roi.subtype.name in ("TEXT", "ARROW", "IMAGE"):
        raise UserError(
            f"{path}: {called} is a {roi.roitype.name.lower()} and has no area; keep only outlines of cells in the file"
        )
    rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
    rings = [ring for ring in rings if len(ring) > 2]
    if not rings:
        raise UserError(f"{path}: {called} has fewer than 3 corners; draw it again")
    return CellOutline(called, tuple(rings))


def _require_one_plane(path: Path, rois: list[Any]) -> None:
    """Refuse ROIs on several planes of a stack: a label image has one. 0 stands for all planes."""
    for what, keys in (
        ("slices", ("position",)),
        ("channels", ("c_position",)),
        ("slices", ("z_position",)),
        ("frames", ("t_position",)),
    ):
        places = sorted({int(getattr(roi, key)) for roi in rois for key in keys} - {0})
        if len(places) > 1:
            raise UserError(
                f"{path}: its ROIs lie on {len(places)} {what} of a stack ({places[0]}, {places[1]} ...), a label "
                "image has one; save one zip for each"
            )
