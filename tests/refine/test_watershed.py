import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import segmentation

from cellflax.errors import UserError
from cellflax.refine import refine
from cellflax.refine.flood import Landscape
from cellflax.refine.seeds import NucleiSeedsConfig, nuclei_seeds
from cellflax.refine.watershed import WatershedConfig
from tests.refine.drawing import CLASSES, disc, n_components, probability_of, random_probability, seeds_at
from tests.refine.published import PublishedField

SHAPE = (40, 60)
LEFT, RIGHT = disc(SHAPE, 20, 20, 11), disc(SHAPE, 20, 40, 11)  # they meet at column 30


def touching() -> np.ndarray:
    """Interior probability of two touching discs, falling from their centres to the seam."""
    rows, columns = np.indices(SHAPE)
    from_centre = np.minimum(np.hypot(rows - 20, columns - 20), np.hypot(rows - 20, columns - 40))
    return np.where(LEFT | RIGHT, 1 - 0.03 * from_centre, 0)


@pytest.mark.parametrize("landscape", Landscape)
@pytest.mark.parametrize("seeds", [seeds_at(SHAPE, (20, 20), (20, 40)), None])
def test_touching_discs_are_split_at_the_seam(landscape, seeds):
    # Three pixels of saddle are too shallow for the default depth of the watershed's own seeds.
    config = WatershedConfig(landscape=landscape, seed_smoothing_px=1, seed_depth=0.1)
    labels = refine(config, probability_of(touching()), CLASSES, seeds)
    away_from_seam = np.abs(np.arange(60) - 30) > 0
    expected = np.where(LEFT | RIGHT, np.where(np.arange(60) < 30, 1, 2)[None, :], 0)
    np.testing.assert_array_equal(labels[:, away_from_seam], expected[:, away_from_seam])
    assert np.all((labels > 0) == (LEFT | RIGHT))


def test_the_edge_class_separates_where_the_interior_is_level():
    """A wall of edges off the middle: only the landscape with edges finds it."""
    interior = np.where(LEFT | RIGHT, 0.5, 0.0)
    wall = np.zeros(SHAPE)
    wall[:, 26] = 0.5
    wall *= LEFT | RIGHT
    probability, seeds = probability_of(interior, wall), seeds_at(SHAPE, (20, 20), (20, 40))
    labels = refine(WatershedConfig(), probability, CLASSES, seeds)
    assert np.all(labels[:, :26][LEFT[:, :26]] == 1)
    assert np.all(labels[:, 27:][(LEFT | RIGHT)[:, 27:]] == 2)
    level = refine(WatershedConfig(landscape=Landscape.interior), probability_of(interior, wall), CLASSES, seeds)
    assert np.any(level[:, 27:30] == 1)


def test_equals_a_plain_watershed():
    rng = np.random.default_rng(1)
    probability = random_probability(rng, SHAPE, 2)
    inside = probability[..., 1] > 0.4
    at = rng.choice(np.flatnonzero(inside), 12, replace=False)
    seeds = np.zeros(SHAPE, np.int32)
    seeds.ravel()[np.sort(at)] = np.arange(1, 13)
    config = WatershedConfig(landscape=Landscape.interior, fill_holes=False)
    expected = segmentation.watershed(-probability[..., 1], seeds, mask=inside)
    np.testing.assert_array_equal(refine(config, probability, CLASSES, seeds), expected)


def test_seeds_keep_their_order_and_those_outside_are_left_out():
    """Seed 2 lies in the background; label 7 follows label 4, though it is first in reading order."""
    seeds = np.zeros(SHAPE, np.int32)
    seeds[disc(SHAPE, 20, 20, 3)], seeds[disc(SHAPE, 35, 30, 2)], seeds[disc(SHAPE, 20, 40, 3)] = 7, 2, 4
    labels = refine(WatershedConfig(), probability_of(touching()), CLASSES, seeds)
    assert labels[20, 40] == 1
    assert labels[20, 20] == 2
    assert labels.max() == 2
    assert labels[35, 30] == 0


