"""What a run has finished, image by image, so that the same run continues from there however it was ended.

The journal is a file in the run's hidden folder: a line for the run, then one for each finished image. Beside it, the
cells of each image are a table. When the results are published, `provenance.json` keeps what the journal holds.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Self

from cellflax.atomic import replacing, reserve
from cellflax.io.table_parts import columns_of, split_table
from cellflax.io.tiff_output import writing

_JOURNAL, _CELLS, _ROOM = "journal.jsonl", "cells", "room"
_ROOM_STEP = 1 << 16  # bytes
_ROOM_PER_IMAGE = 1 << 12  # bytes; for provenance.json, which is written twice

# Size in bytes, and CRC-32 (of results) or time of the last change in nanoseconds (of inputs).
State = list[int]


@dataclass(frozen=True)
class Done:
    """An image that is finished.

    Attributes:
        inputs: by name, size and time of the files that it was made from.
        files: by name, size and checksum of its results.
        rows: number of its cells.
        columns: columns of the table of its cells.
        cells: size and checksum of that table; empty where it is part of a published one.
        blank: frames without cells, with the reason.
        failed: frames that could not be used, with the reason; such a movie is tried again.
    """

    inputs: dict[str, State]
    files: dict[str, State]
    rows: int
    columns: list[str]
    cells: State
    blank: dict[str, str]
    failed: dict[str, str]

    def __post_init__(self):
        tables = (self.inputs, self.files, self.blank, self.failed)
        lists = (self.columns, self.cells, *self.inputs.values(), *self.files.values())
        if not all(isinstance(table, dict) for table in tables) or not all(isinstance(part, list) for part in lists):
            raise ValueError("not a finished image")
        if not isinstance(self.rows, int) or not all(map(_is_name, self.files)):
            raise ValueError("not a finished image")


class Journal:
    """Images that a run has finished.

    Args:
        folder: the run's hidden folder.
        run: what the results depend on besides the images, as JSON.

    Attributes:
        run: as given.
        done: by name, the finished images.
        added: number of images that this process added.
    """

    def __init__(self, folder: Path, run: dict[str, Any]):
        self._folder, self.run, self.done, self.added = folder, run, dict[str, Done](), 0
        self._cells_bytes = 0

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The journal in a hidden folder, as far as it is whole; None if there is none."""
        try:
            first, *lines = (folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
            journal = cls(folder, dict(json.loads(first)["run"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        for line in lines:
            with suppress(
                ValueError, KeyError, TypeError, AttributeError, RecursionError
            ):  # the last line may be cut off
                entry = json.loads(line)
                if _is_name(image := str(entry.pop("image"))):
                    journal.done[image] = Done(**entry)
        return journal

    def cells(self, image: str) -> Path:
        """Where the table of an image's cells is."""
        return self._folder / _CELLS / f"{image}.csv"

    def start(self, done: Mapping[str, Done]) -> None:
        """Write the journal anew, with images that are finished already.

        Raises:
            OutputError: if it cannot be written.
        """
        self.done = dict(done)
        (self._folder / _CELLS).mkdir(exist_ok=True)
        lines = [json.dumps({"run": self.run}), *(_line(image, entry) for image, entry in done.items())]
        with writing(self._folder / _JOURNAL), replacing(self._folder / _JOURNAL) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._claim_room(sum(self.cells(image).stat().st_size for image in done))

    def add(
        self, image: str, inputs: dict[str, State], files: Iterable[Path], blank: dict[str, str], failed: dict[str, str]
    ) -> None:
        """Note that an image is finished: its files and the table of its cells are written.

        Raises:
            OutputError: if it cannot be written.
        """
        columns, rows = columns_of(self.cells(image))
        states = {file.name: state_of(file) for file in files}
        entry = Done(inputs, states, rows, columns, state_of(self.cells(image)), blank, failed)
        self._claim_room(entry.cells[0])
        with writing(self._folder / _JOURNAL), (self._folder / _JOURNAL).open("a", encoding="utf-8") as file:
            file.write(_line(image, entry) + "\n")
        self.done[image] = entry
        self.added += 1

    def free_room(self) -> None:
        """Give back the room that is kept for publishing: on a full disk, the table of what is finished needs it."""
        (self._folder / _ROOM).unlink(missing_ok=True)

    def _claim_room(self, more: int) -> None:
        """Keep as much of the disk as publishing takes besides the images, with `more` bytes of cells."""
        self._cells_bytes += more
        needed = self._cells_bytes * 5 // 4 + (len(self.done) + 1) * _ROOM_PER_IMAGE
        room, size = self._folder / _ROOM, -(-needed // _ROOM_STEP) * _ROOM_STEP
        with writing(room):
            if not room.exists() or room.stat().st_size < size:
                with room.open("ab") as file:
                    file.truncate(size)
                reserve(room)

    def forget(self, image: str) -> None:
        """Take an image off, and remove what is hidden of it."""
        for name in self.done.pop(image).files:
            (self._folder / "results" / name).unlink(missing_ok=True)

    def recorded(self, table: Path | None = None) -> dict[str, Any]:
        """What `provenance.json` keeps of the journal, as JSON.

        Args:
            table: the table of the cells of all images, in the order of `done`; without it no image counts as
                finished, which holds while files are moved in.
        """
        if table is None:
            return {"run": self.run, "table": {}, "columns": [], "done": {}}
        layouts: list[list[str]] = []
        entries = {}
        for image, entry in self.done.items():
            if entry.columns not in layouts:
                layouts.append(entry.columns)
            entries[image] = {**asdict(entry), "columns": layouts.index(entry.columns)}
            del entries[image]["cells"]
        return {"run": self.run, "table": {table.name: state_of(table)}, "columns": layouts, "done": entries}

    def take_cells(self, table: Path, entries: Mapping[str, Done]) -> None:
        """Write the table of each image's cells, from a published one that holds those of all these images in turn.

        Raises:
            ValueError: if it does not.
        """
        (self._folder / _CELLS).mkdir(exist_ok=True)
        parts = ((self.cells(image), entry.columns, entry.rows) for image, entry in entries.items())
        with writing(self._folder / _CELLS):
            split_table(table, list(parts))


def recorded_run(record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, State], dict[str, Done]]:
    """What `Journal.recorded` wrote: the run, the state of its table by name, and the finished images.

    Raises:
        ValueError: if it is something else.
    """
    try:
        columns = record["columns"]
        done = {
            str(image): Done(**{**entry, "columns": list(columns[entry["columns"]]), "cells": []})
            for image, entry in record["done"].items()
        }
        run, tables = dict(record["run"]), dict(record["table"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError("not a record of finished images") from error
    if not all(map(_is_name, (*done, *tables))):
        raise ValueError("not a record of finished images")
    return run, tables, done


def state_of(file: Path) -> State:
    """Size and checksum of a file."""
    size = checksum = 0
    with file.open("rb") as stream:
        while part := stream.read(1 << 20):
            size, checksum = size + len(part), zlib.crc32(part, checksum)
    return [size, checksum]


def is_whole(file: Path, state: State) -> bool:
    """Whether a file has the size and checksum that were noted."""
    try:
        return file.is_file() and file.stat().st_size == state[0] and state_of(file) == state
    except (OSError, TypeError, IndexError):
        return False


def input_states(files: Iterable[Path]) -> dict[str, State]:
    """By name, size and time of the last change of files; those that cannot be seen are left out.

    A folder that is an image has the size of all its files, and the time of the newest.
    """
    states = {}
    for file in files:
        with suppress(OSError):
            parts = [part.stat() for part in (file.rglob("*") if file.is_dir() else [file])]
            states[file.name] = [
                sum(part.st_size for part in parts),
                max((part.st_mtime_ns for part in parts), default=0),
            ]
    return states


def _is_name(name: str) -> bool:
    """Whether a name from a record is that of one file, so that it cannot lead out of the folder."""
    return PurePath(name).parts == (name,) and name != ".." and "\0" not in name


def _line(image: str, entry: Done) -> str:
    return json.dumps({"image": image, **asdict(entry)})
