"""What one run of a command leaves in its directory: one set, never mixed with another run's, never taken for input.

A run writes to a hidden folder in its directory. At the end, the files are moved in and the command's record
(`results.RECORDS`) lists them. By that list a later run knows what the command wrote there: nothing else is ever
replaced or removed. Each command has a record of its own, so that several can write to one directory.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cellflax.atomic import output_directory
from cellflax.errors import OutputError, UserError
from cellflax.io import results
from cellflax.io.records import (
    CHECKSUMS,
    COMMAND,
    FILES,
    checksum,
    earlier_files,
    files_below,
    not_results,
    refuse_others,
)
from cellflax.jsonfile import write_json

UNFINISHED = ".unfinished."  # begins the name of the folder that a run writes to; a killed process leaves it


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
        provenance = {"complete": True, **record, COMMAND: self._command, FILES: new}
        if keep_edits:
            provenance[CHECKSUMS] = {name: checksum(self.folder / name) for name in new}
        everything = sorted({*self._earlier, *new} - {self._record.name})
        write_json(self._record, {**provenance, "complete": False, FILES: everything})
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
        OutputError: if the disk is full.
    """
    given = Path(output)
    earlier = earlier_files(given, overwrite, key, command)
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
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutputError(f"{key}={given}: cannot be written ({error.strerror}); make room, or give another") from error
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
