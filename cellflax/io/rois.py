"""Outlines from and for ImageJ: `.roi` files, and zips of them as the ROI Manager saves them."""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cellflax.atomic import replacing
from cellflax.errors import UserError
from cellflax.io.cell_polygons import CellPolygon
from cellflax.io.damage import decoding
from cellflax.io.rasterise import LARGEST_LABEL, CellOutline
from cellflax.io.tiff_output import writing
from cellflax.wholefile import open_regular

# Far more than a lab draws, and so little that a zip which expands to terabytes does no harm.
_MOST_ROIS = 100_000
_MOST_BYTES_EACH = 2**24
_MOST_BYTES = 2**28
_AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")


# Comment of a zip for an image without cells, which is no mistake of the user's.
_NO_CELLS = b"cellflax: no cells"


def holds_rois(path: Path) -> bool:
    """Whether a zip lists ROIs; other archives beside images are none of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return any(name.lower().endswith(".roi") for name in names) or (not names and archive.comment == _NO_CELLS)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


# Property of a ROI that holds the number of the cell, in the lines "key: value" that ImageJ keeps.
_LABEL = "cellflax_label"
_LABEL_LINE = re.compile(rf"^{_LABEL}:\s*([1-9]\d{{0,9}})\s*$", re.MULTILINE)


def read_rois(path: Path, frame: int | None = None) -> list[CellOutline]:
    """Outlines of a `.roi` or of a zip of them, in the order of the file; nothing is written to disk.

    Args:
        path: the file.
        frame: of a movie's ROIs, those of this frame, from 0; ROIs on no frame are in all.

    Raises:
        UserError: if the file is damaged, too large or no such file, if a ROI has no area, or ROIs lie on several
            slices, channels or (without `frame`) frames of a stack; or without the package `roifile`.
    """
    roifile = require_roifile(str(path))
    with decoding(path, "damaged, or no ROIs of ImageJ"):
        with open_regular(path, "save the ROIs again") as file:
            entries = _zipped(path, file) if zipfile.is_zipfile(file) else {path.name: _single(path, file)}
        if not entries and not _says_empty(path):
            raise UserError(f"{path}: holds no .roi file; save it with More > Save... in ImageJ's ROI Manager")
        rois = {name: roifile.ImagejRoi.frombytes(data) for name, data in entries.items()}
        if frame is not None:
            rois = {name: roi for name, roi in rois.items() if roi.t_position in (0, frame + 1)}
        outlines = [_outline(path, name, roi) for name, roi in rois.items()]
    _require_one_plane(path, list(rois.values()))
    return outlines


def require_roifile(what: str) -> Any:
    """The package `roifile`.

    Args:
        what: what needs it, for the error.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import roifile
    except ImportError as error:
        raise UserError(
            f"{what}: ImageJ ROIs need the package roifile; install it with: pip install 'cellflax[rois]'"
        ) from error
    return roifile


def write_rois(path: Path, frames: Iterable[list[CellPolygon]], movie: bool = False) -> None:
    """Write cells as a zip for ImageJ's ROI Manager; if there are none, an empty zip with a comment that says so.

    A cell with holes or of several parts is a composite ROI. The number of the cell is in the ROI's name, and as its
    property `cellflax_label`. A ROI of a movie has its frame as position T, and a name that begins with the frame: by
    either, ImageJ shows it on that frame alone.

    Args:
        path: the target; a reader sees the old file or the new.
        frames: the cells of each frame in turn; of an image, of one.
        movie: whether they are frames of a movie.

    Raises:
        UserError: without the package `roifile`.
        OutputError: if it cannot be written.
    """
    roifile = require_roifile(str(path))
    with writing(path), replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.comment = _NO_CELLS
        for t, cells in enumerate(frames):
            for cell in cells:
                archive.comment = b""
                roi = _roi(roifile, cell, t if movie else None)
                # A fixed date: the same cells give the same file.
                archive.writestr(zipfile.ZipInfo(f"{roi.name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)


def _roi(roifile: Any, cell: CellPolygon, t: int | None) -> Any:
    rings = cell.rings
    # ImageJ reads the slice off names such as 0012-0345-0678, if parts and name are as long as this.
    digits = max(4, len(str(cell.label)), len(str(1 + (t or 0))))
    name = f"cell_{cell.label:04}" if t is None else f"{t + 1:0{digits}}-{cell.label:0{digits}}-object"
    if len(rings) == 1:
        roi = roifile.ImagejRoi.frompoints(rings[0], name=name, t=t)
        roi.roitype = roifile.ROI_TYPE.TRACED  # along the edges of pixels
    else:
        roi = roifile.ImagejRoi.frompoints(np.concatenate(rings), name=name, t=t)  # for the bounds
        roi.roitype, roi.n_coordinates = roifile.ROI_TYPE.RECT, 0
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.options &= ~roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
    roi.right, roi.bottom = (int(end) for end in np.concatenate(rings).max(axis=0))
    roi.props = f"{_LABEL}: {cell.label}\n"
    return roi


def _path(ring: np.ndarray) -> np.ndarray:
    """A ring as Java's path: move to (0) its first corner, lines (1) to the others, close (4)."""
    commands = np.r_[0.0, np.ones(len(ring) - 1)]
    return np.append(np.column_stack([commands, ring]).ravel(), 4.0).astype(np.float32)


def _says_empty(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return archive.comment == _NO_CELLS


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
    labelled = _LABEL_LINE.search(roi.props or "")
    label = int(labelled[1]) if labelled and int(labelled[1]) <= LARGEST_LABEL else None
    return CellOutline(called, tuple(rings), label, roi.t_position - 1 if roi.t_position > 0 else None)


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
