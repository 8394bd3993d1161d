import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.refine import refine
from cellflax.refine.active_contour import ActiveContourConfig
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from tests.refine.drawing import CLASSES, disc, n_components, probability_of, random_probability, seeds_at
from tests.refine.published import PublishedField
from tests.test_configs import chosen

SHAPE = (40, 60)
LEFT, RIGHT = disc(SHAPE, 20, 18, 11), disc(SHAPE, 20, 42, 11)  # a column of background between them


def test_cells_reach_where_the_probability_ends():
    labels = refine(
        ActiveContourConfig(smoothing=0),
        probability_of(0.9 * (LEFT | RIGHT)),
        CLASSES,
        seeds_at(SHAPE, (20, 18), (20, 42)),
    )
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, LEFT + 2 * RIGHT)


def test_touching_cells_are_divided_along_the_edge_class():
    """One bright block; a wall of edges, off the middle between the nuclei, divides it."""
    block = np.zeros(SHAPE)
    block[10:30, 10:50] = 0.6
    wall = np.zeros(SHAPE)
    wall[10:30, 22] = 0.4
    labels = refine(
        ActiveContourConfig(smoothing=0), probability_of(block, wall), CLASSES, seeds_at(SHAPE, (20, 15), (20, 42))
    )
    expected = np.zeros(SHAPE, int)
    expected[10:30, 10:22], expected[10:30, 23:50] = 1, 2
    np.testing.assert_array_equal(np.delete(labels, 22, 1), np.delete(expected, 22, 1))


@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_iterations_bound_the_reach(iterations):
    nucleus = seeds_at(SHAPE, (20, 18))
    labels = refine(ActiveContourConfig(iterations=iterations, smoothing=0), probability_of(LEFT), CLASSES, nucleus)
    expected = ndimage.binary_dilation(nucleus > 0, iterations=iterations, mask=LEFT) if iterations else nucleus > 0
    np.testing.assert_array_equal(labels > 0, expected)


def test_smoothing_keeps_a_thread_out():
    thread = np.zeros(SHAPE, bool)
    thread[20, 29:50] = True
    probability, nucleus = probability_of(LEFT | thread), seeds_at(SHAPE, (20, 18))
    assert refine(ActiveContourConfig(smoothing=0), probability, CLASSES, nucleus)[20, 45] == 1
    assert refine(ActiveContourConfig(smoothing=1), probability, CLASSES, nucleus)[20, 45] == 0


def test_holes_are_filled_on_request():
    ring = LEFT & ~disc(SHAPE, 20, 18, 2)
    nucleus = (ring & disc(SHAPE, 20, 18, 5)).astype(np.int32)
    probability = probability_of(ring)
    filled = refine(ActiveContourConfig(smoothing=0), probability, CLASSES, nucleus)
    np.testing.assert_array_equal(filled, LEFT)
    kept = refine(ActiveContourConfig(smoothing=0, fill_holes=False), probability, CLASSES, nucleus)
    np.testing.assert_array_equal(kept, ring)


def test_cells_are_expanded_on_request():
    config = ActiveContourConfig(smoothing=0, expand_px=1)
    labels = refine(config, probability_of(LEFT), CLASSES, seeds_at(SHAPE, (20, 18)))
    np.testing.assert_array_equal(labels > 0, ndimage.binary_dilation(LEFT))


def test_a_nucleus_outside_all_cells_is_left_out_and_the_order_kept():
    seeds = np.zeros(SHAPE, np.int32)
    seeds[disc(SHAPE, 20, 18, 3)], seeds[disc(SHAPE, 35, 55, 2)], seeds[disc(SHAPE, 20, 42, 3)] = 9, 5, 2
    labels = refine(ActiveContourConfig(smoothing=0), probability_of(0.8 * (LEFT | RIGHT)), CLASSES, seeds)
    np.testing.assert_array_equal(labels, 2 * LEFT + RIGHT)


