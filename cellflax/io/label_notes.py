"""Warnings about label images whose numbers are evidently not those of cells."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from cellflax.io.notices import warn
from cellflax.labels import compact, components

# Label images with so few values, in so many parts for each, number classes.
_CLASSES = (2, 4)
_PARTS_OF_A_CLASS = 5
# Smaller parts are specks of drawing.
_SPECK_PX = 4
# Parts of one cell are not so far apart, in diameters of a typical cell; and it takes more than a slip of the brush.
_FAR = 3.0
_FEW = 3


def note_labels(path: Path, labels: np.ndarray) -> None:
    """Print a warning if labels are evidently classes (1 and 2 over many separate parts), or wrapped at 8 bits.

    Args:
        path: the file, for the warning.
        labels: (H, W) integers, 0 = background.
    """
    if not labels.size or int(labels.max()) > 255:
        return
    values, numbers = compact(labels)
    if _CLASSES[0] <= len(values) <= _CLASSES[1]:
        _note_classes(path, values, numbers)
    elif len(values) == 255:
        _note_wrapped(path, numbers)


def _parts(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label image of the connected parts of each value, and (n,) the value of each that is no speck, 0 for specks."""
    parts = components(numbers)
    value = np.zeros(parts.max() + 1, np.int64)
    value[parts] = numbers
    value[np.bincount(parts.ravel()) < _SPECK_PX] = 0
    return parts, value[1:]


def _note_classes(path: Path, values: np.ndarray, numbers: np.ndarray) -> None:
    _, value = _parts(numbers)
    counts = np.bincount(value, minlength=len(values) + 1)[1:]
    if (counts >= _PARTS_OF_A_CLASS).all():
        warn(
            f"{path}: only the values {', '.join(map(str, values))}, over {counts.sum()} separate parts; if they are "
            "classes, save one number per cell, or a mask with one value, whose parts become cells"
        )


def _note_wrapped(path: Path, numbers: np.ndarray) -> None:
    parts, value = _parts(numbers)
    areas = np.bincount(parts.ravel())[1:]
    boxes = ndimage.find_objects(parts)
    if not (value > 0).any():
        return
    far = _FAR * np.sqrt(np.median(areas[value > 0]))
    count = 0
    for number in range(1, 256):
        ends = np.array([[(s.start, s.stop) for s in boxes[i]] for i in np.flatnonzero(value == number)])
        if len(ends) > 1:
            low, high = ends[..., 0], ends[..., 1]
            gaps = np.maximum(low[:, None] - high[None], low[None] - high[:, None]).clip(0)
            count += bool((np.hypot(gaps[..., 0], gaps[..., 1]) > far).any())
    if count >= _FEW:
        warn(
            f"{path}: all 255 values of 8 bits are in use, and {count} of them stand for parts far apart; if there are "
            "more than 255 cells, number them again and save 16 bits"
        )
