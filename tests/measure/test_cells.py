import numpy as np
import pandas as pd
import pytest
from skimage import measure

from cellflax.errors import UserError
from cellflax.measure.cells import cell_table
from tests.metrics.drawing import random_labels

CHANNELS, CLASSES = ("phase", "nuclear"), ("edge", "interior", "background")


def test_a_hand_drawn_rectangle():
    labels = np.zeros((10, 12), np.int32)
    labels[2:6, 3:9] = 5  # 4 x 6 pixels
    labels[9, 0] = 2
    image = np.zeros((10, 12, 2))
    image[2:6, 3:9, 0] = np.array([1, 3] * 12).reshape(4, 6)
    probability = np.full((10, 12, 3), [0.25, 0.5, 0.25])
    table = cell_table(labels, image, CHANNELS, probability, CLASSES, pixel_size_um=0.5).set_index("label")
    assert list(table.index) == [2, 5]
    cell = table.loc[5]
    assert (cell["centroid-0_px"], cell["centroid-1_px"]) == (3.5, 5.5)
    assert (cell["centroid-0_um"], cell["centroid-1_um"]) == (1.75, 2.75)
    assert (cell["area_px"], cell["area_um2"]) == (24, 6)
    assert (cell["perimeter_px"], cell["perimeter_um"]) == (16, 8)  # through the pixels' centres: 2 (3 + 5)
    # Of the ellipse with the same second moments, which for n points in a row are (n^2 - 1) / 12.
    assert cell["axis_major_length_px"] == pytest.approx(4 * np.sqrt(35 / 12))
    assert cell["axis_minor_length_um"] == pytest.approx(0.5 * 4 * np.sqrt(15 / 12))
    assert cell["eccentricity"] == pytest.approx(np.sqrt(1 - 15 / 35))
    assert cell["solidity"] == 1
    assert abs(cell["orientation_rad"]) == pytest.approx(np.pi / 2)  # along the columns
    assert (cell["intensity_mean_phase"], cell["intensity_std_phase"]) == (2, 1)
    assert cell["intensity_mean_nuclear"] == 0
    assert cell["probability_mean_interior"] == 0.5
    assert not cell["touches_border"]
    assert table.loc[2, "touches_border"]


def test_every_side_of_the_border_counts():
    labels = np.zeros((7, 9), int)
    labels[0, 4], labels[6, 4], labels[3, 0], labels[3, 8], labels[3, 4] = 1, 2, 3, 4, 5
    assert list(cell_table(labels)["touches_border"]) == [True] * 4 + [False]


def test_a_window_is_measured_as_in_its_image():
    labels = np.zeros((20, 24), np.int32)
    labels[5:9, 0:7], labels[10:15, 12:16] = 1, 2
    whole = cell_table(labels)
    part = cell_table(labels[5:, :20], origin=(5, 0), field=(20, 24))
    pd.testing.assert_frame_equal(part, whole)
    assert list(part["touches_border"]) == [True, False]


def test_agrees_with_regionprops():
    labels = random_labels(3, (40, 50), 12)
    rng = np.random.default_rng(0)
    image = rng.normal(30_000, 5, (40, 50, 2)).astype(np.float32)
    table = cell_table(labels, image, CHANNELS, image[..., :1], ("interior",))
    for (_, row), region in zip(table.iterrows(), measure.regionprops(labels, image), strict=True):
        pixels = image[labels == region.label]
        assert row["label"] == region.label
        assert row["area_px"] == region.area
        assert row["solidity"] == region.solidity
        np.testing.assert_allclose(row[["centroid-0_px", "centroid-1_px"]].astype(float), region.centroid)
        np.testing.assert_allclose(
            row[["intensity_mean_phase", "intensity_mean_nuclear"]].astype(float),
            region.intensity_mean,
            rtol=1e-6,
        )
        assert row["intensity_std_nuclear"] == pytest.approx(pixels[:, 1].std(dtype=np.float64))
        assert row["probability_mean_interior"] == row["intensity_mean_phase"]


def test_no_cells_give_the_same_columns_and_types():
    labels = np.zeros((6, 6), np.int32)
    image, probability = np.ones((6, 6, 2)), np.ones((6, 6, 3)) / 3
    empty = cell_table(labels, image, CHANNELS, probability, CLASSES, 0.65)
    labels[2:5, 2:5] = 1
    one = cell_table(labels, image, CHANNELS, probability, CLASSES, 0.65)
    assert len(empty) == 0
    pd.testing.assert_series_equal(empty.dtypes, one.dtypes)


def test_micrometres_only_where_the_pixel_size_is_known():
    assert not [name for name in cell_table(np.ones((3, 3), int)) if "_um" in str(name)]


LABELS = np.ones((4, 5), int)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": np.ones((4, 5))}, r"integer labels \(height, width\), got float64 \(4, 5\)"),
        ({"labels": np.ones((4, 5, 1), int)}, r"got int64 \(4, 5, 1\)"),
        ({"labels": LABELS, "pixel_size_um": 0.0}, "pixel_size_um must be above 0, got 0"),
        (
            {"labels": LABELS, "image": np.ones((5, 4, 1)), "channels": ("phase",)},
            r"the image has shape \(5, 4, 1\), but the cells are \(4, 5\) and the channels are 1 \(phase\)",
        ),
        (
            {"labels": LABELS, "image": np.ones((4, 5, 2)), "channels": ("phase",)},
            r"channels are 1 \(phase\)",
        ),
        (
            {"labels": LABELS, "probability": np.ones((4, 5, 2)), "class_names": CLASSES},
            "the classes are 3",
        ),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(UserError, match=message):
        cell_table(**arguments)
