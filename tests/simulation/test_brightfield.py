"""Simulated wells in bright field: exact truth, stains that show it, and defocus as the transfer functions say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.simulation import BrightfieldConfig, Well, WellConfig, simulate_brightfield_site
from cellflax.simulation.optics import BrightFieldOptics, bright_field, fluorescence
from tests.simulation.simulated_truth import assert_exact_labels, median_area

SMALL = BrightfieldConfig(height=192, width=160, well1=WellConfig(cells_per_mm2=400.0))
GRATING_UM = 8.0


def grating(amplitude, period_um=GRATING_UM, pixel_um=0.5, size=64):
    return amplitude * np.cos(2 * np.pi * np.arange(size) * pixel_um / period_um) * np.ones((size, 1))


def plane(site, channel):
    return site.image[..., site.channels.index(channel)]


class TestOptics:
    @pytest.mark.parametrize("defocus_um", [-12.0, -4.0, 0.0, 4.0, 12.0])
    def test_weak_gratings_follow_the_transfer_functions(self, defocus_um):
        """Phase: 2 sin(pi lambda z q^2). Absorption: -cos(pi lambda z q^2). Both fade with the condenser's blur."""
        optics = BrightFieldOptics(wavelength_um=0.55, condenser_na=0.1)
        chirp = np.pi * 0.55 * defocus_um / GRATING_UM**2
        fading = np.exp(-2 * (np.pi * 0.5 * defocus_um * 0.1 / GRATING_UM) ** 2)
        none = np.zeros((64, 64))
        phase = bright_field(grating(1e-4), none, defocus_um, 0.5, optics)
        np.testing.assert_allclose(phase - 1.0, 2.0 * np.sin(chirp) * fading * grating(1e-4), atol=3e-7)
        absorption = bright_field(none, grating(1e-4), defocus_um, 0.5, optics)
        np.testing.assert_allclose(absorption - 1.0, -np.cos(chirp) * fading * grating(1e-4), atol=3e-7)

    def test_small_defocus_is_the_transport_of_intensity(self):
        """I = 1 - z lambda / (2 pi) laplacian(phase): a delaying bump focuses the light behind it."""
        y, x = (np.indices((128, 128)) - 64) * 0.25
        radius2, sigma2 = y**2 + x**2, 3.0**2
        bump = 0.05 * np.exp(-radius2 / 2 / sigma2)
        laplacian = bump * (radius2 / sigma2 - 2.0) / sigma2
        image = bright_field(bump, np.zeros_like(bump), 0.5, 0.25, BrightFieldOptics(condenser_na=0.0))
        np.testing.assert_allclose(image - 1.0, -0.5 * 0.55 / (2 * np.pi) * laplacian, atol=2e-6)
        assert image[64, 64] > 1.0004

    def test_gratings_beyond_the_aperture_vanish(self):
        fine = bright_field(grating(1e-3, period_um=1.0), np.zeros((64, 64)), 5.0, 0.5, BrightFieldOptics())
        np.testing.assert_allclose(fine, 1.0, atol=1e-5)

    def test_defocused_fluorescence_spreads_as_the_cone_does(self):
        point = np.zeros((161, 161))
        point[80, 80] = 1.0
        variances_um2 = []
        for defocus_um in (0.0, 6.0, -6.0):
            image = fluorescence(point, 0.1, 0.6, 0.4, haze=0.0, haze_sigma_um=1.0, defocus_um=defocus_um)
            assert image.sum() == pytest.approx(1.0, rel=1e-3)
            variances_um2.append(np.sum(image * (np.arange(161) - 80.0)[:, None] ** 2) * 0.01)
        # A disk of radius r has the variance r^2 / 4 along each axis.
        assert variances_um2[1] - variances_um2[0] == pytest.approx((6.0 * 0.4) ** 2 / 4, rel=0.02)
        assert variances_um2[2] == pytest.approx(variances_um2[1])


