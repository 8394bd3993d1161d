"""What has to hold of a checkpoint for a run to go on from it."""

from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.schemas import from_json
from cellflax.training.stopping import Tally


def restored_tally(run: Path, record: dict[str, Any]) -> Tally:
    """The progress that a checkpoint's record holds.

    Raises:
        UserError: if it holds none.
    """
    try:
        return from_json(Tally, record["training"])
    except (KeyError, UserError) as error:
        raise UserError(
            f"{run}: the record of its last checkpoint does not say how far it was; give another directory as run=..."
        ) from error


def check_same_images(run: Path, before: dict[str, Any], data: dict[str, Any]) -> None:
    """Refuse to resume a run whose images are now divided differently: it may have trained on held-out ones.

    Args:
        run: its directory, for the error.
        before: `data` of the checkpoint's record.
        data: the same of the data there are now.

    Raises:
        UserError: if they differ.
    """
    for part in ("train", "validation", "test"):
        if before.get(part, []) != data[part]:  # an older version had no test part
            raise UserError(
                f"{run} holds a run with other {part} images than there are now; restore those of its training, or "
                "give another directory as run=..."
            )
