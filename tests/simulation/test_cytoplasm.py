"""Simulated single-channel cells: exact truth, bright cytoplasm with darker nuclei, one specimen at two pixel sizes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.simulation import CytoplasmFieldConfig, CytoplasmStain, Treatment, simulate_cytoplasm_field
from cellflax.simulation.cytoplasm import _majority
from tests.simulation.simulated_truth import assert_exact_labels, median_area

SMALL = CytoplasmFieldConfig(height=160, width=128)


def test_same_seed_gives_the_same_field_bit_for_bit_and_others_differ():
    first, second = simulate_cytoplasm_field(SMALL, 3), simulate_cytoplasm_field(SMALL, 3)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.cells, second.cells)
    np.testing.assert_array_equal(first.nuclei, second.nuclei)
    assert first.channels == ("cytoplasm", "nuclear")
    np.testing.assert_array_equal(first.image, first.image.astype(np.uint16))
    assert not np.array_equal(first.cells, simulate_cytoplasm_field(SMALL, 4).cells)


@pytest.mark.parametrize("pixel_size_um", [0.325, 0.65, 0.975])
def test_labels_are_exact(pixel_size_um):
    config = replace(SMALL, pixel_size_um=pixel_size_um, mitotic_fraction=0.2)
    field = simulate_cytoplasm_field(config, 1)
    assert field.pixel_size_um == pixel_size_um
    assert field.image.shape == (160, 128, 2)
    assert_exact_labels(field.cells, field.nuclei)


def test_one_specimen_at_two_pixel_sizes():
    """10x and 20x of the same seed and extent: the same cells, borders within a pixel, the same light."""
    coarse = simulate_cytoplasm_field(replace(SMALL, illumination_variation=0.0), 6)
    fine = simulate_cytoplasm_field(
        replace(SMALL, height=320, width=256, pixel_size_um=0.325, illumination_variation=0.0), 6
    )
    for at_10x, at_20x in ((coarse.cells, fine.cells), (coarse.nuclei, fine.nuclei)):
        enlarged = np.kron(at_10x, np.ones((2, 2), np.int32))
        core = ndimage.distance_transform_edt(at_20x > 0) > 2.0
        core &= ~ndimage.morphological_gradient(at_20x, size=(5, 5)).astype(bool)
        pairs = np.unique(np.stack([enlarged[core], at_20x[core]]), axis=1)
        partner = dict(pairs.T)
        assert len(partner) == pairs.shape[1] > 5  # within a pixel of the borders, all pixels of a cell agree
        assert len(set(partner.values())) == len(partner)
        assert 0 not in partner
    binned = fine.image[..., 0].reshape(160, 2, 128, 2).mean(axis=(1, 3))
    difference = coarse.image[..., 0] - binned
    assert abs(difference.mean()) < 0.01 * binned.mean()
    # What is left is noise: gain 2, offset 100, and four pixels averaged on one side.
    electrons = (binned - 100.0) / 2.0
    assert difference.var() == pytest.approx(4.0 * 1.25 * (electrons.mean() + 16.0), rel=0.1)


@pytest.mark.parametrize("stain", CytoplasmStain)
def test_nuclei_are_darker_than_the_cytoplasm_around_them(stain):
    field = simulate_cytoplasm_field(replace(SMALL, stain=stain, width=160, mitotic_fraction=0.0), 2)
    stained = field.image[..., 0] - 100.0
    around = (ndimage.distance_transform_edt(field.nuclei == 0) < 5) & (field.nuclei == 0) & (field.cells > 0)
    labels = np.intersect1d(field.nuclei[field.nuclei > 0], field.cells[around])
    ratio = ndimage.median(stained, field.nuclei, labels) / ndimage.mean(stained, field.cells * around, labels)
    assert np.median(ratio) < (0.55 if stain in (CytoplasmStain.reticulum, CytoplasmStain.mitochondria) else 0.92)
    background = ndimage.distance_transform_edt(field.cells == 0) > 10
    assert np.median(stained[around]) > 4 * np.median(stained[background])


def test_stain_and_exposure_do_not_change_the_cells():
    other = replace(SMALL, stain=CytoplasmStain.mitochondria, cytoplasm_electrons=300.0, illumination_variation=0.5)
    first, second = simulate_cytoplasm_field(SMALL, 5), simulate_cytoplasm_field(other, 5)
    np.testing.assert_array_equal(first.cells, second.cells)
    np.testing.assert_array_equal(first.nuclei, second.nuclei)


def test_treatments_change_density_and_shape():
    def count_and_area(treatment):
        field = simulate_cytoplasm_field(replace(SMALL, height=256, width=256, treatment=treatment), 1)
        return field.cells.max(), median_area(field.nuclei)

    n_control, area_control = count_and_area(Treatment.control)
    n_toxic, area_toxic = count_and_area(Treatment.cytotoxic)
    n_spread, area_spread = count_and_area(Treatment.spreading)
    assert n_toxic < 0.7 * n_control
    assert area_toxic < 0.8 * area_control
    assert n_spread < 0.9 * n_control
    assert area_spread > 1.3 * area_control


def test_majority_of_the_grid_points_in_a_pixel():
    grid = np.array([[1, 1, 2, 0], [1, 3, 0, 0], [5, 6, 7, 7], [6, 6, 0, 7]])
    np.testing.assert_array_equal(_majority(grid, 2), [[1, 0], [6, 7]])
    np.testing.assert_array_equal(_majority(grid, 1), grid)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10}, r"data.cytoplasm.width must be in \[32, 4096\], got 10"),
        ({"pixel_size_um": 0.5}, r"data.cytoplasm.pixel_size_um must be one of 0.325, 0.65, 0.975, 1.3, got 0.5"),
        ({"max_aspect": 9.0}, r"data.cytoplasm.max_aspect must be in .* got 9.0"),
        ({"mitotic_fraction": -0.1}, r"data.cytoplasm.mitotic_fraction must be in \[0, 1\], got -0.1"),
        ({"numerical_aperture": float("nan")}, r"data.cytoplasm.numerical_aperture .* got nan"),
        ({"cytoplasm_electrons": 0.0}, r"data.cytoplasm.cytoplasm_electrons .* got 0.0"),
    ],
)
def test_bad_config(change, message):
    with pytest.raises(UserError, match=message):
        CytoplasmFieldConfig(**change)