class TestSite:
    def test_same_seed_gives_the_same_site_bit_for_bit_and_others_differ(self):
        first, second = (simulate_brightfield_site(SMALL, Well.well1, 3) for _ in range(2))
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.cells, second.cells)
        np.testing.assert_array_equal(first.nuclei, second.nuclei)
        for well, seed in ((Well.well1, 4), (Well.well2, 3)):
            other = simulate_brightfield_site(SMALL, well, seed)
            assert not np.array_equal(first.cells, other.cells)

    def test_channels_are_planes_of_camera_counts(self):
        site = simulate_brightfield_site(replace(SMALL, planes=2), Well.well1, 0)
        assert site.channels == (
            *("brightfield_z0", "brightfield_z1", "nuclear_z0", "nuclear_z1"),
            *("cytoplasm_z0", "cytoplasm_z1"),
        )
        assert site.image.shape == (192, 160, 6)
        np.testing.assert_array_equal(site.image, site.image.astype(np.uint16))

    @pytest.mark.parametrize("well", Well)
    def test_labels_are_exact(self, well):
        site = simulate_brightfield_site(replace(SMALL, mitotic_fraction=0.2), well, 1)
        assert_exact_labels(site.cells, site.nuclei)

    def test_focus_and_stain_do_not_change_the_cells(self):
        other = replace(SMALL, well1=replace(SMALL.well1, focus_um=5.0, stain_brightness=3.0))
        first, second = (simulate_brightfield_site(config, Well.well1, 5) for config in (SMALL, other))
        np.testing.assert_array_equal(first.cells, second.cells)
        np.testing.assert_array_equal(first.nuclei, second.nuclei)

    def test_contrast_reverses_through_focus(self):
        """Behind the cells they are brighter inside than around their outline, before them darker; halfway faint."""
        still = replace(SMALL, height=320, width=320, illumination_variation=0.0, mitotic_fraction=0.0)
        site = simulate_brightfield_site(replace(still, index_difference=0.01), Well.well1, 2)
        rims = ndimage.distance_transform_edt(site.cells == 0)
        outside = (rims > 0) & (rims <= 2)
        inside = ndimage.distance_transform_edt(site.cells > 0)
        just_inside = (inside > 1) & (inside <= 4)
        before, focus, behind = (
            plane(site, f"brightfield_z{k}")[just_inside].mean() / plane(site, f"brightfield_z{k}")[outside].mean() - 1
            for k in range(3)
        )
        assert before < -0.01
        assert behind > 0.01
        assert abs(focus) < 0.5 * min(-before, behind)

    def test_stains_show_their_labels_and_differ_from_cell_to_cell(self):
        site = simulate_brightfield_site(replace(SMALL, height=320, width=320), Well.well1, 2)
        outside = ndimage.distance_transform_edt(site.cells == 0) > 10
        for channel, labels in (("nuclear_z1", site.nuclei), ("cytoplasm_z1", site.cells)):
            stain = plane(site, channel)
            labels_in = np.unique(labels[labels > 0])
            means = ndimage.mean(stain, labels, labels_in) - stain[outside].mean()
            assert means.min() > 5 * stain[outside].std()
            assert 0.15 < means.std() / means.mean() < 0.8

    def test_wells_differ_as_they_say(self):
        config = replace(SMALL, height=320, width=320)
        sites = {well: simulate_brightfield_site(config, well, 1) for well in (Well.well2, Well.well3)}
        crowded, sparse = sites[Well.well2], sites[Well.well3]
        assert crowded.cells.max() > 2 * sparse.cells.max()
        assert median_area(crowded.nuclei) < 0.75 * median_area(sparse.nuclei)
        stains = [np.median(plane(site, "cytoplasm_z1")[site.cells > 0]) for site in (crowded, sparse)]
        assert stains[0] < 0.7 * stains[1]

    def test_noise_is_that_of_the_photons(self):
        """Two bright-field planes without cells between them differ by shot and read noise alone."""
        empty = replace(SMALL, index_difference=0.0, illumination_variation=0.0, brightfield_electrons=900.0)
        site = simulate_brightfield_site(replace(empty, height=300, width=300), Well.well3, 0)
        outside = ndimage.distance_transform_edt(site.cells == 0) > 20
        difference = (plane(site, "brightfield_z0") - plane(site, "brightfield_z1"))[outside]
        difference = difference[np.abs(difference) < 5 * 3.0 * np.sqrt(2 * 900)]  # without debris
        assert difference.var() == pytest.approx(2 * 3.0**2 * (900.0 + 4.0**2), rel=0.05)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"height": 8}, r"data.brightfield.height must be in \[32, 4096\], got 8"),
            ({"planes": 0}, r"data.brightfield.planes must be in \[1, 15\], got 0"),
            ({"plane_spacing_um": float("nan")}, r"data.brightfield.plane_spacing_um .* got nan"),
            ({"stain_electrons": 1e9}, r"data.brightfield.stain_electrons .* got 1000000000.0"),
            ({"well2": WellConfig(focus_um=90.0)}, r"data.brightfield.well2.focus_um must be in .* got 90.0"),
            ({"well3": WellConfig(cells_per_mm2=0.0)}, r"data.brightfield.well3.cells_per_mm2 .* got 0.0"),
            ({"wells": []}, r"data.brightfield.wells must be one or more different wells, got \[\]"),
            ({"wells": [Well.well1, Well.well1]}, r"different wells, got \['well1', 'well1'\]"),
        ],
    )
    def test_bad_config(self, change, message):
        with pytest.raises(UserError, match=message):
            BrightfieldConfig(**change)
