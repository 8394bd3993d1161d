"""Annotation from stains on drawn cells, with known backgrounds, outlines and depths."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import draw, morphology

from cellflax.errors import UserError
from cellflax.io.images import read_image, read_labels
from cellflax.labeling.cells import CellsConfig, label_cells
from cellflax.labeling.illumination import IlluminationConfig, fit_background, subtract_background
from cellflax.labeling.nuclei import NucleiConfig, label_nuclei, measured_diameter_px
from cellflax.labeling.result import CELL, NUCLEAR
from cellflax.labeling.sadanandan import SadanandanConfig, annotate_sadanandan
from cellflax.metrics.score import score_cells

SIZE = 200
# Row, column, radius and brightness; the second and third overlap.
DISCS = [(40, 40, 16, 100), (100, 60, 15, 100), (100, 86, 15, 100), (150, 150, 14, 60), (40, 150, 16, 200)]


def _truth(grow: int = 0) -> np.ndarray:
    labels = np.zeros((SIZE, SIZE), np.int32)
    for label, (row, column, radius, _) in enumerate(DISCS, 1):
        at = draw.disk((row, column), radius + grow, shape=labels.shape)
        labels[at] = np.where(labels[at] == 0, label, labels[at])
    return labels


def _stain(grow: int = 0, blur: float = 1.0) -> np.ndarray:
    brightness = np.array([0, *(disc[3] for disc in DISCS)], np.float32)
    return ndimage.gaussian_filter(brightness[_truth(grow)], blur)


def _shading() -> np.ndarray:
    """A background that rises fourfold towards one corner."""
    y, x = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j]
    return (50 + 60 * y**2 + 90 * x * y).astype(np.float32)


def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (SIZE, SIZE)).astype(np.float32)


def _matches(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean Dice index of the true cells."""
    return score_cells(truth, found).accuracy.mean_dice


def test_the_background_is_found_beneath_the_cells():
    plane = _shading() + _stain() + _noise()
    found = fit_background(plane, IlluminationConfig())
    assert found.dtype == np.float32
    assert np.abs(found - _shading()).max() < 8
    assert np.abs(found - _shading()).mean() < 1.5
    once = fit_background(plane, IlluminationConfig(iterations=1))  # the cells pull it up
    assert np.abs(once - _shading()).mean() > 3 * np.abs(found - _shading()).mean()


def test_every_plane_has_its_own_background():
    stack = np.stack([_shading(), 3 * _shading()[::-1]])
    corrected, backgrounds = subtract_background(stack, IlluminationConfig())
    np.testing.assert_allclose(backgrounds, stack, rtol=0.03)
    np.testing.assert_allclose(corrected + backgrounds, stack, rtol=1e-5)
    same, none = subtract_background(stack, IlluminationConfig(correct=False))
    np.testing.assert_array_equal(same, stack)
    assert not none.any()


def test_images_smaller_than_the_grid_of_the_fit():
    y, x = np.mgrid[:9, :13]
    np.testing.assert_allclose(fit_background(2.0 * y + x, IlluminationConfig()), 2.0 * y + x, atol=0.3)
    np.testing.assert_allclose(fit_background(np.full((9, 13), 7), IlluminationConfig()), 7, rtol=1e-4)


def test_nuclei_that_touch_and_dim_ones():
    nuclei = label_nuclei(_stain() + _noise(), NucleiConfig())
    assert nuclei.dtype == np.int32
    assert nuclei.max() == len(DISCS)
    assert _matches(nuclei, _truth()) > 0.9


def test_the_diameter_is_that_of_most_of_the_area():
    mask = np.zeros((SIZE, SIZE), bool)
    for row, column in [(30, 30), (30, 100), (100, 30), (100, 100), (30, 170)]:
        mask[draw.disk((row, column), 12)] = True
    mask[170, ::9] = True  # specks
    assert measured_diameter_px(mask) == pytest.approx(24, abs=1.5)
    assert measured_diameter_px(np.zeros((9, 9), bool)) == 0


def test_a_given_diameter_decides_what_is_too_small():
    stain = _stain() + _noise()
    assert label_nuclei(stain, NucleiConfig(diameter_px=150)).max() == 0
    in_um = NucleiConfig(diameter_px=150, diameter_um=15)
    assert label_nuclei(stain, in_um, pixel_size_um=0.5).max() == len(DISCS)
    assert label_nuclei(stain, in_um, pixel_size_um=None).max() == 0