def test_a_seed_needs_its_share_inside_and_then_counts_whole():
    seeds = seeds_at(SHAPE, (20, 10))  # half of it beyond the left disc, which begins at column 9
    probability = probability_of(touching())
    share = np.mean(LEFT[seeds > 0])
    assert 0.4 < share < 0.9
    labels = refine(WatershedConfig(seed_overlap=share), probability, CLASSES, seeds)
    assert np.all(labels[seeds > 0] == 1)
    assert refine(WatershedConfig(seed_overlap=share + 0.01), probability, CLASSES, seeds).max() == 0


def test_a_seed_in_pieces_counts_as_its_largest():
    seeds = seeds_at(SHAPE, (20, 20))
    seeds[20, 40] = 1
    labels = refine(WatershedConfig(), probability_of(np.where(touching() > 0.75, 1, 0)), CLASSES, seeds)
    assert labels[20, 20] == 1
    assert labels[20, 40] == 0


def test_components_without_a_seed():
    seeds = seeds_at(SHAPE, (10, 10))
    first, second = disc(SHAPE, 10, 10, 6), disc(SHAPE, 28, 45, 8)
    for config, expected in (
        (WatershedConfig(), first),
        (WatershedConfig(keep_unseeded=True), first + 2 * second),
        (WatershedConfig(keep_unseeded=True, min_area_px=1000), first),  # a seeded cell may be small
    ):
        labels = refine(config, probability_of(first | second), CLASSES, seeds)
        np.testing.assert_array_equal(labels, expected)


def test_without_seeds_a_faint_small_cell_is_not_lost():
    """Smoothed, it stands out by less than seed_depth; it is a component of its own all the same."""
    interior = disc(SHAPE, 20, 20, 10) + 0.45 * disc(SHAPE, 20, 50, 3)
    labels = refine(WatershedConfig(min_area_px=5), probability_of(interior), CLASSES)
    np.testing.assert_array_equal(labels, disc(SHAPE, 20, 20, 10) + 2 * disc(SHAPE, 20, 50, 3))


def test_the_gap_inside_a_ring_of_cells_is_not_a_hole():
    ring = disc(SHAPE, 20, 30, 15) & ~disc(SHAPE, 20, 30, 6)
    two = refine(WatershedConfig(), probability_of(ring), CLASSES, seeds_at(SHAPE, (20, 20), (20, 40)))
    assert two[20, 30] == 0
    one = refine(WatershedConfig(), probability_of(ring), CLASSES, seeds_at(SHAPE, (20, 20)))
    assert one[20, 30] == 1


