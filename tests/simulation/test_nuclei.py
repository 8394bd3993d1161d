"""Simulated nuclei: exact truth, touching and overlapping, debris without a label, one density at every pixel size."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.simulation import NucleiFieldConfig, simulate_nuclei_field
from tests.simulation.simulated_truth import assert_exact_labels, median_area

SMALL = NucleiFieldConfig(height=160, width=128, nuclei_per_mm2=2500.0)


def test_same_seed_gives_the_same_field_bit_for_bit_and_others_differ():
    first, second = simulate_nuclei_field(SMALL, 3), simulate_nuclei_field(SMALL, 3)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.cells, second.cells)
    assert (first.channels, first.image.shape) == (("nuclear",), (160, 128, 1))
    np.testing.assert_array_equal(first.image, first.image.astype(np.uint16))
    assert not np.array_equal(first.cells, simulate_nuclei_field(SMALL, 4).cells)


@pytest.mark.parametrize("pixel_size_um", [0.325, 0.65, 1.3])
def test_labels_are_exact_and_sizes_physical(pixel_size_um):
    field = simulate_nuclei_field(replace(SMALL, pixel_size_um=pixel_size_um, overlap=0.0), 1)
    assert_exact_labels(field.cells, field.nuclei)
    np.testing.assert_array_equal(field.cells, field.nuclei)
    assert median_area(field.cells) * pixel_size_um**2 == pytest.approx(SMALL.nucleus_area_um2, rel=0.35)


def test_nuclei_are_bright_and_overlaps_brighter():
    even = replace(SMALL, illumination_variation=0.0, debris_per_mm2=0.0, mitotic_fraction=0.0, haze=0.0)
    field = simulate_nuclei_field(replace(even, overlap=0.4, touching_fraction=1.0), 2)
    light, labels = field.image[..., 0], field.cells
    assert light[labels > 0].mean() > 4 * light[labels == 0].mean()
    border = (ndimage.maximum_filter(labels, 3) != labels) & (labels > 0) & (ndimage.minimum_filter(labels, 3) > 0)
    apart = simulate_nuclei_field(replace(even, overlap=0.0, touching_fraction=0.0, nuclei_per_mm2=400.0), 2)
    edge = (ndimage.minimum_filter(apart.cells, 3) == 0) & (apart.cells > 0)
    assert border.sum() > 50
    assert light[border].mean() > 1.5 * apart.image[..., 0][edge].mean()


def test_crowding():
    def touching(share: float) -> float:
        config = replace(SMALL, touching_fraction=share, nuclei_per_mm2=1000.0, height=256, width=256)
        labels = simulate_nuclei_field(config, 5).cells
        near = ndimage.maximum_filter(labels, 3)
        return len(np.unique(labels[(labels > 0) & (near != labels)])) / labels.max()

    assert touching(0.95) > touching(0.0) + 0.2


def test_debris_is_no_nucleus():
    """The same nuclei, with bright specks between them that no label covers."""
    clean, dirty = (simulate_nuclei_field(replace(SMALL, debris_per_mm2=n), 6) for n in (0.0, 5000.0))
    np.testing.assert_array_equal(clean.cells, dirty.cells)
    brighter = dirty.image[..., 0] > clean.image[..., 0] + 200
    assert brighter[clean.cells == 0].mean() > 0.005


@pytest.mark.parametrize(("key", "value"), [("overlap", 0.6), ("nucleus_area_um2", 1.0), ("pixel_size_um", 9.0)])
def test_impossible_settings(key, value):
    with pytest.raises(UserError, match=rf"nuclei\.{key} must be in"):
        NucleiFieldConfig(**{key: value})