@pytest.mark.parametrize("stain", [_noise(), np.zeros((SIZE, SIZE), np.float32)])
def test_a_dark_stain_has_no_nuclei(stain):
    assert label_nuclei(stain, NucleiConfig()).max() == 0


def test_cells_hold_their_nuclei_and_meet_where_the_stain_is_dimmest():
    stain = np.zeros((40, 80), np.float32)
    stain[10:30, 10:70] = 50
    stain[10:30, 10:44] += 30  # the left cell is brighter, and the valley not in the middle
    stain[10:30, 43:46] = 15
    stain[5:8, 72:76] = 80  # without a nucleus
    nuclei = np.zeros(stain.shape, np.int32)
    nuclei[18:22, 20:24], nuclei[18:22, 60:64] = 1, 2
    nuclei[0:3, 0:3] = 3  # outside all cells
    cells = label_cells(stain, nuclei, CellsConfig(dilation_px=1))
    assert cells.dtype == np.int32
    np.testing.assert_array_equal(cells[10:30, 10:43], 1)
    np.testing.assert_array_equal(cells[10:30, 46:70], 2)
    np.testing.assert_array_equal(cells == 3, nuclei == 3)
    assert not cells[5:8, 72:76].any()


def test_grey_dilation_by_a_disc_of_diameter_5():
    stain = np.zeros((30, 30), np.float32)
    stain[15, 15], stain[15, 16] = 9, 8
    nuclei = np.zeros(stain.shape, np.int32)
    nuclei[15, 15] = 1
    expected = ndimage.binary_dilation(stain > 0, morphology.disk(2))
    np.testing.assert_array_equal(label_cells(stain, nuclei, CellsConfig(dilation_px=5)) > 0, expected)


def test_stains_of_several_shaded_planes():
    def planes(stain: np.ndarray) -> np.ndarray:
        return np.stack([weight * stain + _shading() + _noise(k) for k, weight in enumerate((0.6, 1.2, 1.2))])

    labels = annotate_sadanandan(SadanandanConfig(), {NUCLEAR: planes(_stain()), CELL: planes(_stain(10))})
    assert _matches(labels.nuclei, _truth()) > 0.9
    assert _matches(labels.cells, _truth(10)) > 0.85
    inside = labels.nuclei > 0
    np.testing.assert_array_equal(labels.cells[inside], labels.nuclei[inside])
    assert {name: background.shape for name, background in labels.backgrounds.items()} == {
        NUCLEAR: (3, SIZE, SIZE),
        CELL: (3, SIZE, SIZE),
    }
    alone = annotate_sadanandan(SadanandanConfig(), {NUCLEAR: planes(_stain())})
    np.testing.assert_array_equal(alone.cells, labels.nuclei)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IlluminationConfig(points=3), r"sadanandan\.illumination\.points must be in \[4, 24\], got 3"),
        (lambda: IlluminationConfig(cutoff=0), r"illumination\.cutoff must be above 0"),
        (lambda: IlluminationConfig(iterations=0), r"illumination\.iterations must be 1 or more"),
        (lambda: NucleiConfig(diameter_um=0), r"sadanandan\.nuclei\.diameter_um must be above 0, or null, got 0"),
        (lambda: NucleiConfig(min_area=-1), r"nuclei\.min_area must be 0 or more"),
        (lambda: CellsConfig(dilation_px=4), r"sadanandan\.cells\.dilation_px must be odd and 1 or more, got 4"),
        (lambda: CellsConfig(threshold=0), r"cells\.threshold must be above 0"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.real_data
def test_nuclei_of_public_images(data_root):
    """Some of the DSB 2018 images, nuclei of 8 to 50 px, without any setting."""
    scores = []
    for file in sorted((data_root / "dsb2018/images").glob("*.png"))[::24]:
        stain = read_image(file).pixels[None, ..., 0]
        found = annotate_sadanandan(SadanandanConfig(), {NUCLEAR: stain}).nuclei
        scores.append(score_cells(read_labels(data_root / "dsb2018/labels" / file.name), found))
    assert np.mean([score.matches[0].f1 for score in scores]) > 0.8
