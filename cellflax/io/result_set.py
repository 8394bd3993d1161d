"""What one run of a command leaves in its directory: one set, never mixed with another run's, never taken for input.

A run writes to a hidden folder in its directory. At the end, the files are moved in and the command's record
(`results.RECORDS`) lists them. By that list a later run knows what the command wrote there: nothing else is ever
replaced or removed. Each command has a record of its own, so that several can write to one directory.
"""

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cellflax.atomic import output_directory
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.jsonfile import write_json

_FILES, _COMMAND, _CHECKSUMS = "files", "command", "checksums"
UNFINISHED = ".unfinished."  # begins the name of the folder that a run writes to; a killed process leaves it
RECORD_KEYS = (_FILES, _COMMAND, _CHECKSUMS)  # keys of a record that `publish` adds


class ResultSet:
    """The results of a run, until they are published.

    Attributes:
        folder: hidden directory to write them to.
        replaces: whether there is an earlier set, which stays until this one is published.
    """

    def __init__(self, output: Path, folder: Path, earlier: Sequence[str], key: str, command: str):
        self.folder, self.replaces = folder, bool(earlier)
        self._output, self._earlier, self._key, self._command = output, list(earlier), key, command

    def publish(self, record: dict[str, Any], *, keep_edits: bool = False) -> None:
        """Move the files in, in place of the earlier set, and write the record, which lists them.

        A run that is killed meanwhile leaves a record that is not complete, and lists all that is there.

        Args:
            record: what else the record says of the results; `complete` is true unless it says otherwise.
            keep_edits: record the files' checksums too, so that `overwrite=true` never replaces one that was changed
                by hand since.

        Raises:
            UserError: if a file of another origin has a result's name.
        """
        new = [name for name in files_below(self.folder) if name != self._record.name]
        refuse_others(self._output, new, self._earlier, self._key, self._command)
        provenance = {"complete": True, **record, _COMMAND: self._command, _FILES: new}
        if keep_edits:
            provenance[_CHECKSUMS] = {name: _checksum(self.folder / name) for name in new}
        everything = sorted({*self._earlier, *new} - {self._record.name})
        write_json(self._record, {**provenance, "complete": False, _FILES: everything})
        self._move_in(new)
        for name in sorted(set(self._earlier) - {*new, self._record.name}):
            self._remove(name)
        write_json(self._record, provenance)

    @property
    def _record(self) -> Path:
        return self._output / results.RECORDS[self._command]

    def _move_in(self, names: Sequence[str]) -> None:
        """Move the files to their places; a folder that is new there in one step, as a checkpoint must appear."""
        for name in names:
            top = PurePosixPath(name).parts[0]
            source = self.folder / name
            if source.parent != self.folder and not os.path.lexists(self._output / top):
                os.replace(self.folder / top, self._output / top)
            elif source.exists():  # not yet moved with its folder
                (self._output / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, self._output / name)

    def _remove(self, name: str) -> None:
        """Remove a file of the earlier set, and the folders that are empty without it."""
        file = self._output / name
        file.unlink(missing_ok=True)
        with suppress(OSError):  # other files are in it
            for folder in list(file.relative_to(self._output).parents)[:-1]:
                (self._output / folder).rmdir()


@contextmanager
def result_set(
    output: str | Path,
    overwrite: bool,
    expected: Iterable[str] = (),
    key: str = "output",
    command: str = "predict",
    inputs: Iterable[Path] = (),
) -> Iterator[ResultSet]:
    """Begin a set of results; what is not published when the block ends is removed.

    Args:
        output: directory of the results; it may hold other files, such as the images.
        overwrite: whether the set may replace one that this command wrote there.
        expected: names of files that will be written, as far as they are known: it is reported before the work, not
            after it, if they cannot be.
        key: the argument's name, for errors.
        command: whose set it is, one of `results.RECORDS`.
        inputs: files that the run reads.

    Raises:
        UserError: if there is an earlier set that may not be replaced, or would be although the run reads it, a file of
            another origin has a result's name, or the directory cannot be made.
    """
    given = Path(output)
    earlier = _earlier_files(given, overwrite, key, command)
    refuse_others(given, expected, earlier, key, command)
    replaced = {(given / name).resolve() for name in earlier}
    for file in inputs:
        if file.resolve() in replaced:
            raise UserError(
                f"{key}={given}: overwrite=true would replace {file}, which is read; give another directory"
            )
    is_new = not given.exists()
    target = output_directory(given, key)
    try:
        folder = Path(tempfile.mkdtemp(dir=target, prefix=UNFINISHED))
    except OSError as error:
        raise UserError(f"{key}={given}: cannot be written to ({error.strerror}); give another") from error
    try:
        yield ResultSet(target, folder, earlier, key, command)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty: something was published
                target.rmdir()


