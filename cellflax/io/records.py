"""Records of what commands wrote to a directory: which files are results, and which a user's own."""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.jsonfile import read_json

# Keys that `ResultSet.publish` gives every record.
FILES, COMMAND, CHECKSUMS = RECORD_KEYS = ("files", "command", "checksums")


def earlier_files(output: Path, overwrite: bool, key: str, command: str, remedy: str = "") -> list[str]:
    """Files of the set in a directory, which may be replaced; none if there is no set.

    Args:
        output: the directory.
        overwrite: whether a set of this command may be replaced.
        key: the argument's name, for errors.
        command: whose set it would be.
        remedy: what else the user can do about an earlier set, for the error.

    Raises:
        UserError: if there is a set that may not be replaced, or a file of it was changed by hand since.
    """
    record = output / results.RECORDS[command]
    if not os.path.lexists(record):
        return []
    content = _read(record)
    if content is None:
        raise UserError(
            f"{key}={output}: {record.name} there does not list the files of its run, so nothing there is replaced; "
            "give another directory"
        )
    writer = content.get(COMMAND, "predict")
    if writer != command:
        raise UserError(f"{key}={output}: holds the results of cellflax {writer}; give another directory")
    if not overwrite:
        raise UserError(
            f"{key}={output}: holds the results of an earlier run; give another directory, or add overwrite=true to "
            f"replace them{remedy}"
        )
    for name, recorded in content.get(CHECKSUMS, {}).items():
        if name in content[FILES] and (output / name).is_file() and checksum(output / name) != recorded:
            raise UserError(
                f"{key}={output}: {name} was changed since cellflax wrote it, and would be lost; give another "
                "directory, or move the file away"
            )
    return [*content[FILES], record.name]


def recorded_settings(output: str | Path, command: str) -> dict[str, Any]:
    """The options of the run whose results a directory holds; empty if there is none, or they cannot be read."""
    content = _read(Path(output) / results.RECORDS[command])
    settings = None if content is None else content.get("settings")
    return settings if isinstance(settings, dict) else {}


def not_results(files: Iterable[Path]) -> list[Path]:
    """Those of several files that no record beside them lists; may be empty.

    Of files in a folder of exports, the record is beside that folder.
    """
    files = list(files)
    written = {folder: _written(folder) for folder in {file.parent for file in files}}
    return [file for file in files if file.name not in written[file.parent]]


def _written(folder: Path) -> set[str]:
    """Names of the results in a folder."""
    found = set(_writers(folder))
    if folder.name in results.EXPORT_FOLDERS:
        exports = (PurePosixPath(name).parts for name in _writers(folder.parent))
        found |= {parts[1] for parts in exports if len(parts) > 1 and parts[0] == folder.name}
    return found


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


def _writers(folder: Path) -> dict[str, str]:
    """The command that wrote each result in a folder, by the file's name there and the records beside it."""
    found: dict[str, str] = {}
    for command, record in results.RECORDS.items():
        content = _read(folder / record)
        if content is not None:
            found |= dict.fromkeys(content[FILES], content.get(COMMAND, command))
    return found


def _read(record: Path) -> dict[str, Any] | None:
    """A record, if it lists files, all below its folder; None for any other file."""
    try:
        content = read_json(record, "remove it")
    except UserError:
        return None
    files = content.get(FILES) if "cellflax" in content else None
    folder = record.parent
    if not isinstance(files, list) or not all(isinstance(name, str) and _is_below(folder, name) for name in files):
        return None
    if not isinstance(content.get(COMMAND, ""), str) or not isinstance(content.get(CHECKSUMS, {}), dict):
        return None
    return content


def checksum(file: Path) -> int:
    """CRC-32 of what a file holds."""
    with file.open("rb") as stream:
        found = 0
        while part := stream.read(1 << 20):
            found = zlib.crc32(part, found)
    return found


def _is_below(folder: Path, name: str) -> bool:
    """Whether a name from a file stays within its folder: nothing that is read chooses what is removed."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        return False
    return (folder / path).parent.resolve().is_relative_to(folder.resolve())
