"""The validator on a drawn region: its loss by hand, and what it hands to the refinement."""

import numpy as np
import pytest

from cellflax.data.example import IGNORE, Example
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.data.split import whole
from cellflax.losses import Activation
from cellflax.models import Geometry
from cellflax.refine.watershed import WatershedConfig
from cellflax.refine.whole_cell import WholeCellConfig
from cellflax.training.held_out import HeldOut, Validator

CELLS = np.pad(np.kron([[1, 0, 2]], np.ones((20, 20))), 10).astype(np.int32)
ROWS, COLUMNS = np.indices(CELLS.shape)
NUCLEI = np.where((abs(ROWS - 20) < 4) & ((abs(COLUMNS - 20) < 4) | (abs(COLUMNS - 60) < 4)), CELLS, 0)
CLASSES = pixel_classes(Annotation.compartments, CELLS, NUCLEI)


def validator(activation: Activation, refine=None, balance: float = 1.0, seeds=None, **options) -> Validator:
    classes = np.where(np.arange(80) < 2, IGNORE, CLASSES).astype(np.int8)
    image = np.where(CELLS > 0, 5.0, 1.0)[..., None] + 0.1 * np.random.default_rng(1).random((*CELLS.shape, 1))
    example = Example("a", image.astype(np.float32), classes, CELLS, NUCLEI, 0.65)
    region = HeldOut.of(whole(example), image, seeds, Geometry())
    names = Annotation.compartments.class_names
    how = refine or WatershedConfig()
    return Validator((region,), ("rna",), names, activation, how, balance, Geometry(), **options)


def probabilities(seed: int = 0) -> np.ndarray:
    """Independent ones, right more often than not."""
    noise = np.random.default_rng(seed).uniform(0.05, 0.4, (*CELLS.shape, 3))
    return (noise + 0.55 * np.eye(3)[CLASSES]).astype(np.float32)


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_loss_is_the_balanced_cross_entropy_of_normalised_probabilities(balance):
    p = probabilities()
    normalised = p / p.sum(-1, keepdims=True)
    annotated = np.broadcast_to(np.arange(80) >= 2, CELLS.shape)
    surprise = -np.log(np.take_along_axis(normalised, CLASSES[..., None].astype(int), -1)[..., 0])
    means = [surprise[annotated & (k == CLASSES)].mean() for k in range(3)]
    expected = np.mean(means) if balance == 1 else surprise[annotated].mean()
    for activation, given in ((Activation.softmax, normalised), (Activation.sigmoid, p), (Activation.sigmoid, p / 2)):
        metrics, _ = validator(activation, balance=balance).score([given])
        assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert validator(Activation.softmax, balance=balance).score([p])[0]["loss"] != pytest.approx(expected, rel=1e-2)


def test_outputs_of_zero_have_a_finite_loss():
    metrics, _ = validator(Activation.sigmoid).score([np.zeros((*CELLS.shape, 3), np.float32)])
    assert np.isfinite(metrics["loss"])


def test_whole_cells_get_their_intensities_and_pixel_size():
    refine = WholeCellConfig(cell_area_um2=400 * 0.65**2, min_nucleus_um2=10, min_response=0.05)
    metrics, _ = validator(Activation.sigmoid, refine).score([np.eye(3, dtype=np.float32)[CLASSES]])
    assert metrics["jaccard"] > 0.9
    assert metrics["missed"] == 0


@pytest.mark.parametrize(("erode", "expected"), [(False, 1.0), (True, 18 * 18 / 400)])
def test_with_seeds_the_index_is_over_cells_that_hold_one(erode, expected):
    seeds = np.where(NUCLEI == 1, 1, 0).astype(np.int32)
    how = validator(Activation.sigmoid, seeds=seeds, erode_reference=erode)
    metrics, _ = how.score([np.eye(3, dtype=np.float32)[CLASSES]])
    assert metrics["jaccard"] == pytest.approx(expected)
    assert metrics["missed"] == 0.5  # the other cell counts here


def test_no_cell_with_a_seed_is_no_overlap():
    metrics, _ = validator(Activation.sigmoid, seeds=np.zeros_like(NUCLEI)).score(
        [np.eye(3, dtype=np.float32)[CLASSES]]
    )
    assert metrics["jaccard"] == metrics["dice"] == metrics["share_jaccard_0.8"] == 0