def without_results(option: str, files: Sequence[Path]) -> list[Path]:
    """Files without those that a command of cellflax wrote, by the records beside them.

    Args:
        option: the argument that named the files, for the error.
        files: what it named.

    Raises:
        UserError: if all are results.
    """
    left = not_results(files)
    if files and not left:
        raise UserError(
            f"{option}: all {len(files)} images in {files[0].parent} are results of cellflax; give the images that "
            "were segmented, or one of these by its own name"
        )
    return left


def not_results(files: Iterable[Path]) -> list[Path]:
    """Those of several files that no record beside them lists; may be empty."""
    files = list(files)
    written = {folder: set(_writers(folder)) for folder in {file.parent for file in files}}
    return [file for file in files if file.name not in written[file.parent]]


def refuse_others(
    output: Path, names: Iterable[str], earlier: Iterable[str], key: str = "output", command: str = "predict"
) -> None:
    """Refuse to replace files that are not of an earlier set.

    Raises:
        UserError: naming the first.
    """
    known = set(earlier)
    for name in names:
        if name in known or not os.path.lexists(output / name):
            continue
        writer = _writers(output).get(name)
        if writer is not None and writer != command:
            raise UserError(f"{key}={output}: {name} of cellflax {writer} is there; give another directory")
        raise UserError(
            f"{key}={output}: {name} is there already, and {results.RECORDS[command]} does not say that cellflax "
            "wrote it; give another directory, or move the file away"
        )


def files_below(folder: Path, name: str = "") -> list[str]:
    """Paths, relative to a folder, of all files below it, or below one of its folders; sorted, may be empty."""
    return sorted(
        file.relative_to(folder).as_posix()
        for file in (folder / name).rglob("*")
        if file.is_symlink() or file.is_file()
    )


def _earlier_files(output: Path, overwrite: bool, key: str, command: str) -> list[str]:
    """Files of the set in a directory, which may be replaced; none if there is no set."""
    record = output / results.RECORDS[command]
    if not os.path.lexists(record):
        return []
    content = _read(record)
    if content is None:
        raise UserError(
            f"{key}={output}: {record.name} there does not list the files of its run, so they cannot be told "
            "from others; give another directory"
        )
    writer = content.get(_COMMAND, "predict")
    if writer != command:
        raise UserError(f"{key}={output}: holds the results of cellflax {writer}; give another directory")
    if not overwrite:
        raise UserError(
            f"{key}={output}: holds the results of an earlier run; give another directory, or add overwrite=true to "
            "replace them"
        )
    for name, checksum in content.get(_CHECKSUMS, {}).items():
        if name in content[_FILES] and (output / name).is_file() and _checksum(output / name) != checksum:
            raise UserError(
                f"{key}={output}: {name} was changed since cellflax wrote it, and would be lost; give another "
                "directory, or move the file away"
            )
    return [*content[_FILES], record.name]


def _writers(folder: Path) -> dict[str, str]:
    """The command that wrote each result in a folder, by the file's name there and the records beside it."""
    found: dict[str, str] = {}
    for command, record in results.RECORDS.items():
        content = _read(folder / record)
        if content is not None:
            found |= dict.fromkeys(content[_FILES], content.get(_COMMAND, command))
    return found


def _read(record: Path) -> dict[str, Any] | None:
    """A record, if it lists files, all below its folder; None for any other file."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        files = content[_FILES] if "cellflax" in content else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    folder = record.parent
    if not isinstance(files, list) or not all(isinstance(name, str) and _is_below(folder, name) for name in files):
        return None
    if not isinstance(content.get(_COMMAND, ""), str) or not isinstance(content.get(_CHECKSUMS, {}), dict):
        return None
    return content


def _checksum(file: Path) -> int:
    with file.open("rb") as stream:
        checksum = 0
        while part := stream.read(1 << 20):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _is_below(folder: Path, name: str) -> bool:
    """Whether a name from a file stays within its folder: nothing that is read chooses what is removed."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        return False
    return (folder / path).parent.resolve().is_relative_to(folder.resolve())
