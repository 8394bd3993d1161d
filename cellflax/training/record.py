"""The JSON record of a checkpoint: what it holds, who may read it, and what is added to it after training."""

import json
import math
import zlib
from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.jsonfile import read_json, write_json

FORMAT = 2  # 1, never released, had no axis for the members of an ensemble
DIRECTORY = "checkpoints"
RECORD = "_CHECKPOINT_METADATA"  # Orbax's own name
CHECKSUM = "record_crc32"  # key of the checksum of all else in a record; those of version 0.1 have none


class DamagedError(UserError):
    """A checkpoint is not as it was written."""


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """A record with the checksum of all that it says.

    Numbers that JSON has not, such as the accuracy of a class without pixels (NaN), become null: Orbax would write
    them, and `read_record` refuse them.
    """
    record = json.loads(json.dumps(_finite({key: value for key, value in content.items() if key != CHECKSUM})))
    return {**record, CHECKSUM: _checksum(record)}


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _checksum(record: dict[str, Any]) -> int:
    content = {key: value for key, value in record.items() if key != CHECKSUM}
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def has_checkpoint(run: Path) -> bool:
    """Whether a run directory has a checkpoint to resume from."""
    return bool(complete_checkpoints(run))


def complete_checkpoints(run: Path) -> list[Path]:
    """The checkpoint folders of a run directory."""
    return [path for path in (run / DIRECTORY).glob("*") if path.name.isdigit() and has_record(path)]


def has_record(path: Path) -> bool:
    """Whether a folder is one checkpoint."""
    return (path / RECORD).is_file()


def read_record(path: Path) -> dict[str, Any]:
    """The JSON record of one checkpoint folder.

    Raises:
        UserError: if it is damaged, or not one that cellflax of this format wrote.
    """
    try:
        record = read_json(path / RECORD, "copy it again")["custom_metadata"]
    except (UserError, KeyError) as error:
        reason = f" ({error})" if isinstance(error, UserError) else ""
        raise DamagedError(f"checkpoint {path} is damaged: its record cannot be read; copy it again{reason}") from error
    if isinstance(record, dict) and CHECKSUM in record and record[CHECKSUM] != _checksum(record):
        raise DamagedError(f"checkpoint {path} is damaged: its record differs from its checksum; copy it again")
    require_record(path, record)
    return record


def require_record(path: Path, record: Any) -> None:
    """Check that a record is one of cellflax, of this format.

    Args:
        path: the checkpoint, for errors.
        record: JSON that a file holds.

    Raises:
        UserError: as `read_record`.
    """
    if not isinstance(record, dict) or not {"crc32", "config", "data"} <= record.keys():
        raise UserError(f"{path} is an Orbax checkpoint, but not one of cellflax")
    if record.get("format") != FORMAT:
        raise UserError(
            f"checkpoint {path} has format {record.get('format')}, this cellflax reads format {FORMAT}; update "
            "cellflax or train again"
        )
    if not _is_whole(record):
        raise DamagedError(f"checkpoint {path} is damaged: its record holds values of other types; copy it again")


def add_to_record(path: Path, **entries: Any) -> None:
    """Set entries of the record of one checkpoint folder, in one step: a reader sees the old record or the new.

    The arrays, and all else that Orbax keeps, stay as they are.

    Args:
        path: checkpoint folder.
        entries: JSON by its key.

    Raises:
        UserError: as `read_record`.
        OSError: if the record cannot be replaced.
    """
    record = sealed({**read_record(path), **entries})
    write_json(path / RECORD, {**read_json(path / RECORD, "copy it again"), "custom_metadata": record})


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether what every reader of a record takes from it has the right type."""
    score = record.get("score")
    groups = all(isinstance(record[key], dict) for key in ("config", "crc32", "data"))
    groups = groups and all(isinstance(record.get(key), dict | None) for key in ("tuning", "calibration"))
    step = record.get("step", 0)
    return groups and (score is None or type(score) in (int, float)) and type(step) is int and step >= 0