@pytest.mark.parametrize(
    ("cells", "seeds"),
    [
        (LEFT, np.zeros(SHAPE, np.int32)),
        (LEFT, seeds_at(SHAPE, (20, 50))),  # the contour would enclose the background
        (np.zeros(SHAPE), seeds_at(SHAPE, (20, 18))),
    ],
    ids=["no nuclei", "nuclei only outside", "no cells"],
)
def test_nothing_gives_no_cells(cells, seeds):
    labels = refine(ActiveContourConfig(), probability_of(cells), CLASSES, seeds)
    np.testing.assert_array_equal(labels, np.zeros(SHAPE))
    assert labels.dtype == np.int32


def test_an_image_full_of_cells():
    seeds = np.repeat([[1, 2]], 30, axis=1).repeat(40, axis=0).astype(np.int32)
    labels = refine(ActiveContourConfig(), probability_of(np.ones(SHAPE)), CLASSES, seeds)
    np.testing.assert_array_equal(labels, seeds)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grain=st.floats(0.5, 4),
    n_seeds=st.integers(0, 6),
    iterations=st.integers(0, 30),
    smoothing=st.integers(0, 2),
    expand_px=st.integers(0, 3),
)
def test_cells_are_connected_numbered_and_hold_their_nucleus(seed, grain, n_seeds, iterations, smoothing, expand_px):
    rng = np.random.default_rng(seed)
    probability = random_probability(rng, SHAPE, grain)
    seeds = np.zeros(SHAPE, np.int32)
    for label in range(1, n_seeds + 1):
        seeds[disc(SHAPE, rng.integers(0, 40), rng.integers(0, 60), 2)] = label
    config = ActiveContourConfig(iterations=iterations, smoothing=smoothing, expand_px=expand_px, seed_overlap=0.5)
    labels = refine(config, probability, CLASSES, seeds)
    assert set(np.unique(labels)) - {0} == set(range(1, labels.max() + 1))
    for label in range(1, labels.max() + 1):
        assert n_components(labels == label) == 1
        assert np.any(seeds[labels == label])


def test_nuclei_must_be_given():
    with pytest.raises(UserError, match=r"refine=active_contour starts from nuclei.*refine=watershed"):
        refine(ActiveContourConfig(), probability_of(LEFT), CLASSES)


def test_which_refinements_take_seeds():
    configs = (ThresholdConfig(), WatershedConfig(), ActiveContourConfig())
    assert [config.takes_seeds for config in configs] == [False, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": -1}, r"refine\.iterations must be 0 or more, got -1"),
        ({"smoothing": -1}, r"refine\.smoothing must be 0 or more, got -1"),
        ({"inside_weight": 0.0}, r"refine\.inside_weight must be above 0, got 0\.0"),
        ({"outside_weight": -1.0}, r"refine\.outside_weight must be above 0"),
        ({"smoothing_px": -0.5}, r"refine\.smoothing_px must be 0 or more"),
        ({"seed_overlap": 0.0}, r"refine\.seed_overlap must be in \(0, 1\]"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        ActiveContourConfig(**settings)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("line", "option", "jaccard", "dice"),
    [("HeLa", "hela_cyto", 0.834, 0.907), ("3T3", "nih3t3_cyto", 0.761, 0.860)],
)
@pytest.mark.parametrize("nuclei", ["published", "ours"])
def test_published_probabilities_give_the_published_index(data_root, line, option, jaccard, dice, nuclei):
    """P1's probabilities through our nuclei and contours; its own masks score the expected values (Table 1)."""
    field = PublishedField(data_root, line)
    ours = refine(chosen("refine", "nuclei"), field.probability("Nuclear"), CLASSES)
    seeds = field.nuclei if nuclei == "published" else ours
    score = field.index(refine(chosen("refine", option), field.probability("Cytoplasm"), CLASSES, seeds))
    assert abs(score.mean_jaccard - jaccard) < 0.005
    assert abs(score.mean_dice - dice) < 0.005
