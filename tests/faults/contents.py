"""What a command left, without what may differ between two runs that did the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.io import results
from cellflax.training.checkpoint import DIRECTORY
from tests.commands import arrays_of

_SETTINGS = ("overwrite", "resume")  # by which the runs that are compared may differ
RECORDS = ("provenance",)  # begin the names of records
_WITH_SETTINGS = (results.SUMMARY, results.METRICS, "_CHECKPOINT_METADATA")
_DATED = ("report.html", "commit_success.txt")  # say when, or in which hidden folder, they were written


def contents(folder: Path) -> dict[str, bytes]:
    """Names and content of all files below a folder, without what may differ between two runs; none if it is absent.

    The arrays of a checkpoint count as one file: those in which Orbax keeps them have names that it draws.
    """
    found = {}
    for state in folder.glob(f"{DIRECTORY}/*/state"):
        found[state.relative_to(folder).as_posix()] = _arrays(state.parent)
    for path in files_in(folder):
        name = path.relative_to(folder).as_posix()
        if any(name.startswith(f"{state}/") for state in found):
            continue
        found[name] = b"" if path.name in _DATED else path.read_bytes()
        if name.startswith(RECORDS) or path.name in _WITH_SETTINGS:
            found[name] = _comparable(found[name])
    return found


def _arrays(checkpoint: Path) -> bytes:
    """The arrays of a checkpoint as bytes, or that they cannot be read."""
    try:
        arrays = arrays_of(checkpoint.parents[1], int(checkpoint.name))
    except Exception:  # Orbax raises many types
        return b"damaged"
    return b"".join(name.encode() + np.asarray(arrays[name]).tobytes() for name in sorted(arrays))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _comparable(record: bytes) -> bytes:
    content: dict[str, Any] = json.loads(record)
    for name in _DATED:
        content.get("checksums", {}).pop(name, None)
    for name in [name for name in content if name.endswith("_timestamp_nsecs")]:  # of Orbax
        del content[name]
    if "files" in content:  # without those that Orbax names
        content["files"] = [name for name in content["files"] if not name.startswith(f"{DIRECTORY}/")]
    for settings in (content.get("settings", {}), content.get("resume", {}).get("run", {}).get("settings", {})):
        for key in _SETTINGS:
            settings.pop(key, None)
    return json.dumps(content).encode()
