"""Measures by which annotated sites are judged."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from cellflax.errors import UserError
from cellflax.labeling.quality import (
    FlagsConfig,
    SiteQuality,
    flag_sites,
    focus_measure,
    measure_quality,
    saturated_share,
)
from cellflax.labeling.result import CELL, NUCLEAR, Labels

NUCLEI = data.binary_blobs(128, blob_size_fraction=0.15, volume_fraction=0.2, rng=0).astype(np.float32)


def test_focus_falls_with_blur_and_with_nothing_else():
    sharp = focus_measure(NUCLEI)
    blurred = [focus_measure(ndimage.gaussian_filter(NUCLEI, sigma)) for sigma in (1, 2, 4)]
    assert sharp > blurred[0] > blurred[1] > blurred[2]
    assert focus_measure(50 * NUCLEI + 1000) == pytest.approx(sharp, rel=1e-6)
    twice_as_many = np.concatenate([NUCLEI, NUCLEI[::-1]])
    assert focus_measure(twice_as_many) == pytest.approx(sharp, rel=0.02)
    noise = np.random.default_rng(0).normal(0, 0.05, NUCLEI.shape)
    assert focus_measure(NUCLEI + noise) == pytest.approx(sharp, rel=0.1)
    assert focus_measure(np.ones((9, 9))) == 0


def test_saturation_is_that_of_the_worst_plane_at_any_limit():
    planes = np.random.default_rng(0).integers(100, 4000, (2, 50, 50)).astype(np.uint16)
    inside = np.zeros((50, 50), bool)
    inside[:10] = True
    assert saturated_share(planes, inside) <= 0.004
    planes[1, :2] = 4095  # 12 bits
    assert saturated_share(planes, inside) == pytest.approx(0.2)
    assert saturated_share(planes, np.zeros_like(inside)) == 0


def test_counts_and_coverage():
    nuclei, cells = np.zeros((2, 10, 10), np.int32)
    nuclei[2, 2], nuclei[7, 7] = 1, 5
    cells[1:4, 1:4], cells[6:9, 6:9] = 1, 5
    stains = {NUCLEAR: np.arange(100).reshape(1, 10, 10), CELL: np.arange(100).reshape(1, 10, 10)}
    quality = measure_quality(stains, Labels(nuclei, cells, {NUCLEAR: stains[NUCLEAR][0]}))
    assert (quality.cells, quality.coverage, quality.saturated) == (2, 0.18, 0)


def test_flags():
    def site(cells=20, saturated=0.0, focus=1.0):
        return SiteQuality(cells, 0.3, saturated, focus)

    sites = [site(), site(cells=4), site(cells=0), site(saturated=0.06), site(focus=0.49), site(focus=0.51), site()]
    found = flag_sites(sites, FlagsConfig())
    assert found == [[], ["too few cells"], ["no cells"], ["saturated"], ["out of focus"], [], []]
    assert flag_sites([site(cells=0, focus=0.0)], FlagsConfig()) == [["no cells"]]


@pytest.mark.parametrize(("key", "value"), [("min_cells", 0), ("max_saturated", 1.1), ("min_focus", -0.1)])
def test_settings_out_of_range(key, value):
    with pytest.raises(UserError, match=rf"flags\.{key} must be .*, got {value}"):
        FlagsConfig(**{key: value})
