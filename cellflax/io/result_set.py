"""What one run of a command leaves in its directory: one set, never mixed with another run's, never taken for input.

A run writes to a hidden folder in its directory. At the end, the files are moved in and the command's record
(`results.RECORDS`) lists them. By that list a later run knows what the command wrote there: nothing else is ever
replaced or removed. Each command has a record of its own, so that several can write to one directory.

A command that notes in the journal which images are finished can continue where a run of it was ended (`io.resuming`).
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cellflax.atomic import NO_ROOM, output_directory
from cellflax.directory_lock import directory_lock
from cellflax.errors import OutputError, UserError
from cellflax.io import results
from cellflax.io.journal import Journal
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
from cellflax.io.resuming import RESUME, Resumption, find_resumption
from cellflax.io.unfinished import Unfinished, left_behind
from cellflax.jsonfile import write_json
from cellflax.locks import Lock, LockedError
from cellflax.progress import say


class ResultSet:
    """The results of a run, until they are published.

    Attributes:
        folder: hidden directory to write them to.
        replaces: whether there is an earlier set of another run, which stays until this one is published.
        journal: the images that are finished, of a command that notes them.
        published: whether it is published.
    """

    def __init__(
        self,
        output: Path,
        folder: Path,
        earlier: Sequence[str],
        key: str,
        command: str,
        journal: Journal,
        replaces: bool,
    ):
        self.folder, self.replaces, self.journal = folder, replaces, journal
        self._output, self._earlier, self._key, self._command = output, list(earlier), key, command
        self.published = False

    def file(self, name: str) -> Path:
        """Where a result is: in the hidden directory, or published by the run that is resumed."""
        return self.folder / name if (self.folder / name).exists() else self._output / name

    def report(self) -> Path | None:
        """Where to write the report: pages of others keep their names; None if both of ours are taken."""
        for name in (results.REPORT, results.report_of(self._command)):
            if name in self._earlier or not os.path.lexists(self._output / name):
                return self.folder / name
        return None

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
        there = {name for entry in self.journal.done.values() for name in entry.files}  # or new
        provenance = {"complete": True, **record, COMMAND: self._command, FILES: sorted({*new, *there})}
        if keep_edits:
            provenance[CHECKSUMS] = {name: checksum(self.folder / name) for name in new}
        everything = sorted({*self._earlier, *new, *there} - {self._record.name})
        moving = {RESUME: self.journal.recorded()} if RESUME in record else {}
        # Both are written before anything moves: on a disk that is full now, the last step needs no room.
        first, last = self.folder.parent / "moving.json", self.folder.parent / "moved.json"
        write_json(first, {**provenance, "complete": False, **moving, FILES: everything})
        write_json(last, provenance)
        os.replace(first, self._record)
        self._move_in(new)
        for name in sorted(set(self._earlier) - {*new, *there, self._record.name}):
            self._remove(name)
        os.replace(last, self._record)
        self.published = True

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
    *,
    run: dict[str, Any] | None = None,
    resume: bool = False,
) -> Iterator[ResultSet]:
    """Begin a set of results; what is not published when the block ends is removed, unless images are finished.

    What a run of this command left behind when it was killed is removed, and a line says so. If images are finished in
    it, it stays until this set is published, so that the user can still resume it instead.

    Args:
        output: directory of the results; it may hold other files, such as the images.
        overwrite: whether the set may replace one that this command wrote there.
        expected: names of files that will be written, as far as they are known: it is reported before the work, not
            after it, if they cannot be.
        key: the argument's name, for errors.
        command: whose set it is, one of `results.RECORDS`.
        inputs: files that the run reads.
        run: what the results depend on besides the images, as JSON; None for a command that cannot be resumed.
        resume: continue what an earlier run of the same `run` finished, whether it was published or not; without
            one, begin anew.

    Raises:
        UserError: if there is an earlier set that may not be replaced, or would be although the run reads it, a file of
            another origin has a result's name, the directory cannot be made, another process of this command writes
            there, or what is to be resumed is of another `run`.
        OutputError: if the results cannot be written, as on a full disk.
    """
    given, is_new = Path(output), not Path(output).exists()
    with ExitStack() as stack:
        target = output_directory(given, key)
        if is_new:
            stack.callback(_remove_if_empty, target)
        stack.enter_context(directory_lock(target, command, key, _lock_name(command)))
        left = left_behind(target)
        for folder in left:
            stack.callback(folder.release)
        leftovers = [folder for folder in left if folder.command == command]
        _remove_of_others(target, [folder for folder in left if folder.command != command])
        found = Resumption()
        if resume and run is not None:
            found = find_resumption(given, leftovers, run, overwrite, key)
        remedy = "" if run is None else ", or resume=true to complete them"
        earlier = earlier_files(given, overwrite or found.published, key, command, remedy)
        refuse_others(given, expected, earlier, key, command)
        _refuse_inputs(given, inputs, earlier, key)
        try:
            folder = found.folder or Unfinished.make(target, command)
            folder.results.mkdir(exist_ok=True)  # a run can be killed before it has one
        except OSError as error:
            raise UserError(f"{key}={given}: cannot be written to ({error.strerror}); give another") from error
        stack.callback(folder.release)
        journal = Journal(folder.path, run or {})
        made = ResultSet(target, folder.results, earlier, key, command, journal, bool(earlier) and not found.published)
        others = [other for other in leftovers if other is not found.folder]
        _announce(given, others)
        try:
            if run is not None:
                journal.start(found.take_up(journal, target, earlier))
            yield made
        except BaseException as error:
            if not made.published and (journal.added or found.folder is not None):
                say(f"{len(journal.done)} finished images are kept in {folder.path}; resume=true continues from there")
            else:
                folder.remove()
            if isinstance(error, OSError) and _is_of_results(error, folder.path):
                remedy = "make room, or give another" if error.errno in NO_ROOM else "give another"
                raise OutputError(f"{key}={given}: cannot be written ({error.strerror}); {remedy}") from error
            if isinstance(error, UserError) and (line := _visible(str(error), folder.results, given)) != str(error):
                raise type(error)(line) from error
            raise
        for each in (folder, *others):
            each.remove()


def _visible(line: str, hidden: Path, output: Path) -> str:
    """A line that names files where they would have appeared: the hidden folder is gone when it is read."""
    line = line.replace(str(hidden.resolve()), str(output)).replace(str(hidden), str(output))
    return re.sub(re.escape(str(hidden.parent)) + "/[^:]*", lambda _: str(output), line)  # what never appears


def _is_of_results(error: OSError, hidden: Path) -> bool:
    """Whether an error is of writing results, not of reading something that may lie in the same directory."""
    files = [name for name in (error.filename, error.filename2) if isinstance(name, str | os.PathLike)]
    return error.errno in NO_ROOM or any(Path(os.fsdecode(name)).is_relative_to(hidden) for name in files)


def _refuse_inputs(output: Path, inputs: Iterable[Path], earlier: Sequence[str], key: str) -> None:
    replaced = {(output / name).resolve() for name in earlier}
    for file in inputs:
        if file.resolve() in replaced:
            raise UserError(
                f"{key}={output}: overwrite=true would replace {file}, which is read; give another directory"
            )


def _announce(output: Path, leftovers: Sequence[Unfinished]) -> None:
    """Say what killed runs left behind, and remove it at once where no image is finished."""
    for folder in leftovers:
        journal = Journal.read(folder.path)
        if journal is not None and journal.done:
            say(
                f"{output}: a run that was killed left {len(journal.done)} finished images, which are removed when "
                "this run ends; to continue from them, stop it and add resume=true"
            )
        else:
            say(f"{output}: removed what a run that was killed left there")
            folder.remove()


def lock_file(output: Path, command: str) -> Path:
    """The lock that a run of a command holds while it writes to a directory."""
    return output / f".{_lock_name(command)}.lock"


def _lock_name(command: str) -> str:
    """Of the lock that a run holds: commands that have the same record exclude each other."""
    return results.RECORDS[command].removesuffix(".json")


def _remove_of_others(output: Path, leftovers: Sequence[Unfinished]) -> None:
    """Remove what killed runs of other commands left, but for finished images, which can be resumed."""
    for folder in leftovers:
        journal = Journal.read(folder.path)
        if journal is None or not journal.done:
            say(f"{output}: removed what a run that was killed left there")
            folder.remove()
    for lock in {lock_file(output, command) for command in results.RECORDS}:
        if lock.exists():
            with suppress(LockedError, OSError), Lock.take(lock, "clean-up"):
                pass  # no living process has it: its file goes as it is given back


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # something was published
        folder.rmdir()


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
