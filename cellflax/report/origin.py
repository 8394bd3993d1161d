"""Where results come from, as lines of a report: the command, versions, the computer, files with their checksums."""

import os
import platform
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import cellflax
from cellflax.data.example import SIMULATED_NOTE
from cellflax.overrides import job_arguments
from cellflax.report.model import Fact, Notice, Table, Weight

_VERSIONS = ("jax", "flax", "numpy", "scikit-image")
_MOST_FILES = 200
SIMULATED = Notice("SIMULATED DATA: these numbers do not hold for real images.", Weight.simulated)
_WORDS = {
    True: "SIMULATED: images, or what the network learned from, are simulated",
    False: "real",
    None: "unknown: no file says that anything is simulated",
}


def facts_of(
    command: str, *, simulated: bool | None, device: str = "", data: Iterable[tuple[str, Any]] = ()
) -> tuple[Fact, ...]:
    """The lines of the provenance.

    Args:
        command: name of the command that wrote the results.
        simulated: whether simulated images are behind them; None if unknown.
        device: hardware and precision, as JAX was set up; "" where no network ran.
        data: further lines, name and value, before the versions; empty values are left out.
    """
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    lines = [
        *_command(command),
        Fact("simulated or real", _WORDS[simulated], weight=Weight.simulated if simulated else Weight.note),
        *(Fact(name, str(value)) for name, value in data if value not in (None, "", [], {})),
        Fact("cellflax", cellflax.__version__),
        Fact("with", f"Python {platform.python_version()}, {versions}"),
        Fact("device", device or f"{platform.machine()} processor, {os.cpu_count()} cores"),
        Fact("system", platform.platform(terse=True)),
        Fact("written", datetime.now(UTC).isoformat(timespec="seconds")),
    ]
    return tuple(lines)


def repeat_command(command: str) -> str | None:
    """The running command as a shell takes it; None where none runs, as in Python."""
    arguments = job_arguments()
    return None if arguments is None else " ".join(["cellflax", command, *map(_shell_word, arguments)])


def _command(command: str) -> list[Fact]:
    line = repeat_command(command)
    if line is None:
        return [Fact("command", f"{command}, called from Python")]
    return [Fact("command to repeat", line, is_code=True), Fact("in folder", os.getcwd())]


def _shell_word(argument: str) -> str:
    """An argument in quotes where a shell needs them; double ones around the single ones of Hydra's grammar."""
    if "'" in argument and not any(sign in argument for sign in '"$`\\!'):
        return f'"{argument}"'
    return shlex.quote(argument)


def settings_table(settings: Mapping[str, Any]) -> Table:
    """All settings of a command, by dotted key."""
    return Table("Options of the command", "options.csv", ("key", "value"), tuple(_flat(settings)))


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "null" if value is None else str(value)))
    return rows


def files_table(files: Iterable[tuple[str, str, int | None, int | None]], whole: str) -> Table:
    """Files with their sizes and checksums.

    Args:
        files: what each is ("input", "result"), its name, bytes and CRC-32; None where unknown.
        whole: the file beside the report that lists all of them.
    """
    rows = [(kind, name, size, "" if crc is None else f"{crc:08x}") for kind, name, size, crc in files]
    note = f"{whole} lists all {len(rows)}." if len(rows) > _MOST_FILES else ""
    return Table("Files", "files.csv", ("kind", "name", "bytes", "CRC-32"), tuple(rows[:_MOST_FILES]), note)


def failed_notices(failed: Mapping[str, str]) -> list[Notice]:
    """A warning for each image that could not be used."""
    return [Notice(f"Not used: {name}: {reason}", Weight.warning) for name, reason in failed.items()]


def simulated_notes(places: Iterable[str | Path]) -> list[str]:
    """A line for each folder of simulated images among files, folders and patterns.

    Args:
        places: paths; a file or pattern stands for its folder.
    """
    folders = {path if path.is_dir() else path.parent for path in (Path(place).expanduser() for place in places)}
    return [
        f"simulated: the images in {folder} are simulated, and so are labels that come from them"
        for folder in sorted(folders)
        if (folder / SIMULATED_NOTE).is_file()
    ]


def note_notices(notes: Iterable[str]) -> list[Notice]:
    """Notes of a command; those on simulated images are red, and say so aloud."""
    found = []
    for note in notes:
        if note.lower().startswith("simulated"):
            found.append(Notice(f"SIMULATED{note[len('simulated') :]}", Weight.simulated))
        else:
            found.append(Notice(note))
    return found
