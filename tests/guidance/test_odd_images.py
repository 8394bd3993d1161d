"""Images that are unlike the rest are named with what is odd; images of one kind are not."""

import numpy as np
import pytest
from scipy import ndimage

from cellflax.data.example import Example
from cellflax.guidance.odd_images import differences_of, image_statistics
from tests.guidance.test_guide import field


def examples(count: int = 10) -> list[Example]:
    return [example(f"{seed}", *field(seed)) for seed in range(count)]


def example(name: str, image: np.ndarray, labels: np.ndarray) -> Example:
    return Example(name, image[..., None].astype(np.float32), labels, labels.astype(np.int32))


def odd(given: list[Example], scores: dict[str, float] | None = None) -> dict[str, str]:
    found: dict[str, str] = {}
    for difference in differences_of(image_statistics(given, ["dna"], scores or {}), ["dna"]):
        found[difference.image] = f"{found.get(difference.image, '')} {difference.words}"
    return found


def test_images_of_one_kind():
    assert odd(examples()) == {}


IMAGE, LABELS = field(50)


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        (IMAGE + 2000.0, LABELS, "brighter (median of dna 2"),
        (3.0 * IMAGE, LABELS, "of higher contrast (contrast of dna"),
        (ndimage.gaussian_filter(IMAGE.astype(float), 2), LABELS, "blurred (sharpness of dna"),
        (IMAGE + np.random.default_rng(0).normal(0, 60, IMAGE.shape), LABELS, "noisier (contrast to noise of dna"),
        (IMAGE.max() - IMAGE.astype(float), LABELS, "of brighter background (median of dna within its range 0.9"),
        (*(np.kron(array, np.ones((2, 2))) for array in (IMAGE, LABELS)), "of larger cells (median diameter in px"),
        (IMAGE, np.where(LABELS < 15, 0, LABELS), "sparser (cells per million pixels"),
    ],
)
def test_an_odd_one(image, labels, words):
    found = odd([*examples(), example("odd", image, labels.astype(np.int32))])
    assert set(found) == {"odd"}
    assert words in found["odd"]


def test_a_bad_score():
    scores = {f"{seed}": 0.9 for seed in range(9)} | {"9": 0.5}
    assert odd(examples(), scores) == {"9": " segmented worse (F1 0.5, usually 0.9)"}
    assert odd(examples(), {name: 1.4 - score for name, score in scores.items()}) == {}  # a better one is no fault


def test_few_images_have_no_rest():
    assert odd([*examples(3), example("odd", 3.0 * IMAGE, LABELS)]) == {}
