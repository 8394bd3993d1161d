"""Distances within cells, on cells drawn by hand, against their definition pixel by pixel."""

import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.ignored import PAINTED, UNDRAWN
from cellflax.targets import DISTANCES, Outputs, distance_maps
from cellflax.targets.distances import ClassesDistancesTarget, DistancesTarget
from tests.refine.drawing import disc

CENTRE, BOUNDARY = 0, 1


def by_definition(cells: np.ndarray, label: int) -> np.ndarray:
    """(H, W), distance of each pixel of a cell to the nearest pixel of another kind in the image, NaN elsewhere."""
    others = np.argwhere(cells != label)
    distance = np.full(cells.shape, np.nan)
    for y, x in np.argwhere(cells == label):
        distance[y, x] = np.hypot(*(others - (y, x)).T).min()
    return distance


def cells_and_gaps() -> np.ndarray:
    """Two discs that touch, one that the border cuts, a crescent and a rod; numbers with gaps."""
    shape = (48, 70)
    cells = np.zeros(shape, np.int32)
    cells[disc(shape, 12, 12, 8)] = 3
    cells[disc(shape, 12, 26, 7) & (cells == 0)] = 9
    cells[disc(shape, 40, 0, 9)] = 4
    cells[disc(shape, 25, 47, 12) & ~disc(shape, 25, 50, 11)] = 20
    cells[40:45, 20:60] = 21
    return cells


def test_the_distance_to_the_outline_is_that_to_the_nearest_pixel_of_another_kind():
    cells = cells_and_gaps()
    maps = distance_maps(cells)
    assert maps.shape == (*cells.shape, len(DISTANCES))
    assert maps.dtype == np.float32
    for label in (3, 9, 4, 20, 21):
        expected = by_definition(cells, label)
        expected /= np.nanmax(expected)
        np.testing.assert_allclose(maps[cells == label, BOUNDARY], expected[cells == label], atol=1e-6)
    np.testing.assert_array_equal(maps[cells == 0], [[1, 0]] * int((cells == 0).sum()))


def test_the_centre_is_one_deep_pixel_of_each_cell_and_distances_to_it_are_straight():
    cells = cells_and_gaps()
    maps = distance_maps(cells)
    for label in (3, 9, 4, 20, 21):
        here = np.argwhere(cells == label)
        values = maps[cells == label]
        (centre,) = here[values[:, CENTRE] == 0]
        assert values[values[:, CENTRE] == 0][0, BOUNDARY] >= 0.9
        away = np.hypot(*(here - centre).T)
        np.testing.assert_allclose(values[:, CENTRE], away / away.max(), atol=1e-6)
    crescent = np.argwhere(cells == 20).mean(axis=0).round().astype(int)
    assert cells[tuple(crescent)] != 20  # where the centroid would be
    (rod,) = np.argwhere((cells == 21) & (maps[..., CENTRE] == 0))
    np.testing.assert_array_equal(rod, (42, 39))  # its middle, although its axis is equally deep from 22 to 57


def test_the_border_of_the_image_is_no_outline():
    """A cell that the border cuts has the distances of the cell that the mirrored image shows."""
    cells = cells_and_gaps()
    mirrored = np.concatenate([cells[:, ::-1], cells], axis=1)  # as NumPy's "symmetric"
    whole, cut = distance_maps(mirrored)[:, cells.shape[1] :], distance_maps(cells)
    np.testing.assert_allclose(whole[cells == 4, BOUNDARY], cut[cells == 4, BOUNDARY], atol=1e-6)
    assert cut[40, 0].tolist() == [0, 1]


def test_a_pixel_alone_is_its_own_centre():
    cells = np.zeros((3, 3), np.int32)
    cells[1, 1] = 2**31 - 1
    assert distance_maps(cells)[1, 1].tolist() == [0, 1]


def test_a_cell_without_an_outline_is_unknown():
    assert np.isnan(distance_maps(np.ones((4, 5), np.int32))).all()


def test_what_is_painted_as_not_annotated_hides_the_distances_of_the_cells_it_touches():
    cells = cells_and_gaps()
    ignored = np.zeros(cells.shape, np.uint8)
    ignored[:, 31:34] = PAINTED  # beside cell 9, over a part of the rod
    maps, whole = distance_maps(cells, ignored), distance_maps(cells)
    assert np.isnan(maps[ignored != 0]).all()
    assert not np.isnan(maps[ignored == 0]).all()
    assert np.isnan(maps[cells == 21]).all()
    for label in (3, 4, 20):
        np.testing.assert_array_equal(maps[cells == label], whole[cells == label])
    assert np.isnan(maps[cells == 9]).all()
    ignored[:] = 0
    ignored[cells == 0] = UNDRAWN  # no cell reaches into what nobody drew
    drawn = distance_maps(cells, ignored)
    assert np.isnan(drawn[cells == 0]).all()
    np.testing.assert_array_equal(drawn[cells > 0], whole[cells > 0])


def test_outputs_are_the_classes_and_then_the_maps():
    both = ClassesDistancesTarget().outputs(("edge", "interior", "background"))
    assert both.names == ("edge", "interior", "background", "centre_distance", "boundary_distance")
    planes = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(both.classes(planes), planes[:, :3])
    np.testing.assert_array_equal(both.maps(planes), planes[:, 3:])
    alone = Outputs(("a", "b"))
    np.testing.assert_array_equal(alone.classes(planes[:, :2]), planes[:, :2])
    assert alone.maps(planes).shape == (2, 0)
    assert DistancesTarget().outputs(both.class_names).class_names == ("interior", "background")


@pytest.mark.parametrize("names", [("nucleus", "cytoplasm", "background"), ("edge", "interior_a", "interior_b")])
def test_classes_that_would_be_lost_are_named(names):
    with pytest.raises(UserError, match="take target=classes_distances") as error:
        DistancesTarget().outputs(names)
    assert names[1] in str(error.value)
