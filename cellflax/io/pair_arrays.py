"""What the files of a pair hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.frames import is_movie, label_frame, open_label_movie
from cellflax.io.images import read_labels
from cellflax.io.pairs import Pair
from cellflax.labels import is_mask


def _read_frame(path: Path, t: int | None) -> np.ndarray:
    """A label image, or a frame of a label movie, (H, W) int32."""
    if t is None or not is_movie(path):
        return read_labels(path)
    with open_label_movie(path) as movie:
        return label_frame(movie, t)


@dataclass(frozen=True)
class PairArrays:
    """What the files of one pair hold.

    Attributes:
        predicted: (H, W) int32 labels, or a bool mask.
        reference: (H, W) int32 labels, or a bool mask.
        nuclei: (H, W) int32, not zero inside nuclei.
        masks: which of "predicted" and "reference" are masks.
    """

    predicted: np.ndarray
    reference: np.ndarray
    nuclei: np.ndarray | None
    masks: tuple[str, ...]


def read_pair(pair: Pair) -> PairArrays:
    """Read the label images of a pair; one with a single non-zero value is taken for a mask.

    Raises:
        UserError: for unreadable files, files that are not label images, and different shapes.
    """
    predicted, reference = (_read_frame(path, pair.frame) for path in (pair.predicted, pair.reference))
    nuclei = _read_frame(pair.nuclei, pair.frame) if pair.nuclei else None
    for path, labels in ((pair.reference, reference), (pair.nuclei, nuclei)):
        if labels is not None and labels.shape != predicted.shape:
            raise UserError(
                f"{path}: shape {labels.shape} differs from {predicted.shape} of {pair.predicted}; "
                "both must show the same field at the same scale"
            )
    masks = []
    if is_mask(predicted):
        predicted = predicted > 0
        masks.append("predicted")
    if is_mask(reference):
        reference = reference > 0
        masks.append("reference")
    return PairArrays(predicted, reference, nuclei, tuple(masks))
