"""The JSON record of a checkpoint: what it holds, who may read it, and what is added to it after training."""

import math
from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.jsonfile import read_json, write_json

FORMAT = 2  # 1, never released, had no axis for the members of an ensemble
DIRECTORY = "checkpoints"
RECORD = "_CHECKPOINT_METADATA"  # Orbax's own name


def finite(content: Any) -> Any:
    """JSON with null in place of numbers that JSON has not, such as the accuracy of a class without pixels (NaN).

    Orbax would write them, and `read_record` refuse them.
    """
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def has_checkpoint(run: Path) -> bool:
    """Whether a run directory has a checkpoint to resume from."""
    return any(path.name.isdigit() and has_record(path) for path in (run / DIRECTORY).glob("*"))


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
        raise UserError(f"checkpoint {path} is damaged: its record cannot be read; copy it again{reason}") from error
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
        raise UserError(f"checkpoint {path} is damaged: its record holds values of other types; copy it again")


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
    record = read_record(path)
    write_json(path / RECORD, {**read_json(path / RECORD, "copy it again"), "custom_metadata": {**record, **entries}})


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether what every reader of a record takes from it has the right type."""
    score = record.get("score")
    groups = all(isinstance(record[key], dict) for key in ("config", "crc32", "data"))
    groups = groups and all(isinstance(record.get(key), dict | None) for key in ("tuning", "calibration"))
    step = record.get("step", 0)
    return groups and (score is None or type(score) in (int, float)) and type(step) is int and step >= 0
