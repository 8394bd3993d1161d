"""Polygons of cells, against shapely and skimage."""

import numpy as np
import pytest
import shapely
from skimage.measure import points_in_poly

from cellflax.io.cell_polygons import cell_polygons, ring_area
from tests.exporting.drawing import hard_cells, random_cells

IMAGES = [hard_cells(), *(random_cells(seed) for seed in range(20))]


def as_shapely(cell) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.Polygon(part[0], part[1:]) for part in cell.parts])


@pytest.mark.parametrize("labels", IMAGES, ids=range(len(IMAGES)))
def test_polygons_are_valid_and_cover_the_pixels_of_their_cell(labels):
    cells = cell_polygons(labels)
    assert [cell.label for cell in cells] == np.unique(labels[labels > 0]).tolist()
    rows, columns = np.indices(labels.shape)
    middles = np.stack([columns.ravel(), rows.ravel()], axis=-1) + 0.5
    for cell in cells:
        area = as_shapely(cell)
        assert area.is_valid, shapely.is_valid_reason(area)
        assert area.area == np.sum(labels == cell.label)
        inside = shapely.contains_xy(area, *middles.T).reshape(labels.shape)
        np.testing.assert_array_equal(inside, labels == cell.label)
        assert [ring_area(ring) > 0 for part in cell.parts for ring in part[:1]] == [True] * len(cell.parts)
        assert all(ring_area(hole) < 0 for part in cell.parts for hole in part[1:])


def test_even_odd_rule_of_the_rings():
    labels = hard_cells()
    rows, columns = np.indices(labels.shape)
    middles = np.stack([columns.ravel(), rows.ravel()], axis=-1) + 0.5
    for cell in cell_polygons(labels):
        crossed = sum(points_in_poly(middles, ring).astype(int) for ring in cell.rings) % 2 == 1
        np.testing.assert_array_equal(crossed.reshape(labels.shape), labels == cell.label)


def test_corners_only_and_hand_drawn():
    labels = np.zeros((5, 6), int)
    labels[1:3, 2:5] = 4
    labels[3, 2] = 4
    (cell,) = cell_polygons(labels)
    ring = [[2, 1], [5, 1], [5, 3], [3, 3], [3, 4], [2, 4]]
    ((found,),) = cell.parts
    assert found.tolist() == ring
    assert cell.largest_ring is found


def test_a_ring_a_pixel_and_nothing():
    ring = np.ones((3, 3), int)
    ring[1, 1] = 0
    (cell,) = cell_polygons(ring)
    ((outer, hole),) = cell.parts
    assert (ring_area(outer), ring_area(hole)) == (9, -1)
    assert [len(part) for cell in cell_polygons(np.eye(3, dtype=int)) for part in cell.parts] == [1, 1, 1]
    assert cell_polygons(np.zeros((4, 4), int)) == []
    assert len(cell_polygons(np.ones((1, 1), np.uint8))) == 1