@pytest.mark.parametrize("seeds", [None, np.zeros(SHAPE, np.int32)])
def test_nothing_gives_no_cells(seeds):
    labels = refine(WatershedConfig(), probability_of(np.zeros(SHAPE)), CLASSES, seeds)
    assert labels.shape == SHAPE
    assert labels.dtype == np.int32
    assert labels.max() == 0
    if seeds is not None:
        assert refine(WatershedConfig(), probability_of(touching()), CLASSES, seeds).max() == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grain=st.floats(0.5, 4),
    n_seeds=st.none() | st.integers(0, 8),
    expand_px=st.integers(0, 3),
    outline_px=st.sampled_from([0.0, 1.0, 3.0]),
    keep_unseeded=st.booleans(),
)
def test_cells_are_connected_numbered_and_hold_their_seed(seed, grain, n_seeds, expand_px, outline_px, keep_unseeded):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    probability = random_probability(rng, shape, grain)
    config = WatershedConfig(
        min_area_px=int(rng.integers(0, 20)), expand_px=expand_px, outline_px=outline_px, keep_unseeded=keep_unseeded
    )
    seeds = None
    if n_seeds is not None:
        seeds = np.zeros(shape, np.int32)
        for label in range(1, n_seeds + 1):
            y, x = rng.integers(0, shape)
            seeds[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = label
    labels = refine(config, probability, CLASSES, seeds)
    assert set(np.unique(labels)) - {0} == set(range(1, labels.max() + 1))
    for label in range(1, labels.max() + 1):
        assert n_components(labels == label) == 1
    if seeds is not None:
        inside = probability[..., 1] > config.interior
        whole = [k for k in np.unique(seeds[seeds > 0]) if n_components(seeds == k) == 1]
        found = [labels[seeds == k] for k in whole if np.mean(inside[seeds == k]) >= config.seed_overlap]
        for cell in found:
            assert cell[0] > 0
            assert np.all(cell == cell[0])
        firsts = [cell[0] for cell in found]
        assert firsts == sorted(set(firsts)), "one cell per seed, in the order of the seeds"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interior": 1.0}, r"refine\.interior must be in \(0, 1\), got 1\.0"),
        ({"smoothing_px": -0.5}, r"refine\.smoothing_px must be 0 or more"),
        ({"outline_px": -0.5}, r"refine\.outline_px must be 0 or more"),
        ({"min_area_px": -1}, r"refine\.min_area_px must be 0 or more"),
        ({"expand_px": -1}, r"refine\.expand_px must be 0 or more"),
        ({"seed_overlap": 0.0}, r"refine\.seed_overlap must be in \(0, 1\]"),
        ({"seed_depth": 2.0}, r"refine\.seed_depth must be in \(0, 1\]"),
        ({"seed_smoothing_px": -1.0}, r"refine\.seed_smoothing_px must be 0 or more"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        WatershedConfig(**settings)


GOOD = probability_of(np.zeros(SHAPE))


@pytest.mark.parametrize(
    ("probability", "names", "seeds", "message"),
    [
        (GOOD[..., 0], CLASSES, None, r"must be \(height, width, 3\).*got shape \(40, 60\)"),
        (
            GOOD,
            ("interior", "background"),
            None,
            "for the classes interior, background",
        ),
        (GOOD, ("a", "b", "c"), None, "no class is called interior"),
        (np.full_like(GOOD, np.nan), CLASSES, None, "NaN"),
        (GOOD, CLASSES, np.zeros((60, 40), int), r"the nuclei are \(60, 40\) but the image is \(40, 60\)"),
        (GOOD, CLASSES, np.zeros(SHAPE), "the nuclei must be labels.*float64"),
        (GOOD, CLASSES, np.full(SHAPE, -1), "the nuclei must be labels of 0 or more"),
    ],
)
def test_bad_input(probability, names, seeds, message):
    with pytest.raises(UserError, match=message):
        refine(WatershedConfig(), probability, names, seeds)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("line", "marker", "min_jaccard", "min_dice"),
    [("HeLa", "farred", 0.845, 0.915), ("3T3", "dapi", 0.745, 0.85)],
)
@pytest.mark.parametrize("nuclei", ["published", "found"])
def test_published_probabilities(data_root, line, marker, min_jaccard, min_dice, nuclei):
    """P1's own probabilities; its own masks score 0.834 / 0.907 (HeLa-S3) and 0.761 / 0.860 (NIH-3T3)."""
    field = PublishedField(data_root, line)
    seeds = field.nuclei
    if nuclei == "found":
        seeds = nuclei_seeds(tifffile.imread(field.folder / f"RawImages/{marker}.tif"), NucleiSeedsConfig())
    score = field.index(refine(WatershedConfig(), field.probability("Cytoplasm"), CLASSES, seeds))
    assert score.mean_jaccard >= min_jaccard
    assert score.mean_dice >= min_dice


def test_threads_do_not_disturb_each_other():
    """Every warning is an error here; one that scikit-image gives must be ignored by all threads alike."""
    probability = probability_of(np.tile(touching(), (2, 3)))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        labels = list(pool.map(lambda _: refine(WatershedConfig(seed_smoothing_px=1), probability, CLASSES), range(64)))
    assert all((each == labels[0]).all() for each in labels)
    assert warnings.filters == before
