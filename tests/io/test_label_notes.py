"""Warnings about label images that number classes, or are wrapped at 8 bits."""

from pathlib import Path

import numpy as np
import pytest

from cellflax.io import notices
from cellflax.io.label_notes import note_labels
from cellflax.labels import components


@pytest.fixture(autouse=True)
def _forget_warnings():
    notices.warn.cache_clear()


def cells(count: int, size: int = 5, gap: int = 3, columns: int = 40) -> np.ndarray:
    """Square cells in rows, numbered from 1."""
    labels = np.zeros((-(-count // columns) * (size + gap), columns * (size + gap)), np.int32)
    for i in range(count):
        y, x = (i // columns) * (size + gap), (i % columns) * (size + gap)
        labels[y : y + size, x : x + size] = i + 1
    return labels


def noted(capsys, labels: np.ndarray) -> str:
    note_labels(Path("x.tif"), labels)
    return capsys.readouterr().err


@pytest.mark.parametrize("values", [(1, 2), (1, 2, 3), (50, 100, 200)])
def test_classes(capsys, values):
    labels = cells(60)
    classes = np.where(labels > 0, np.array(values)[labels % len(values)], 0)
    text = noted(capsys, classes)
    names = ", ".join(map(str, sorted(values)))
    assert text.startswith(
        f"warning: x.tif: only the values {names}, over 60 separate parts; if they are classes, save"
    )
    assert text.count("\n") == 1


@pytest.mark.parametrize("count", [300, 1000])
def test_wrapped(capsys, count):
    wrapped = cells(count) % 256
    assert "all 255 values of 8 bits are in use, and" in noted(capsys, wrapped)


@pytest.mark.parametrize(
    "labels",
    [
        cells(2),
        cells(3),
        cells(60),
        cells(255),  # as many as fit
        cells(300),
        (cells(60) > 0) * 255,  # a mask
        np.where(np.isin(cells(60), (1, 2)), cells(60), 0),
        cells(0, columns=4),
        np.zeros((5, 5), np.int32),
    ],
)
def test_cells_are_not_noted(capsys, labels):
    assert noted(capsys, np.asarray(labels, np.int32)) == ""


def test_a_few_torn_cells_are_no_wrapping(capsys):
    labels = cells(255)
    for i in range(1, 100):  # a bar through them: parts beside each other
        y, x = np.argwhere(labels == i)[0]
        labels[y + 2, x : x + 5] = 0
    labels[-1, -5:] = 1  # and one slip of the brush far away
    assert components(labels).max() > 300
    assert noted(capsys, labels) == ""
