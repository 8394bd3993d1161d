"""Cells from distances: those of the cells that the distances were made from."""

import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.refine import check_classes, find_seeds, refine
from cellflax.refine.distances import DistanceLandscape, DistancesConfig
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.targets import DISTANCES, distance_maps
from tests.refine.drawing import CLASSES, disc, probability_of, seeds_at

SHAPE = (60, 90)
NAMES = (*CLASSES, *DISTANCES)


def rods_and_discs() -> np.ndarray:
    """Two discs and two rods that touch, a bent cell, and a disc alone."""
    cells = np.zeros(SHAPE, np.int32)
    cells[disc(SHAPE, 14, 14, 10)] = 1
    cells[disc(SHAPE, 14, 32, 9) & (cells == 0)] = 2
    cells[34:40, 4:60] = 3
    cells[40:46, 10:70] = 4
    cells[disc(SHAPE, 20, 66, 14) & ~disc(SHAPE, 20, 71, 11)] = 5
    cells[disc(SHAPE, 50, 82, 6)] = 6
    return cells


def outputs_of(cells: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """(H, W, 5) what a network that is sure of the cells puts out; the classes do not separate cells."""
    rng = np.random.default_rng(0)
    maps = np.clip(distance_maps(cells) + noise * rng.normal(size=(*cells.shape, 2)), 0, 1)
    return np.concatenate([probability_of(cells > 0), maps.astype(np.float32)], -1)


def assert_same_cells(labels: np.ndarray, cells: np.ndarray, least: float) -> None:
    """One label for each cell, overlapping by a Jaccard index of at least `least`."""
    assert labels.max() == cells.max()
    for label in range(1, cells.max() + 1):
        found = np.bincount(labels[cells == label]).argmax()
        overlap = np.sum((labels == found) & (cells == label)) / np.sum((labels == found) | (cells == label))
        assert overlap >= least, label


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_cells_that_the_classes_cannot_separate(noise):
    cells = rods_and_discs()
    labels = refine(DistancesConfig(), outputs_of(cells, noise), NAMES)
    assert_same_cells(labels, cells, 0.93 if noise else 0.97)
    np.testing.assert_array_equal(labels > 0, cells > 0)
    merged = refine(ThresholdConfig(), outputs_of(cells), NAMES)  # which does not look at them
    assert merged.max() == 4


def test_seeds_from_the_distances_and_the_landscape_from_the_classes():
    """An edge off the middle between the discs: the outline is there, not where the distances meet."""
    cells = rods_and_discs()
    outputs = outputs_of(cells)
    wall = np.zeros(SHAPE, bool)
    wall[:, 26] = (cells > 0)[:, 26] & (np.arange(SHAPE[0]) < 26)
    outputs[wall, 0], outputs[wall, 1] = 0.6, 0.4
    config = DistancesConfig(landscape=DistanceLandscape.classes, interior=0.3)
    labels = refine(config, outputs, NAMES)
    assert labels.max() == 6
    left, right = labels[14, 14], labels[14, 32]
    assert left != right
    assert (labels[:26, :26][cells[:26, :26] == 1] == left).all()
    assert (labels[:26, 27:45][cells[:26, 27:45] > 0] == right).all()


def test_given_nuclei_take_the_place_of_the_seeds():
    cells = rods_and_discs()
    seeds = seeds_at(SHAPE, (14, 14), (37, 12), (37, 52))  # two in one rod; its neighbour has none
    labels = refine(DistancesConfig(), outputs_of(cells), NAMES, seeds)
    assert labels.max() == 3
    assert [labels[14, 14], labels[37, 12], labels[37, 52]] == [1, 2, 3]
    assert labels[50, 82] == 0
    assert find_seeds(DistancesConfig(), outputs_of(cells), NAMES) is None


def test_a_component_without_a_prominent_maximum_is_one_cell_and_small_ones_are_left_out():
    cells = rods_and_discs()
    outputs = outputs_of(cells)
    outputs[..., 3:] = 0.5
    assert refine(DistancesConfig(), outputs, NAMES).max() == 4  # the components of the inside
    assert refine(DistancesConfig(min_area_px=200), outputs_of(cells), NAMES).max() == 5  # without the disc alone


def test_networks_without_distances_are_refused_in_one_line():
    message = r"refine=distances starts from distances, but the network has edge, interior, background; take refine=wat"
    with pytest.raises(UserError, match=message):
        refine(DistancesConfig(), probability_of(rods_and_discs() > 0), CLASSES)
    with pytest.raises(UserError, match="train with target=distances or target=classes_distances"):
        check_classes(DistancesConfig(), CLASSES)
    check_classes(DistancesConfig(), NAMES)


def test_other_refinements_use_the_classes_alone():
    cells = rods_and_discs()
    outputs = outputs_of(cells)
    for config in (WatershedConfig(), ThresholdConfig()):
        np.testing.assert_array_equal(refine(config, outputs, NAMES), refine(config, outputs[..., :3], CLASSES))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interior": 0.0}, r"refine.interior must be in \(0, 1\), got 0.0"),
        ({"seed_depth": 0.0}, r"refine.seed_depth must be in \(0, 1\], got 0.0"),
        ({"seed_smoothing_px": -1.0}, "refine.seed_smoothing_px must be 0 or more, got -1.0"),
        ({"outline_px": -1.0}, "refine.outline_px must be 0 or more, got -1.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        DistancesConfig(**settings)
