import numpy as np
import pytest
from skimage import morphology

from cellflax.errors import UserError
from cellflax.io.images import read_labels
from cellflax.metrics.overlap import accuracy_index, compared_cells, erode_cells
from tests.metrics.drawing import grid, perturbed, random_labels

REFERENCE = grid("""
    11.22
    11.22
    11...
    33333
""")
PREDICTED = grid("""
    55.5.
    55.5.
    ..7..
    77777
""")


def test_hand_drawn_index():
    index = accuracy_index(REFERENCE, PREDICTED, nuclei=grid("1.... ..... ..... ....1"))
    np.testing.assert_array_equal(index.matched_label, [5, 5, 7])
    np.testing.assert_allclose(index.jaccard, [4 / 8, 2 / 8, 5 / 6])
    np.testing.assert_allclose(index.dice, [8 / 12, 4 / 10, 10 / 11])
    np.testing.assert_array_equal(index.in_index, [True, False, True])
    assert index.mean_jaccard == pytest.approx((4 / 8 + 5 / 6) / 2)
    assert index.mean_dice == pytest.approx((8 / 12 + 10 / 11) / 2)


def test_best_overlap_is_by_jaccard_not_by_pixels():
    # Cell 9 covers more of the reference cell, but far more outside it.
    index = accuracy_index(grid("1111.........."), grid("89999999999999"))
    assert index.matched_label == [8]
    assert index.jaccard == pytest.approx([1 / 4])


def transcribed_index(reference, predicted, nuclei, border, erode):
    """The definition, cell by cell, for label images."""
    eroded = np.zeros_like(reference)
    for label in np.unique(reference[reference > 0]):
        cell = reference == label
        eroded[morphology.erosion(cell, morphology.disk(1)) if erode else cell] = label
    inner = slice(border, reference.shape[0] - border), slice(border, reference.shape[1] - border)
    reference, predicted, nuclei = eroded[inner], predicted[inner], nuclei[inner]
    best = {}
    for label in np.unique(reference[reference > 0]):
        cell = reference == label
        if not nuclei[cell].any():
            continue
        ious = [0.0] + [
            (cell & (predicted == other)).sum() / (cell | (predicted == other)).sum()
            for other in np.unique(predicted[predicted > 0])
        ]
        best[label] = max(ious)
    return best


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize(("border", "erode"), [(0, False), (2, True)])
def test_index_equals_its_definition(seed, border, erode):
    reference = random_labels(seed)
    predicted = perturbed(reference, seed)
    nuclei = np.random.default_rng(seed).random(reference.shape) < 0.02
    index = accuracy_index(reference, predicted, nuclei=nuclei, border=border, erode_reference=erode)
    expected = transcribed_index(reference, predicted, nuclei, border, erode)
    np.testing.assert_array_equal(index.reference_label[index.in_index], list(expected))
    np.testing.assert_allclose(index.jaccard[index.in_index], list(expected.values()))


def test_touching_cells_come_apart_and_the_image_border_erodes_nothing():
    np.testing.assert_array_equal(
        erode_cells(grid("1122 1122 1122")),
        grid("1..2 1..2 1..2"),
    )


def test_erosion_of_a_mask_is_that_of_scikit_image():
    mask = random_labels(3, (40, 40), 12) > 0
    np.testing.assert_array_equal(erode_cells(mask), morphology.erosion(mask, morphology.disk(1)))


def test_a_mask_is_eroded_then_cropped_then_split():
    # The two arms are joined by a bridge that lies in the border of 1 pixel.
    mask = grid("11111 11.11 11.11 11.11 11111") > 0
    reference, predicted = compared_cells(mask, mask, border=1)
    np.testing.assert_array_equal(reference, grid("1.2 1.2 1.2"))
    np.testing.assert_array_equal(predicted, grid("1.1 1.1 1.1"))  # found before cropping
    bridge = grid("111.111 1111111 111.111") > 0
    reference, predicted = compared_cells(bridge, bridge, erode_reference=True)
    np.testing.assert_array_equal(reference, grid("11...22 111.222 11...22"))
    assert predicted.max() == 1


def test_more_cells_than_16_bits_hold():
    side = 300
    reference = np.kron(np.arange(1, side * side + 1).reshape(side, side), np.ones((3, 3), np.int64))
    index = accuracy_index(reference, np.roll(reference, 1, axis=0))
    assert index.n_cells == side * side
    np.testing.assert_allclose(index.jaccard, 6 / 12)
    assert accuracy_index(reference, reference * 10**9).mean_jaccard == 1


def test_nothing_predicted_and_nothing_to_score():
    nothing = np.zeros_like(REFERENCE)
    index = accuracy_index(REFERENCE, nothing)
    assert index.mean_jaccard == index.mean_dice == 0
    np.testing.assert_array_equal(index.matched_label, 0)
    assert np.isnan(accuracy_index(nothing, REFERENCE).mean_jaccard)


def test_bad_arrays():
    with pytest.raises(UserError, match="border=2 leaves nothing of a 4 x 5 image"):
        accuracy_index(REFERENCE, PREDICTED, border=2)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("line", "interior", "jaccard", "dice", "n"),
    [
        ("HeLa", "hela_validation_interior.tif", 0.834, 0.907, 28),
        ("3T3", "3T3_validation_interior.tif", 0.761, 0.860, 17),
    ],
)
def test_published_masks_give_table_1(data_root, line, interior, jaccard, dice, n):
    folder = data_root / "deepcell" / "validation_data" / line
    index = accuracy_index(
        read_labels(folder / "Validation" / interior) > 0,
        read_labels(folder / "Masks" / "cytoplasm_mask_0.png") > 0,
        nuclei=read_labels(folder / "Masks" / "nuclear_mask_0.png"),
        border=30,
        erode_reference=True,
    )
    assert index.n_cells == n
    assert index.mean_jaccard == pytest.approx(jaccard, abs=1e-3)
    assert index.mean_dice == pytest.approx(dice, abs=1e-3)
