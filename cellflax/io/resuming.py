"""Find what an earlier run finished: in the hidden folder of a run that was killed, and in a published set."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.journal import Done, Journal, State, is_whole, recorded_run
from cellflax.io.unfinished import Unfinished
from cellflax.jsonfile import differences, read_json

RESUME = "resume"  # key of provenance.json with what `Journal.recorded` gives


@dataclass
class Resumption:
    """What a run continues from; by default nothing.

    Attributes:
        folder: hidden folder of a run that was killed.
        published: whether the set that is there is of the same run.
        table: name of the table of cells that was published.
        done: images whose results were published.
    """

    folder: Unfinished | None = None
    published: bool = False
    table: str | None = None
    done: dict[str, Done] = field(default_factory=dict)

    def take_up(self, journal: Journal, output: Path, earlier: Sequence[str]) -> dict[str, Done]:
        """The finished images whose files are all whole, with the table of the cells of each in the journal's folder.

        Args:
            journal: journal of the run.
            output: directory of the results.
            earlier: files of the set that is there.

        Raises:
            UserError: if the published table does not fit the record of the images.
        """
        there = {name for entry in self.done.values() for name in entry.files}
        missing = {name for name in there if not (output / name).is_file()}
        done = {image: entry for image, entry in self.done.items() if not missing & entry.files.keys()}
        if self.table is not None and self.done:
            try:
                journal.take_cells(output / self.table, self.done)
            except (ValueError, csv.Error) as error:
                raise UserError(f"{error}, against {results.PROVENANCE}; begin anew with overwrite=true") from error
        if self.folder is None:
            return done
        before = Journal.read(self.folder.path)
        for image, entry in before.done.items() if before is not None else ():
            if is_whole(journal.cells(image), entry.cells) and all(
                is_whole(self.folder.results / name, state) or (name in earlier and is_whole(output / name, state))
                for name, state in entry.files.items()
            ):
                done[image] = entry
        kept = {name for entry in done.values() for name in entry.files}
        for path in self.folder.results.iterdir():
            if path.is_dir() and not path.is_symlink():  # of exports, which are made at the end
                shutil.rmtree(path)
            elif path.name not in kept:
                path.unlink()
        return done


def find_resumption(
    output: Path, leftovers: Sequence[Unfinished], run: dict[str, Any], overwrite: bool, key: str
) -> Resumption:
    """Find what a run can continue from.

    Args:
        output: directory of the results.
        leftovers: hidden folders of runs that were killed.
        run: what the results depend on besides the images.
        overwrite: whether results of another run may be replaced.
        key: the argument's name, for errors.

    Raises:
        UserError: if there are results of another run alone, or published ones that were changed since.
    """
    found, other = Resumption(), None
    journals = {folder: journal for folder in leftovers if (journal := Journal.read(folder.path)) is not None}
    for folder, journal in sorted(journals.items(), key=lambda item: len(item[1].done)):
        if journal.run == run:
            found.folder = folder
        elif journal.done:
            other = journal.run
    if (output / results.PROVENANCE).is_file():
        there = _published(output, key, overwrite)
        if there is not None and there[0] == run:
            found.published = True
            tables, found.done = there[1:]
            _refuse_changed(output, found.done, tables, key)
            found.table = next(iter(tables), None)
        elif there is not None:
            other = there[0]
            if not overwrite:
                raise _of_another_run(output, other, run, key)
    if other is not None and found.folder is None and not found.published and not overwrite:
        raise _of_another_run(output, other, run, key)
    return found


def _published(
    output: Path, key: str, overwrite: bool
) -> tuple[dict[str, Any], dict[str, State], dict[str, Done]] | None:
    """What `provenance.json` says of the finished images; None if it says nothing and may be replaced."""
    try:
        return recorded_run(read_json(output / results.PROVENANCE, "")[RESUME])
    except (UserError, ValueError, KeyError, TypeError) as error:
        if overwrite:
            return None
        raise UserError(
            f"{key}={output}: {results.PROVENANCE} there does not say which images are finished, so that resume=true "
            "cannot continue from it; give another directory, or overwrite=true instead of resume=true"
        ) from error


def _refuse_changed(output: Path, done: Mapping[str, Done], tables: Mapping[str, State], key: str) -> None:
    """Refuse to continue from files that somebody has changed: they would be lost, or be measured wrong."""
    files = {name: state for entry in done.values() for name, state in entry.files.items()}
    for name, state in {**files, **tables}.items():
        file = output / name
        if name in tables and not file.is_file():
            raise UserError(f"{key}={output}: {name} is missing; restore it, or begin anew with overwrite=true instead")
        if file.is_file() and not is_whole(file, state):
            raise UserError(
                f"{key}={output}: {name} was changed since cellflax wrote it, so that resume=true cannot continue from "
                "it; give another directory, or overwrite=true instead of resume=true"
            )


def _of_another_run(output: Path, old: dict[str, Any], new: dict[str, Any], key: str) -> UserError:
    name, (before, now) = next(iter(differences(old, new).items()))
    return UserError(
        f"{key}={output}: the run there had {name.removeprefix('settings.')}={before}, this one has {now}; resume=true "
        "needs the same, and overwrite=true instead of it begins anew"
    )
