"""What one run of a command leaves in its directory: one set, never mixed with another run's, never taken for input.

A run writes to a hidden folder in its directory. At the end, the files are moved in and `provenance.json` lists them.
By that list a later run knows what cellflax wrote there: nothing else is ever replaced or removed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cellflax.atomic import output_directory
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.jsonfile import read_json, write_json

_FILES = "files"  # key of provenance.json


class ResultSet:
    """The results of a run, until they are published.

    Attributes:
        folder: hidden directory to write them to.
        replaces: whether there is an earlier set, which stays until this one is published.
    """

    def __init__(self, output: Path, folder: Path, earlier: Sequence[str], key: str):
        self.folder, self.replaces = folder, bool(earlier)
        self._output, self._earlier, self._key = output, list(earlier), key

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
        provenance = {"complete": True, **record, _FILES: new}
        everything = sorted({*self._earlier, *new})
        write_json(self._output / results.PROVENANCE, {**provenance, "complete": False, _FILES: everything})
        for name in new:
            (self._output / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / name, self._output / name)
        for name in sorted(set(self._earlier) - set(new)):
            file = self._output / name
            file.unlink(missing_ok=True)
            with suppress(OSError):  # other files are in it
                if file.parent != self._output:
                    file.parent.rmdir()
        write_json(self._output / results.PROVENANCE, provenance)


@contextmanager
def result_set(
    output: str | Path, overwrite: bool, expected: Iterable[str] = (), key: str = "output"
) -> Iterator[ResultSet]:
    """Begin a set of results; what is not published when the block ends is removed.

    Args:
        output: directory of the results; it may hold other files, such as the images.
        overwrite: whether the set may replace one that cellflax wrote there.
        expected: names of files that will be written, as far as they are known: it is reported before the work, not
            after it, if they cannot be.
        key: the argument's name, for errors.

    Raises:
        UserError: if there is an earlier set that may not be replaced, a file of another origin has a result's name,
            or the directory cannot be made.
    """
    given = Path(output)
    earlier = _earlier_files(given, overwrite, key)
    refuse_others(given, expected, earlier, key)
    is_new = not given.exists()
    target = output_directory(given, key)
    try:
        folder = Path(tempfile.mkdtemp(dir=target, prefix=".unfinished."))
    except OSError as error:
        raise UserError(f"{key}={given}: cannot be written to ({error.strerror}); give another") from error
    try:
        yield ResultSet(target, folder, earlier, key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty: something was published
                target.rmdir()


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


def _earlier_files(output: Path, overwrite: bool, key: str) -> list[str]:
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
            "replace them"
        )
    return [*files, results.PROVENANCE]


def _listed(folder: Path) -> list[str] | None:
    """Files that the `provenance.json` of a folder lists, relative to it; None if there is no such list."""
    try:
        record = read_json(folder / results.PROVENANCE, "remove it")
    except UserError:
        return None
    files = record.get(_FILES) if "cellflax" in record else None
    if not isinstance(files, list) or not all(isinstance(name, str) and _is_below(folder, name) for name in files):
        return None
    return files


def _is_below(folder: Path, name: str) -> bool:
    """Whether a name from a file stays within its folder: nothing that is read chooses what is removed."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        return False
    return (folder / path).parent.resolve().is_relative_to(folder.resolve())
