import numpy as np
import pytest
from skimage.segmentation import morphological_chan_vese, morphsnakes

from cellflax.refine import chan_vese as module
from cellflax.refine.chan_vese import chan_vese
from tests.refine.drawing import disc, random_probability

SHAPE = (40, 60)


def by_scikit_image(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray, initial: np.ndarray, iterations: int, **settings: float
) -> np.ndarray:
    """The first call of its function in a process: its alternation of operators continues from call to call."""
    operators = [
        lambda u: morphsnakes.sup_inf(morphsnakes.inf_sup(u)),
        lambda u: morphsnakes.inf_sup(morphsnakes.sup_inf(u)),
    ]
    monkeypatch.setattr(morphsnakes, "_curvop", morphsnakes._fcycle(operators))
    return morphological_chan_vese(image.astype(np.float64), iterations, init_level_set=initial, **settings) > 0


@pytest.mark.parametrize("smoothing", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_image(monkeypatch, seed, smoothing):
    rng = np.random.default_rng(seed)
    image = random_probability(rng, SHAPE, grain=1 + seed)[..., 1]
    initial = np.zeros(SHAPE, bool)
    for _ in range(4):  # also across the border of the image, where differences are one-sided
        initial |= disc(SHAPE, rng.uniform(0, 40), rng.uniform(0, 60), 4)
    for iterations in (0, 1, 2, 7, 40):
        contour = chan_vese(image, initial, iterations, smoothing=smoothing)
        expected = by_scikit_image(monkeypatch, image, initial, iterations, smoothing=smoothing)
        np.testing.assert_array_equal(contour, expected)
        assert contour.dtype == bool
        assert expected.any()


@pytest.mark.parametrize(("inside_weight", "outside_weight"), [(3.0, 1.0), (1.0, 2.5)])
def test_weights_are_those_of_scikit_image(monkeypatch, inside_weight, outside_weight):
    image = random_probability(np.random.default_rng(5), SHAPE, 2)[..., 1]
    initial = disc(SHAPE, 20, 30, 8)
    contour = chan_vese(image, initial, 20, inside_weight=inside_weight, outside_weight=outside_weight)
    expected = by_scikit_image(monkeypatch, image, initial, 20, lambda1=inside_weight, lambda2=outside_weight)
    np.testing.assert_array_equal(contour, expected)
    assert np.any(contour != chan_vese(image, initial, 20))


def test_one_compilation_serves_all_settings():
    image, initial = np.zeros(SHAPE, np.float32), disc(SHAPE, 20, 30, 8)
    chan_vese(image, initial, 1)
    compiled = module._evolve._cache_size()
    chan_vese(image, initial, 40, smoothing=2, inside_weight=2, outside_weight=0.5)
    assert module._evolve._cache_size() == compiled


def test_an_image_and_a_contour_of_different_shapes():
    with pytest.raises(ValueError, match=r"\(40, 60\) and initial \(60, 40\)"):
        chan_vese(np.zeros(SHAPE), np.zeros(SHAPE[::-1], bool), 1)
