"""Accuracy of per-pixel classes; pixels labelled IGNORE (-1) in the reference are left out."""

import numpy as np

from cellflax.data.example import IGNORE


def confusion_matrix(reference: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Count pixels by reference class (rows) and predicted class (columns).

    Matrices of several images add up.

    Args:
        reference: integer classes 0 ... n_classes - 1 or IGNORE, any shape.
        predicted: integer classes 0 ... n_classes - 1, same shape; anything where reference is IGNORE.
        n_classes: number of classes.

    Returns:
        (n_classes, n_classes) int64.

    Raises:
        ValueError: for different shapes or a class out of range.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"reference is {reference.shape} but predicted is {predicted.shape}")
    counted = reference != IGNORE
    rows, columns = reference[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for name, classes in (("reference", rows), ("predicted", columns)):
        if classes.size and not 0 <= classes.min() <= classes.max() < n_classes:
            found = f"{classes.min()} ... {classes.max()}"
            raise ValueError(f"{name} holds classes {found}, expected 0 ... {n_classes - 1}")
    joint = np.bincount(rows * n_classes + columns, minlength=n_classes**2)
    return joint.reshape(n_classes, n_classes)


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """(n_classes,) share of each reference class that is predicted right (recall); NaN without pixels."""
    total = confusion.sum(axis=1)
    return np.where(total > 0, confusion.diagonal() / np.maximum(total, 1), np.nan)


def overall_accuracy(confusion: np.ndarray) -> float:
    """Share of all counted pixels that are predicted right (ACC); NaN without pixels."""
    total = confusion.sum()
    return float(confusion.trace() / total) if total else float("nan")
