"""What one run of a command leaves in its directory: one set, never mixed with another run's, never taken for input.

A run writes to a hidden folder in its directory. At the end, the files are moved in and `provenance.json` lists them.
By that list a later run knows what cellflax wrote there: nothing else is ever replaced or removed.

A command that notes in the journal which images are finished can go on where a run of it was ended (`io.resuming`).
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cellflax.atomic import output_directory
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.journal import Journal
from cellflax.io.resuming import RESUME, Resumption, find_resumption
from cellflax.io.unfinished import Unfinished, left_behind
from cellflax.jsonfile import write_json
from cellflax.progress import say

_FILES = "files"  # key of provenance.json


class ResultSet:
    """The results of a run, until they are published.

    Attributes:
        folder: hidden directory to write them to.
        replaces: whether there is an earlier set of another run, which stays until this one is published.
        journal: the images that are finished, of a command that notes them.
        published: whether it is published.
    """

    def __init__(self, output: Path, folder: Path, earlier: Sequence[str], key: str, journal: Journal, replaces: bool):
        self.folder, self.replaces, self.journal = folder, replaces, journal
        self._output, self._earlier, self._key = output, list(earlier), key
        self.published = False

    def file(self, name: str) -> Path:
        """Where a result is: in the hidden directory, or published by the run that is resumed."""
        return self.folder / name if (self.folder / name).exists() else self._output / name

    def publish(self, record: dict[str, Any]) -> None:
        """Move the files in, in place of the earlier set, and write `provenance.json`, which lists them.

        A run that is killed meanwhile leaves a `provenance.json` that is not complete, and lists all that is there.

        Args:
            record: what else `provenance.json` says of the results; `complete` is true unless it says otherwise.

        Raises:
            UserError: if a file of another origin has a result's name.
        """
        new = sorted(file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*") if file.is_file())
        refuse_others(self._output, new, self._earlier, self._key)
        there = {name for entry in self.journal.done.values() for name in entry.files}  # or new
        provenance = {"complete": True, **record, _FILES: sorted({*new, *there})}
        everything = sorted({*self._earlier, *new, *there} - {results.PROVENANCE})
        moving = {RESUME: self.journal.recorded()} if RESUME in record else {}
        write_json(self._output / results.PROVENANCE, {**provenance, "complete": False, **moving, _FILES: everything})
        for name in new:
            (self._output / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / name, self._output / name)
        for name in sorted(set(self._earlier) - {*new, *there, results.PROVENANCE}):
            file = self._output / name
            file.unlink(missing_ok=True)
            with suppress(OSError):  # other files are in it
                if file.parent != self._output:
                    file.parent.rmdir()
        write_json(self._output / results.PROVENANCE, provenance)
        self.published = True


@contextmanager
def result_set(
    output: str | Path,
    overwrite: bool,
    expected: Iterable[str] = (),
    key: str = "output",
    command: str = "predict",
    *,
    run: dict[str, Any] | None = None,
    resume: bool = False,
) -> Iterator[ResultSet]:
    """Begin a set of results; what is not published when the block ends is removed, unless images are finished.

    What a run of this command left behind when it was killed is removed, and a line says so. If images are finished in
    it, it stays until this set is published, so that the user can still resume it instead.

    Args:
        output: directory of the results; it may hold other files, such as the images.
        overwrite: whether the set may replace one that cellflax wrote there.
        expected: names of files that will be written, as far as they are known: it is reported before the work, not
            after it, if they cannot be.
        key: the argument's name, for errors.
        command: the command.
        run: what the results depend on besides the images, as JSON; None for a command that cannot be resumed.
        resume: go on with what an earlier run of the same `run` finished, whether it was published or not; without
            one, begin anew.

    Raises:
        UserError: if there is an earlier set that may not be replaced, a file of another origin has a result's name,
            the directory cannot be made, a living run of this command writes there, or what is to be resumed is of
            another `run`.
    """
    given, is_new = Path(output), not Path(output).exists()
    with ExitStack() as stack:
        try:
            leftovers = left_behind(given, command)
        except BlockingIOError as error:
            raise UserError(f"{key}={given}: cellflax {command} is writing there; give another, or wait") from error
        for folder in leftovers:
            stack.callback(folder.release)
        found = Resumption()
        if resume and run is not None:
            found = find_resumption(given, leftovers, run, overwrite, key)
        remedy = "" if run is None else ", or resume=true to complete them"
        earlier = _earlier_files(given, overwrite or found.published, key, remedy)
        refuse_others(given, expected, earlier, key)
        target = output_directory(given, key)
        if is_new:
            stack.callback(_remove_if_empty, target)
        try:
            folder = found.folder or Unfinished.make(target, command)
        except OSError as error:
            raise UserError(f"{key}={given}: cannot be written to ({error.strerror}); give another") from error
        stack.callback(folder.release)
        journal = Journal(folder.path, run or {})
        made = ResultSet(target, folder.results, earlier, key, journal, bool(earlier) and not found.published)
        others = [other for other in leftovers if other is not found.folder]
        _announce(given, others)
        try:
            if run is not None:
                journal.start(found.take_up(journal, target, earlier))
            yield made
        except BaseException:
            if not made.published and (journal.added or found.folder is not None):
                say(f"{len(journal.done)} finished images are kept in {folder.path}; resume=true goes on from there")
            else:
                folder.remove()
            raise
        for each in (folder, *others):
            each.remove()


def _announce(output: Path, leftovers: Sequence[Unfinished]) -> None:
    """Say what killed runs left behind, and remove it at once where no image is finished."""
    for folder in leftovers:
        journal = Journal.read(folder.path)
        if journal is not None and journal.done:
            say(
                f"{output}: a run that was killed left {len(journal.done)} finished images, which are removed when "
                "this run ends; to go on from them, stop it and add resume=true"
            )
        else:
            say(f"{output}: removed what a run that was killed left there")
            folder.remove()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # something was published
        folder.rmdir()


def without_results(option: str, files: Sequence[Path]) -> list[Path]:
    """Files without those that a command of cellflax wrote, by the `provenance.json` beside them.

    Args:
        option: the argument that named the files, for the error.
        files: what it named.

    Raises:
        UserError: if all are results.
    """
    written = {folder: set(_listed(folder) or ()) for folder in {file.parent for file in files}}
    left = [file for file in files if file.name not in written[file.parent]]
    if files and not left:
        raise UserError(
            f"{option}: all {len(files)} images in {files[0].parent} are results of cellflax; give the images that "
            "were segmented, or one of these by its own name"
        )
    return left


def refuse_others(output: Path, names: Iterable[str], earlier: Iterable[str], key: str = "output") -> None:
    """Refuse to replace files that are not of an earlier set.

    Raises:
        UserError: naming the first.
    """
    known = set(earlier)
    for name in names:
        if name not in known and os.path.lexists(output / name):
            raise UserError(
                f"{key}={output}: {name} is there already, and {results.PROVENANCE} does not say that cellflax wrote "
                "it; give another directory, or move the file away"
            )


def _earlier_files(output: Path, overwrite: bool, key: str, remedy: str) -> list[str]:
    """Files of the set in a directory, which may be replaced; none if there is no set."""
    if not os.path.lexists(output / results.PROVENANCE):
        return []
    files = _listed(output)
    if files is None:
        raise UserError(
            f"{key}={output}: {results.PROVENANCE} there does not list the files of its run, so they cannot be told "
            "from others; give another directory"
        )
    if not overwrite:
        raise UserError(
            f"{key}={output}: holds the results of an earlier run; give another directory, or add overwrite=true to "
            f"replace them{remedy}"
        )
    return [*files, results.PROVENANCE]


def _listed(folder: Path) -> list[str] | None:
    """Files that the `provenance.json` of a folder lists, relative to it; None if there is no such list."""
    try:
        record = json.loads((folder / results.PROVENANCE).read_text(encoding="utf-8"))
        files = record[_FILES] if "cellflax" in record else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(files, list) or not all(isinstance(name, str) and _is_below(folder, name) for name in files):
        return None
    return files


def _is_below(folder: Path, name: str) -> bool:
    """Whether a name from a file stays within its folder: nothing that is read chooses what is removed."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        return False
    return (folder / path).parent.resolve().is_relative_to(folder.resolve())
