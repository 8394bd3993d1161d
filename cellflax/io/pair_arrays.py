"""What the files of a pair hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.ignored import SparseLabels
from cellflax.io.frames import is_movie, label_frame, open_label_movie
from cellflax.io.images import read_image, read_labels
from cellflax.io.label_notes import note_labels
from cellflax.io.outlines import has_outlines
from cellflax.io.pairs import Pair
from cellflax.labels import is_mask


@dataclass(frozen=True)
class PairArrays:
    """What the files of one pair hold.

    Attributes:
        predicted: (H, W) int32 labels, or a bool mask.
        reference: (H, W) int32 labels, or a bool mask.
        nuclei: (H, W) int32, not zero inside nuclei.
        masks: which of "predicted" and "reference" are masks.
        ignored: (H, W) codes of what the reference does not annotate, see `cellflax.ignored`; None if it is whole.
    """

    predicted: np.ndarray
    reference: np.ndarray
    nuclei: np.ndarray | None
    masks: tuple[str, ...]
    ignored: np.ndarray | None = None


@dataclass(frozen=True)
class SparseReference:
    """What of the references is not annotated.

    Attributes:
        values: values of their label images that are not labels of cells.
        masks: mask of what is not annotated by the name of the pair, where there is one.
    """

    values: SparseLabels
    masks: dict[str, Path]


WHOLE = SparseReference(SparseLabels(), {})


def read_pair(pair: Pair, sparse: SparseReference = WHOLE) -> PairArrays:
    """Read the label images of a pair; one with a single non-zero value is taken for a mask.

    Args:
        pair: the files; those of outlines take the size of the other label image, or of the picture `pair.image`.
        sparse: what of the reference is not annotated.

    Raises:
        UserError: for unreadable files, files that are not label images, and different shapes.
    """
    shape = _shape_for_outlines(pair)
    predicted, reference = (_read_frame(path, pair.frame, shape) for path in (pair.predicted, pair.reference))
    nuclei = _read_frame(pair.nuclei, pair.frame, predicted.shape) if pair.nuclei else None
    mask = sparse.masks.get(pair.name)
    painted = _read_frame(mask, pair.frame, predicted.shape) if mask else None
    for path, labels in ((pair.reference, reference), (pair.nuclei, nuclei), (mask, painted)):
        if labels is not None and labels.shape != predicted.shape:
            raise UserError(
                f"{path}: shape {labels.shape} differs from {predicted.shape} of {pair.predicted}; "
                "both must show the same field at the same scale"
            )
    reference, ignored = sparse.values.take_out(reference, painted)
    note_labels(pair.predicted, predicted)
    note_labels(pair.reference, reference)
    masks = []
    if is_mask(predicted):
        predicted = predicted > 0
        masks.append("predicted")
    if is_mask(reference):
        reference = reference > 0
        masks.append("reference")
    return PairArrays(predicted, reference, nuclei, tuple(masks), ignored)


def _read_frame(path: Path, t: int | None, shape: tuple[int, ...] | None) -> np.ndarray:
    """A label image, or a frame of a label movie, (H, W) int32; `shape` is for outlines."""
    if t is None or not is_movie(path):
        return read_labels(path, None if shape is None else (shape[0], shape[1]))
    with open_label_movie(path) as movie:
        return label_frame(movie, t)


def _shape_for_outlines(pair: Pair) -> tuple[int, ...] | None:
    """Height and width of the field where a file of the pair is one of outlines; None where none is."""
    sides = (pair.predicted, pair.reference)
    if not any(map(has_outlines, sides)):
        return None
    for path in sides:
        if not has_outlines(path):
            return _read_frame(path, pair.frame, None).shape
    if pair.image is None:
        raise UserError(
            f"{pair.predicted} and {pair.reference}: outlines do not say the size of their image; add image=..., the "
            "image that they belong to"
        )
    return read_image(pair.image).pixels.shape[:2]
