"""The simulated fields: exact truth, reproducible, and images that follow the physics they claim."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.simulation import HelaFieldConfig, PhasePolarity, simulate_hela_field
from cellflax.simulation.camera import Camera, expose
from cellflax.simulation.optics import (
    PhaseOptics,
    fluorescence,
    phase_contrast,
    phase_delay_rad,
    uneven_illumination,
)
from cellflax.simulation.packing import keep_largest_parts, pack_cells, place_nuclei
from cellflax.simulation.shapes import N_ANGLES, Outline, settle_cells, spread_outline
from cellflax.simulation.specimen import depth_um, dome_thickness_um
from tests.simulation.simulated_truth import assert_exact_labels

SMALL = HelaFieldConfig(height=192, width=160)


def circle(radius_um):
    return Outline(np.full(N_ANGLES, float(radius_um)))


def disk(shape, centre, radius):
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) < radius


class TestField:
    def test_same_seed_gives_the_same_field_bit_for_bit(self):
        first, second = simulate_hela_field(SMALL, 3), simulate_hela_field(SMALL, 3)
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.cells, second.cells)
        np.testing.assert_array_equal(first.nuclei, second.nuclei)

    def test_seeds_differ(self):
        first, second = simulate_hela_field(SMALL, 3), simulate_hela_field(SMALL, 4)
        assert np.mean(first.cells > 0) != np.mean(second.cells > 0)
        assert not np.array_equal(first.image, second.image)

    def test_the_microscope_does_not_change_the_cells(self):
        other = replace(SMALL, phase_electrons=500.0, illumination_variation=0.3, index_difference=0.03)
        first, second = simulate_hela_field(SMALL, 5), simulate_hela_field(other, 5)
        np.testing.assert_array_equal(first.cells, second.cells)
        np.testing.assert_array_equal(first.nuclei, second.nuclei)
        assert not np.array_equal(first.image[..., 0], second.image[..., 0])

    @pytest.mark.parametrize("seed", range(4))
    def test_labels_are_exact(self, seed):
        field = simulate_hela_field(replace(SMALL, mitotic_fraction=0.2), seed)
        assert_exact_labels(field.cells, field.nuclei)

    def test_image_holds_camera_counts(self):
        field = simulate_hela_field(SMALL, 0)
        assert field.image.shape == (192, 160, 2)
        assert field.image.dtype == np.float32
        np.testing.assert_array_equal(field.image, field.image.astype(np.uint16))
        assert field.channels == ("phase", "nuclear")

    @pytest.mark.parametrize("seed", range(5))
    def test_the_smallest_field_is_never_empty(self, seed):
        tiny = HelaFieldConfig(height=32, width=32, cells_per_mm2=1.0)
        assert simulate_hela_field(tiny, seed).cells.max() >= 1

    def test_resembles_the_public_hela_images(self):
        """HeLa_joint: median cell 2300-2500 px, nucleus 650 px, about 31 % covered, 4-8 % phase contrast."""
        fields = [simulate_hela_field(HelaFieldConfig(height=384, width=384), seed) for seed in range(3)]
        areas = np.concatenate([np.bincount(f.cells.ravel())[1:] for f in fields])
        assert 1600 < np.median(areas) < 2800
        assert 0.2 < np.mean([f.cells > 0 for f in fields]) < 0.5
        for field in fields:
            phase, nuclear = field.image[..., 0], field.image[..., 1]
            assert np.median(phase) == pytest.approx(13000, rel=0.05)
            assert 0.03 < phase[field.cells > 0].std() / np.median(phase) < 0.12
            assert np.median(nuclear[field.cells == 0]) == pytest.approx(210, rel=0.1)
            assert np.median(nuclear[field.nuclei > 0]) > 3 * np.median(nuclear[field.cells == 0])

    @pytest.mark.parametrize("polarity", PhasePolarity)
    def test_isolated_cells_have_a_halo_of_opposite_sign(self, polarity):
        config = HelaFieldConfig(height=300, width=300, cells_per_mm2=60.0, touching_fraction=0.0, mitotic_fraction=0.0)
        config = replace(config, polarity=polarity, illumination_variation=0.0)
        field = simulate_hela_field(config, 1)
        outside_px = ndimage.distance_transform_edt(field.cells == 0)
        phase = field.image[..., 0]
        background = phase[outside_px > 20].mean()
        halo = phase[(outside_px > 0) & (outside_px <= 3)].mean() / background - 1.0
        inside_px = ndimage.distance_transform_edt(field.cells > 0)
        interior = phase[(inside_px > 1) & (inside_px <= 8)].mean() / background - 1.0
        assert halo * polarity.value > 0.03
        assert interior * polarity.value < -0.02

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"height": 8}, r"data.field.height must be in \[32, 4096\], got 8"),
            ({"width": 100000}, r"data.field.width must be in .* got 100000"),
            ({"pixel_size_um": 0.0}, r"data.field.pixel_size_um must be in .* got 0.0"),
            ({"cells_per_mm2": -5.0}, r"data.field.cells_per_mm2 .* got -5.0"),
            ({"cell_area_um2": 10.0}, r"data.field.cell_area_um2 .* got 10.0"),
            ({"touching_fraction": 1.5}, r"data.field.touching_fraction must be in \[0, 1\], got 1.5"),
            ({"mitotic_fraction": float("nan")}, r"data.field.mitotic_fraction .* got nan"),
            ({"index_difference": 1.33}, r"data.field.index_difference .* got 1.33"),
            ({"illumination_variation": 2.0}, r"data.field.illumination_variation .* got 2.0"),
            ({"phase_electrons": 0.0}, r"data.field.phase_electrons .* got 0.0"),
            ({"nuclear_electrons": 1e9}, r"data.field.nuclear_electrons .* got 1000000000.0"),
            ({"read_noise_electrons": -1.0}, r"data.field.read_noise_electrons .* got -1.0"),
        ],
    )
    def test_bad_config(self, change, message):
        with pytest.raises(UserError, match=message):
            HelaFieldConfig(**change)


class TestOptics:
    def test_nothing_on_the_slide_gives_a_flat_image(self):
        image = phase_contrast(np.zeros((48, 64)), 0.65, PhaseOptics(stray_light=0.3))
        np.testing.assert_allclose(image, 1.0, atol=1e-12)

    @pytest.mark.parametrize("polarity", PhasePolarity)
    def test_weak_grating_follows_zernike(self, polarity):
        """I = 1 - 2 phi / sqrt(T) to first order, where both diffraction orders miss the ring."""
        optics = PhaseOptics(n_source_points=1, ring_transmission=0.25, polarity=polarity)
        period_px, pixel_um = 4, 0.5  # NA of the orders: 0.55 / 2 = 0.275 along y, the source is 0.2 along x
        delay = 1e-4 * np.cos(2 * np.pi * np.arange(64) / period_px)[:, None] * np.ones((1, 64))
        image = phase_contrast(delay, pixel_um, optics)
        np.testing.assert_allclose(image - 1.0, -4.0 * polarity.value * delay, atol=1e-7)

    def test_grating_beyond_the_aperture_is_not_resolved(self):
        delay = 1e-2 * np.cos(np.pi * np.arange(64))[:, None] * np.ones((1, 64))  # NA 0.55 / 0.5 = 1.1
        image = phase_contrast(delay, 0.25, PhaseOptics())
        np.testing.assert_allclose(image, image.mean(), rtol=1e-9)

    def test_a_plate_shades_off_to_the_background(self):
        """Zernike contrast sees edges: the middle of a wide plate is nearer to 1 than its rim."""
        plate_um = 2.0 * disk((256, 256), (128, 128), 80)
        image = phase_contrast(phase_delay_rad(0.01 * plate_um, 0.55), 0.65, PhaseOptics())
        inside_px = ndimage.distance_transform_edt(plate_um > 0)
        rim, middle = image[(inside_px > 0) & (inside_px < 5)].mean(), image[inside_px > 20].mean()
        assert rim < 0.85
        assert middle == pytest.approx(1.0, abs=0.03)

    def test_point_source_has_the_stated_width_and_keeps_its_light(self):
        point = np.zeros((129, 129))
        point[64, 64] = 1.0
        image = fluorescence(point, 0.1, 0.6, 0.45, haze=0.25, haze_sigma_um=0.8)
        y = np.arange(129) - 64
        variance_um2 = np.sum(image * y[:, None] ** 2) * 0.1**2
        assert image.sum() == pytest.approx(1.0, rel=1e-6)
        assert variance_um2 == pytest.approx(0.75 * (0.21 * 0.6 / 0.45) ** 2 + 0.25 * 0.8**2, rel=0.02)

    def test_uneven_illumination_has_mean_one_and_the_stated_range(self):
        lamp = uneven_illumination(np.random.default_rng(0), (100, 60), 0.2)
        assert lamp.mean() == pytest.approx(1.0)
        assert np.ptp(lamp) == pytest.approx(0.2)
        assert np.abs(np.diff(lamp, axis=0)).max() < 0.01


class TestCamera:
    def test_noise_variance_is_linear_in_the_signal(self):
        camera = Camera(gain_counts=2.0, offset_counts=100.0, read_noise_electrons=5.0)
        rng = np.random.default_rng(0)
        for electrons in (50.0, 500.0, 5000.0):
            counts = expose(rng, np.full((400, 400), electrons), camera).astype(float)
            assert counts.mean() == pytest.approx(2.0 * electrons + 100.0, rel=0.002)
            assert counts.var() == pytest.approx(4.0 * (electrons + 25.0), rel=0.02)

    def test_saturates_without_wrapping(self):
        counts = expose(np.random.default_rng(0), np.array([0.0, 1e6]), Camera(1.0, -50.0, 1.0))
        np.testing.assert_array_equal(counts, np.array([0, 65535], np.uint16))


class TestCells:
    def test_spread_outline_has_its_area_and_no_kinks_through_the_centre(self):
        rng = np.random.default_rng(0)
        for n_corners in (4, 5, 7):
            outline = spread_outline(rng, 900.0, aspect=3.0, n_corners=n_corners)
            angle = np.linspace(0, 2 * np.pi, N_ANGLES, endpoint=False)
            x, y = outline.radii_um * np.cos(angle), outline.radii_um * np.sin(angle)
            shoelace = 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
            assert shoelace == pytest.approx(900.0, rel=0.02)
            assert outline.radii_um.min() > 3.0

    def test_cells_settle_apart_and_in_contact(self):
        centres = settle_cells(np.random.default_rng(0), 60, (400.0, 300.0), 100.0, 20.0, touching_fraction=1.0)
        distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 1e9 * np.eye(len(centres))
        assert len(centres) == 60
        assert distances.min() >= 20.0
        assert distances.min(axis=1).max() <= 27.0
        assert np.all((centres >= 0) & (centres < [400.0, 300.0]))
        assert np.all((centres[0] >= 100.0) & (centres[0] < [300.0, 200.0]))

    def test_a_full_field_stops(self):
        assert 1 <= len(settle_cells(np.random.default_rng(0), 1000, (50.0, 50.0), 5.0, 20.0, 0.5)) < 12

    def test_one_cell_is_drawn_where_its_outline_is(self):
        labels = pack_cells([circle(5.0)], np.array([[10.25, 12.0]]), (60, 70), 0.5, adhesion_um=1.0)
        np.testing.assert_array_equal(labels, disk((60, 70), (20.5, 24.0), 10.0))

    def test_equal_cells_share_the_bisector(self):
        centres = np.array([[20.0, 15.0], [20.0, 26.0]])  # the bisector lies at column 20.5
        labels = pack_cells([circle(8.0), circle(8.0)], centres, (41, 42), 1.0, adhesion_um=0.5)
        left, right = disk((41, 42), centres[0], 8.0), disk((41, 42), centres[1], 8.0)
        x = np.indices((41, 42))[1]
        np.testing.assert_array_equal(labels == 1, left & (x < 20.5))
        np.testing.assert_array_equal(labels == 2, right & (x > 20.5))

    @pytest.mark.parametrize(("gap_um", "touch"), [(2.0, True), (8.0, False)])
    def test_narrow_gaps_close(self, gap_um, touch):
        centres = np.array([[20.0, 12.0], [20.0, 28.0 + gap_um]])
        labels = pack_cells([circle(8.0), circle(8.0)], centres, (41, 50), 1.0, adhesion_um=2.0)
        assert (ndimage.label(labels > 0)[1] == 1) == touch

    def test_keeps_the_largest_part_of_each_label(self):
        drawn = np.array([[1, 1, 0, 2, 2], [0, 0, 2, 0, 2], [1, 0, 0, 3, 0]])
        expected = np.array([[1, 1, 0, 2, 2], [0, 0, 0, 0, 2], [0, 0, 0, 3, 0]])
        np.testing.assert_array_equal(keep_largest_parts(drawn), expected)

    def test_nucleus_keeps_clear_of_the_border_and_takes_its_area(self):
        cells = np.zeros((80, 120), np.int32)
        cells[20:60, 20:100] = 1
        cells[64:67, 20:100] = 2  # too narrow for a nucleus of this area
        nuclei = place_nuclei(np.random.default_rng(0), cells, np.array([300.0, 300.0]), 1.0, 4.0)
        assert np.count_nonzero(nuclei == 1) == pytest.approx(300, rel=0.05)
        assert ndimage.distance_transform_edt(cells == 1)[nuclei == 1].min() > 4.0
        assert 0 < np.count_nonzero(nuclei == 2) < 80
        assert np.all(cells[nuclei == 2] == 2)

    def test_dome_rises_from_rim_to_plateau(self):
        labels = disk((61, 61), (30, 30), 25).astype(np.int32)
        thickness = dome_thickness_um(labels, 0.5, np.array([9.0, 4.0]), np.array([9.0, 2.0]), rim_um=0.5)
        assert np.all(thickness[labels == 0] == 0.0)
        assert thickness[30, 30] == pytest.approx(4.0, rel=1e-3)
        assert np.all(np.diff(thickness[30, 6:31]) >= 0.0)
        assert 0.5 <= thickness[30, 6] < 0.8

    def test_depth_counts_from_every_border_of_a_label(self):
        labels = np.array([[1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0]] * 9)
        row = [4.5, 3.5, 2.5, 1.5, 0.5, 0.5, 1.5, 2.5, 1.5, 0.5, 0.0, 0.0]
        np.testing.assert_allclose(depth_um(labels, 2.0)[4], 2.0 * np.array(row))
