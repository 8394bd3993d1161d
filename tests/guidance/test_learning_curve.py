"""Parts of the training images for a learning curve, and what its points suggest. `test_guide` trains one."""

import itertools

import numpy as np
import pytest

from cellflax.data.example import Dataset, Example
from cellflax.data.split import whole
from cellflax.guidance.intervals import Interval
from cellflax.guidance.learning_curve import Point, curve_words, part_of, part_sizes


@pytest.mark.parametrize(
    ("images", "parts", "sizes"),
    [(40, 3, [10, 20, 40]), (9, 3, [2, 4, 9]), (3, 3, [1, 2, 3]), (2, 3, [1, 2]), (1, 3, [1]), (40, 2, [20, 40])],
)
def test_sizes(images, parts, sizes):
    assert part_sizes(images, parts) == sizes


def dataset(count: int, without_cells: set[int] = frozenset()) -> Dataset:
    examples = []
    for i in range(count):
        cells = np.zeros((8, 8), np.int32)
        if i not in without_cells:
            cells[2:5, 2:5] = 1
        examples.append(Example(f"{i}", np.zeros((8, 8, 1), np.float32), cells, cells))
    return Dataset(tuple(examples), (whole(examples[0]),), ("a",), ("interior", "background"), "toy")


def names(data: Dataset) -> list[str]:
    return [example.name for example in data.train]


def test_parts_are_nested():
    data = dataset(12)
    for seed in (0, 1):
        parts = [set(names(part_of(data, count, seed))) for count in range(1, 13)]
        assert [len(part) for part in parts] == list(range(1, 13))
        assert all(small < large for small, large in itertools.pairwise(parts))
    assert names(part_of(data, 3, 0)) != names(part_of(data, 3, 1))
    assert part_of(data, 3, 0).validation == data.validation


def test_even_one_image_has_cells():
    data = dataset(6, without_cells={0, 1, 2, 4, 5})
    assert all(names(part_of(data, 1, seed)) == ["3"] for seed in range(8))


@pytest.mark.parametrize(
    ("f1", "advice"),
    [
        ((0.85, 0.855), "more images of this kind will hardly help"),
        ((0.85, 0.87), "more images of this kind will help little"),
        ((0.75, 0.85), "more images will help: annotate about 80"),
        ((0.85, 0.80), "more images of this kind will hardly help"),
    ],
)
def test_words(f1, advice):
    points = [Point(10, 0.5, 0.5), Point(20, f1[0], 0.7), Point(40, f1[1], 0.7)]
    assert curve_words(points, None) == (
        f"with 40 images in place of 20, F1 went from {f1[0]:.2f} to {f1[1]:.2f} ({f1[1] - f1[0]:+.2f}): {advice}"
    )
    assert "it may be chance" in curve_words(points, Interval(f1[1], f1[1] - 0.2, f1[1] + 0.2))
    assert "nothing can be said" in curve_words(points[:1], None)
