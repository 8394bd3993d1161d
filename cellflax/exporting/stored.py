"""Exports of results that commands left in a directory: which they are is in their records there."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.exporting.formats import FORMATS, expected_exports
from cellflax.exporting.predictions import OpenPixels, export_predictions
from cellflax.exporting.tables import export_table, read_cell_table
from cellflax.exporting.tracking import TRACKS_NAME, TrackedCells, export_tracking
from cellflax.frame_sequence import FramesOnDemand
from cellflax.io import results
from cellflax.io.files import ImageFiles, find_images, list_files
from cellflax.io.frames import open_frames
from cellflax.io.movies import open_image_movie, read_label_movie
from cellflax.io.pairs import PairBy
from cellflax.io.reading import Reading, TimeFrom
from cellflax.io.result_set import without_results
from cellflax.io.tables import read_table
from cellflax.jsonfile import read_json
from cellflax.tracking.ctc import tracks_of_masks

_REMEDY = "give a directory that cellflax predict, track or quantify wrote"
# What results of each command can be exported as.
_KINDS = {"predict": ("images", "tables"), "track": ("images", "tables", "tracks"), "quantify": ("tables",)}


@dataclass(frozen=True)
class ImageSource:
    """Images that were segmented.

    Attributes:
        text: FILE | DIR | GLOB; None for what the record of the results names, as far as it is still there.
        channels: parts of names, or names of channels, as `predict` takes them.
        reading: how to read them.
    """

    text: str | None
    channels: tuple[str, ...]
    reading: Reading


class StoredResults:
    """The results of one command in a directory.

    Attributes:
        command: the command.
        record: what it recorded.

    Args:
        folder: the directory.
        command: one of those that can be exported.
    """

    def __init__(self, folder: Path, command: str):
        self.folder, self.command = folder, command
        self.record = read_json(folder / results.RECORDS[command], _REMEDY)
        written = self.record.get("files")
        self._files = written if isinstance(written, list) else []
        settings = self.record.get("settings")
        self._settings: dict[str, Any] = settings if isinstance(settings, dict) else {}

    def formats(self, wanted: list[str]) -> list[str]:
        """Those of the formats that these results can be exported as."""
        return [form for form in wanted if FORMATS[form].of in _KINDS[self.command]]

    def expected(self, wanted: list[str], version: str) -> list[str]:
        """Files that `export` will write."""
        match self.command:
            case "predict":
                return expected_exports(wanted, version, images=self.labels(), tables=[Path(results.CELLS).stem])
            case "track":
                names = {"images": [TRACKS_NAME], "tables": [TRACKS_NAME], "tracks": TRACKS_NAME}
                return expected_exports(wanted, version, **names)
        return expected_exports(wanted, version, tables=[table.stem for table in self._tables()])

    def labels(self) -> dict[str, Path]:
        """The label images of a prediction, by the names of their images.

        Raises:
            UserError: if one is missing.
        """
        names = self.record.get("images")
        found = {}
        for name in names if isinstance(names, list) else []:
            file = self.folder / results.result_file(str(name), results.LABELS)
            if not file.is_file():
                raise UserError(f"{file}: is missing, and {results.PROVENANCE} lists it; predict again")
            found[str(name)] = file
        return found

    def export(
        self, folder: Path, wanted: list[str], version: str, images: ImageSource, record: dict[str, Any]
    ) -> None:
        """Write them in other formats.

        Raises:
            UserError: if they cannot be read, or images are needed and cannot be found.
            OutputError: if a file cannot be written.
        """
        match self.command:
            case "predict":
                table = self.folder / results.CELLS
                table = table if table.is_file() else self.folder / results.PARTIAL_CELLS
                pixels = self._pixels(images) if "ome_zarr" in wanted else {}
                export_predictions(folder, self.labels(), table, pixels, wanted, version, record)
            case "track":
                with ExitStack() as opened:
                    export_tracking(folder, self._tracking(wanted, images, opened), wanted, version, record)
            case "quantify":
                for table in self._tables():
                    export_table(folder, read_cell_table(table), table.stem, wanted, record)

    def _tables(self) -> list[Path]:
        names = [name for name in self._files if isinstance(name, str) and name.endswith(".csv") and "/" not in name]
        return [self.folder / name for name in names]

    def _pixels(self, images: ImageSource) -> Mapping[str, OpenPixels]:
        """How to open the images of a prediction, by their names; those of the record may have gone."""
        if images.text is not None:
            found = _find(f"images={images.text}", images.text, images.channels, images.reading)
        else:
            found = []
            text, channels = str(self._settings.get("input", "")), self._settings.get("channels")
            with suppress(UserError, KeyError, ValueError):
                recorded = tuple(map(str, channels)) if isinstance(channels, list) else ()
                found = _find("input", text, recorded, self._reading())
        return {image.name: lambda image=image: open_frames(image, self._interval_s()) for image in found}

    def _interval_s(self) -> float | None:
        given = self._settings.get("frame_interval_s")
        return float(given) if isinstance(given, int | float) else None

    def _reading(self) -> Reading:
        """How the command read its images."""
        scene, z = (self._settings.get(key) for key in ("scene", "z"))
        return Reading(str(scene or ""), str(z or "all"), TimeFrom[str(self._settings.get("time_axis", "T"))])

    def _tracking(self, wanted: list[str], images: ImageSource, opened: ExitStack) -> TrackedCells:
        """The tracking; `opened` keeps the movie of its images open."""
        keys = {results.FRAME: int, results.LABEL: int, results.TRACK: int}
        nodes = read_table(self.folder / results.NODES, {"node": int, **keys}, "track again")
        edges = read_table(self.folder / results.EDGES, {"source": int, "target": int}, "track again")
        cells = read_table(self.folder / results.TRACKS, keys, "track again")
        summary = read_json(self.folder / results.SUMMARY, "track again")
        n_frames, size = int(summary.get("n_frames", 0)), summary.get("pixel_size_um")
        times_s = _times_s(nodes, n_frames)
        labels = movie = None
        of_images = any(FORMATS[form].of == "images" for form in wanted)
        masks = sorted(name for name in self._files if isinstance(name, str) and name.startswith("mask"))
        if masks:
            tracked = read_label_movie(str(self.folder / "mask*.tif"), pair=PairBy.order)
            tracks = tracks_of_masks(nodes)
            largest = max(int(frame.max()) for frame in tracked.labels)
            if largest >= len(tracks) or len(tracked.labels) != n_frames or tracked.from_mask:
                raise UserError(f"{self.folder}: its masks are not those of {results.NODES}; track again")
            shape = tracked.labels.shape
            labels = FramesOnDemand(shape, np.int32, lambda t: tracks[tracked.labels[t]].astype(np.int32))
        elif of_images:
            raise UserError(f"{self.folder}: has no label images, because ctc=false; track again with ctc=true")
        if "ome_zarr" in wanted:
            text = images.text or self._settings.get("images")
            if not isinstance(text, str):
                raise UserError("format=[ome_zarr]: needs the images that were tracked; add images=FILE|DIR|GLOB")
            reading = self._reading() if images.text is None else images.reading
            movie = opened.enter_context(open_image_movie(text, reading=reading))
        source = str(self._settings.get("input", ""))
        return TrackedCells((nodes, edges, cells), n_frames, labels, movie, size, times_s, source)


def find_results(text: str) -> list[StoredResults]:
    """The results in a directory that can be exported.

    Raises:
        UserError: if there are none.
    """
    folder = Path(text)
    found = [
        StoredResults(folder, command)
        for command in _KINDS
        if (folder / results.RECORDS[command]).is_file()
        and read_json(folder / results.RECORDS[command], _REMEDY).get("command", command) == command
    ]
    if not found:
        raise UserError(f"input={text}: has no results that can be exported; {_REMEDY}")
    return found


def _find(option: str, text: str, channels: tuple[str, ...], reading: Reading) -> list[ImageFiles]:
    files = list_files(text)
    if len(files) > 1 or not Path(text).expanduser().is_file():
        files = without_results(option, files)
    return find_images(files, channels, reading)


def _times_s(nodes: Any, n_frames: int) -> np.ndarray | None:
    """The time of each frame, by its cells; those of frames without a cell lie evenly between the others."""
    if results.TIME_S not in nodes or nodes.empty:
        return None
    times = nodes.groupby(results.FRAME)[results.TIME_S].first()
    known, values = times.index.to_numpy(float), times.to_numpy(float)
    if len(known) < 2:
        return None
    step = (values[-1] - values[0]) / (known[-1] - known[0])
    frames = np.arange(n_frames)
    inside = np.interp(frames, known, values)
    before, after = frames < known[0], frames > known[-1]
    inside[before] = values[0] + step * (frames[before] - known[0])
    inside[after] = values[-1] + step * (frames[after] - known[-1])
    return inside
