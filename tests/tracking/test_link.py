import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.tracking.candidates import find_candidates, sister_pairs
from cellflax.tracking.cells import measure_frame
from cellflax.tracking.link import LengthUnit, LinkConfig, link_frames
from tests.metrics.drawing import random_labels
from tests.tracking.drawing import discs

SHAPE = (60, 120)


def _linked(before, after, config=None, gate_px=24.0, shift=(0, 0)):
    """Pairs of labels."""
    a, b = measure_frame(discs(SHAPE, before)), measure_frame(discs(SHAPE, after))
    pairs = link_frames(a, b, config or LinkConfig(), gate_px, shift)
    return sorted((int(a.label[p]), int(b.label[c])) for p, c in pairs)


def test_cells_go_on_where_they_overlap():
    before = {1: (20, 20, 8), 2: (20, 40, 8), 3: (40, 30, 8)}
    assert _linked(before, {7: (22, 23, 8), 8: (19, 43, 8), 9: (43, 29, 8)}) == [(1, 7), (2, 8), (3, 9)]


def test_nothing_is_linked_beyond_the_gate():
    assert _linked({1: (30, 20, 6)}, {1: (30, 40, 6)}, gate_px=19.0) == []
    assert _linked({1: (30, 20, 6)}, {1: (30, 40, 6)}, gate_px=21.0) == [(1, 1)]


def test_a_shift_of_the_field_moves_the_gate():
    assert _linked({1: (20, 20, 6), 2: (20, 50, 6)}, {5: (26, 80, 6), 6: (26, 110, 6)}, shift=(6, 60)) == [
        (1, 5),
        (2, 6),
    ]


def test_a_cell_divides_beside_one_that_does_not():
    before = {1: (30, 30, 10), 2: (30, 52, 10)}
    after = {1: (30, 22, 7), 2: (30, 37, 7), 3: (30, 53, 10)}
    assert _linked(before, after) == [(1, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    "after",
    [
        {1: (30, 30, 10), 2: (30, 48, 7)},  # the cell is as large as before: the other came from elsewhere
        {1: (30, 29, 9), 2: (30, 45, 3)},  # a speck is no daughter
    ],
)
def test_no_division_where_areas_forbid_it(after):
    assert _linked({1: (30, 30, 10)}, after) == [(1, 1)]


def test_a_death_and_a_birth_on_empty_frames():
    assert _linked({1: (30, 30, 10)}, {}) == []
    assert _linked({}, {1: (30, 30, 10)}) == []


def test_candidates_are_all_pairs_in_the_gate_or_overlapping():
    a, b = measure_frame(random_labels(4, (40, 40), 9)), measure_frame(random_labels(5, (40, 40), 9))
    found = find_candidates(a, b, 9.0, (2, -1))
    distance = np.linalg.norm(a.centroid[:, None] + (2, -1) - b.centroid[None], axis=-1)
    moved = np.zeros_like(a.index)
    moved[2:, :-1] = a.index[:-2, 1:]
    shared = np.array([[np.sum((moved == p + 1) & (b.index == c + 1)) for c in range(len(b))] for p in range(len(a))])
    np.testing.assert_array_equal(found.pair, np.argwhere((distance <= 9) | (shared > 0)))
    np.testing.assert_array_equal(found.pixels, shared[tuple(found.pair.T)])
    np.testing.assert_allclose(np.hypot(*found.step.T), distance[tuple(found.pair.T)])
    rows = np.arange(0, len(found.pair), 2)
    sisters = {(i, j) for i in rows for j in rows if i < j and found.pair[i, 0] == found.pair[j, 0]}
    assert set(zip(*sister_pairs(found, rows), strict=True)) == sisters


def test_units_of_the_gate():
    assert LinkConfig(max_distance=1.5).gate_px(20.0, None) == 30
    assert LinkConfig(max_distance=12, unit=LengthUnit.px).gate_px(20.0, None) == 12
    assert LinkConfig(max_distance=12, unit=LengthUnit.um).gate_px(20.0, 0.5) == 24
    with pytest.raises(UserError, match=r"link.unit=um needs the size of a pixel.*add pixel_size_um="):
        LinkConfig(unit=LengthUnit.um).gate_px(20.0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_distance": 0.0}, "link.max_distance must be above 0, got 0.0"),
        ({"death_cost": -1.0}, "link.death_cost must be above 0"),
        ({"area_weight": -1.0}, "link.area_weight must be 0 or more"),
        ({"overlap_weight": 0.0, "distance_weight": 0.0, "area_weight": 0.0}, "must be above 0"),
        ({"max_division_change": 0.5}, "link.max_division_change must be 1 or more"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        LinkConfig(**options)
