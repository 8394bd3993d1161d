"""Images that look alike are grouped, and corrections are spread over the groups."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellflax.correction.groups import spread_over_groups, traits_of
from cellflax.correction.predicted import PredictedImage
from cellflax.correction.ranking import Candidate
from cellflax.io.images import Image


def squares(seed: int, *, edge: int = 6, noise: float = 5.0, bright: float = 100.0) -> PredictedImage:
    """Squares on a grid of 16 px, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((96, 96), np.int32)
    for number, (row, column) in enumerate(np.ndindex(6, 6)):
        labels[16 * row : 16 * row + edge, 16 * column : 16 * column + edge] = number + 1
    pixels = 10.0 + bright * (labels > 0) + rng.normal(0, noise, labels.shape)
    return PredictedImage(Image(pixels[..., None].astype(np.float32), ("dna",), 0.5, Path("x.tif")), labels, None)


def candidate(name: str, score: float) -> Candidate:
    return Candidate(name, None, pd.DataFrame({"label": [1]}), score, "why")


def spread(images: dict[str, PredictedImage], count: int) -> list[Candidate]:
    """The first is the most uncertain."""
    candidates = [candidate(name, -i) for i, name in enumerate(images)]
    return spread_over_groups(candidates, np.stack([traits_of(image) for image in images.values()]), count)


@pytest.mark.parametrize("kind", [{"edge": 10}, {"noise": 25.0}, {"bright": 400.0}], ids=lambda kind: next(iter(kind)))
def test_kinds_of_images_are_told_apart(kind):
    usual = {f"usual{i}": squares(i) for i in range(6)}
    other = {f"other{i}": squares(10 + i, **kind) for i in range(3)}
    chosen = spread({**usual, **other}, 2)
    assert [c.name for c in chosen[:2]] == ["usual0", "other0"]
    assert [c.name for c in chosen[2:4]] == ["usual1", "other1"]  # then the second of each
    assert [c.name for c in chosen[-3:]] == ["usual3", "usual4", "usual5"]
    assert chosen[0].why == "why; of a group of 6 that look alike"
    assert chosen[1].why == "why; of a group of 3 that look alike"


def test_more_groups_are_made_where_images_differ_more():
    sizes = {f"size{edge}": squares(0, edge=edge) for edge in (4, 8, 14)}
    usual = {f"usual{i}": squares(i) for i in range(5)}
    assert {c.name for c in spread({**usual, **sizes}, 4)[:4]} == {"usual0", *sizes}
    assert "unlike all others" in spread({**usual, **sizes}, 4)[3].why


def test_images_that_are_the_same_are_one_group():
    chosen = spread({name: squares(0) for name in "abc"}, 2)
    assert [c.name for c in chosen] == ["a", "b", "c"]
    assert spread({"a": squares(0)}, 3)[0].why == "why; unlike all others"


def test_what_cannot_be_measured_is_as_in_most_images():
    blank = squares(0)
    blank.image.pixels[:] = 7
    looks = traits_of(blank)
    assert np.isnan(looks[:4]).all()
    assert np.isfinite(looks[4:]).all()
    empty = traits_of(PredictedImage(blank.image, np.zeros_like(blank.labels), None))
    assert np.isnan(empty).all()
    images = {"blank": blank, "usual": squares(1), "large": squares(2, edge=12)}
    assert [c.name for c in spread(images, 2)] == ["blank", "large", "usual"]  # its cells are those of `usual`
    nothing = spread_over_groups([candidate("a", 1), candidate("b", 0)], np.full((2, 6), np.nan), 2)
    assert [c.name for c in nothing] == ["a", "b"]
