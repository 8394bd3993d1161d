"""Reference types from markers, against drawn images whose brightness is known."""

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.io.images import read_image
from cellflax.measure.markers import MarkerConfig, marker_brightness, marker_types
from cellflax.refine.seeds import NucleiSeedsConfig, nuclei_seeds


def _nuclei() -> np.ndarray:
    """Nuclei 3, 5 and 8, squares of 10 x 10 px with much room."""
    nuclei = np.zeros((60, 100), np.int32)
    for label, x in ((3, 15), (5, 45), (8, 75)):
        nuclei[25:35, x : x + 10] = label
    return nuclei


def test_brightness_is_over_an_uneven_background():
    nuclei = _nuclei()
    ramp = np.tile(np.linspace(200.0, 800.0, 100), (60, 1))
    truth = {3: 50.0, 5: 0.0, 8: 1000.0}
    marker = ramp + sum(value * (nuclei == label) for label, value in truth.items())
    marker += np.random.default_rng(0).normal(0, 5.0, marker.shape)
    marker[5:8] = 1e5  # debris, out of reach of the rings
    brightness, _ = marker_brightness(marker, nuclei, MarkerConfig())
    np.testing.assert_allclose(brightness, list(truth.values()), atol=6)


def test_noise_is_the_standard_deviation_of_the_background():
    nuclei, rng = _nuclei(), np.random.default_rng(1)
    _, noise = marker_brightness(rng.normal(500, 20, nuclei.shape), nuclei, MarkerConfig(ring_px=10))
    assert noise == pytest.approx(20, rel=0.1)


def test_blur_and_other_nuclei_are_left_out_of_the_background():
    nuclei = np.zeros((40, 40), np.int32)
    nuclei[10:20, 10:20], nuclei[10:20, 23:33] = 1, 2
    marker = 100 + 900.0 * (nuclei == 2)
    marker[ndimage.binary_dilation(nuclei == 2, iterations=2) & (nuclei == 0)] = 500
    brightness, _ = marker_brightness(marker, nuclei, MarkerConfig(guard_px=2, ring_px=6))
    np.testing.assert_allclose(brightness, [0, 900])


def test_nucleus_without_a_ring_takes_the_background_of_the_others():
    nuclei = np.zeros((40, 40), np.int32)
    nuclei[10:30, 10:30] = 1
    nuclei[18:22, 18:22] = 2  # enclosed
    marker = 100.0 + 40 * (nuclei == 1) + 70 * (nuclei == 2)
    brightness, _ = marker_brightness(marker, nuclei, MarkerConfig())
    np.testing.assert_allclose(brightness, [40, 70])


def test_no_nucleus():
    brightness, _ = marker_brightness(np.ones((5, 5)), np.zeros((5, 5), np.int32), MarkerConfig())
    assert brightness.shape == (0,)


def test_nuclei_everywhere_leave_no_background():
    with pytest.raises(UserError, match="leave no background"):
        marker_brightness(np.ones((5, 5)), np.ones((5, 5), np.int32), MarkerConfig())


def test_types():
    snr = {
        "a": np.array([100.0, 4.9, 30.0, 10.0, 31.0, -2.0, 0.0]),
        "b": np.array([1.0, -1.0, 11.0, 10.0, 10.0, 6.0, 0.0]),
    }
    expected = ["a", "no_marker", "several_markers", "several_markers", "a", "b", "no_marker"]
    assert list(marker_types(snr, MarkerConfig(min_snr=5, dominance=3))) == expected
    third = {**snr, "c": np.array([50.0, 12.0, 100.0, 31.0, 10.4, 1.9, 20.0])}
    expected = ["several_markers", "several_markers", "c", "c", "several_markers", "b", "c"]
    assert list(marker_types(third, MarkerConfig(min_snr=5, dominance=3))) == expected


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("min_snr", 0.0, "cell_type.min_snr must be above 0, got 0"),
        ("dominance", 0.5, "cell_type.dominance must be 1 or more, got 0.5"),
        ("guard_px", -1, "cell_type.guard_px must be 0 or more, got -1"),
        ("ring_px", 0, "cell_type.ring_px must be 1 or more, got 0"),
    ],
)
def test_ranges(setting, value, message):
    with pytest.raises(UserError, match=message):
        MarkerConfig(**{setting: value})


@pytest.mark.real_data
def test_the_two_markers_of_the_co_culture_exclude_each_other(data_root):
    """Nearly every nucleus shows one marker, whatever the thresholds."""
    folder = data_root / "deepcell/testing_data/MCF10A_3T3/set1"
    dapi, cfp, far_red = (
        read_image(next(folder.glob(pattern))).pixels[..., 0] for pattern in ("*/*DAPI*", "*/*CFP*", "*/*Far-red*")
    )
    nuclei = nuclei_seeds(dapi, NucleiSeedsConfig())
    snr = {}
    for name, marker in (("nih3t3", cfp), ("mcf10a", far_red)):
        brightness, noise = marker_brightness(marker, nuclei, MarkerConfig())
        snr[name] = brightness / noise
    types = marker_types(snr, MarkerConfig())
    count = {name: np.sum(types == name) for name in np.unique(types)}
    assert 300 < len(types) < 350
    assert 80 < count["nih3t3"] < 120
    assert 200 < count["mcf10a"] < 240
    assert count["no_marker"] + count["several_markers"] < 0.03 * len(types)
    other = marker_types(snr, MarkerConfig(min_snr=3, dominance=2))
    assert np.mean(types != other) < 0.01
