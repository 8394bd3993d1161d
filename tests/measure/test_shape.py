import numpy as np
import pytest

from cellflax.measure.shape import rod_table


def rod(shape, centre, length, width, angle):
    """(H, W) bool: a rectangle with half discs at its ends, `angle` from the columns."""
    y, x = np.indices(shape) - np.reshape(centre, (2, 1, 1))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.hypot(np.maximum(np.abs(along) - (length - width) / 2, 0), across) <= width / 2


@pytest.mark.parametrize(("length", "width"), [(45, 7), (30, 9), (16, 12)])
def test_length_and_width_of_drawn_rods(length, width):
    rng = np.random.default_rng(0)
    labels = np.zeros((120, 600), np.int32)
    for i in range(20):
        centre = rng.uniform(28, 32, 2) + np.array([60 * (i // 10), 60 * (i % 10)])
        labels[rod(labels.shape, centre, length, width, rng.uniform(0, np.pi))] = 3 * i + 2
    table = rod_table(labels)
    assert list(table["label"]) == [3 * i + 2 for i in range(20)]
    assert table["length_px"].mean() == pytest.approx(length, rel=0.01)
    assert table["width_px"].mean() == pytest.approx(width, rel=0.01)
    assert table["length_px"].std() < 0.25
    assert table["width_px"].std() < 0.25


def test_units_and_the_area_of_pixels():
    labels = np.zeros((9, 9), int)
    labels[2:4, 1:7] = 4
    table = rod_table(labels, pixel_size_um=0.5).iloc[0]
    assert (table["centroid-0_px"], table["centroid-1_px"]) == (2.5, 3.5)
    assert (table["area_px"], table["area_um2"]) == (12, 3)
    assert table["length_um"] == table["length_px"] / 2
    # Of the same area by construction, whatever the shape.
    radius = table["width_px"] / 2
    assert np.pi * radius**2 + 2 * radius * (table["length_px"] - 2 * radius) == pytest.approx(12)


def test_a_single_pixel_and_no_cell():
    labels = np.zeros((3, 3), int)
    assert len(rod_table(labels)) == 0
    labels[1, 1] = 1
    table = rod_table(labels).iloc[0]
    # Rounder than a disc there is nothing; a square is nearly one.
    assert table["length_px"] == pytest.approx(2 / np.sqrt(np.pi), rel=0.1)
    assert table["length_px"] >= table["width_px"]
