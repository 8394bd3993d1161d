import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.refine import check_classes, find_seeds, intensity_image, needs_seeds, refine
from cellflax.refine.active_contour import ActiveContourConfig
from cellflax.refine.cell_growth import grow_cells, log_intensity
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.refine.whole_cell import WholeCellConfig, whole_cell_nuclei
from tests.refine.drawing import CLASSES, disc, n_components, probability_of
from tests.refine.whole_cells import CENTRES_UM, COMPARTMENTS, draw, overlaps

FINE, COARSE = 0.325, 0.65
# Of the drawing, half the area of two touching cells included.
CONFIG = WholeCellConfig(cell_area_um2=1200)


def whole_cells(drawing, pixel_size_um, config=CONFIG, seeds=None):
    return refine(
        config,
        drawing.probability,
        COMPARTMENTS,
        seeds,
        intensity=drawing.intensity,
        pixel_size_um=pixel_size_um,
    )


@pytest.mark.parametrize("pixel_size_um", [COARSE, FINE])
def test_drawn_cells_are_found_with_their_outlines(pixel_size_um):
    drawing = draw(pixel_size_um)
    nuclei = find_seeds(CONFIG, drawing.probability, COMPARTMENTS, pixel_size_um)
    cells = whole_cells(drawing, pixel_size_um)
    assert nuclei is not None
    assert nuclei.max() == cells.max() == len(CENTRES_UM)
    assert overlaps(nuclei, drawing.nuclei).min() > 0.9
    assert overlaps(cells, drawing.cells).min() > 0.87


def test_pixels_of_half_the_size_make_the_same_cells():
    coarse, fine = whole_cells(draw(COARSE), COARSE), whole_cells(draw(FINE), FINE)
    enlarged = np.kron(coarse, np.ones((2, 2), np.int32))
    assert overlaps(fine, enlarged).min() > 0.97
    assert overlaps(enlarged, fine).min() > 0.97


def test_nuclei_that_are_known_already():
    """In an order and with numbers of their own, one in two pieces, and one more where the network sees none."""
    drawing = draw(COARSE)
    place = [tuple((centre / COARSE).astype(int)) for centre in CENTRES_UM]
    seeds = np.zeros(drawing.cells.shape, np.int32)
    for number, (y, x) in zip((60, 50, 40, 30, 20), place[:5], strict=True):
        seeds[y - 3 : y + 3, x - 3 : x + 3] = number
    seeds[0, 0] = 60
    seeds[190:, 5:8] = 70
    cells = whole_cells(drawing, COARSE, seeds=seeds)
    assert [cells[y, x] for y, x in place] == [5, 4, 3, 2, 1, 0]
    np.testing.assert_array_equal(cells == 6, seeds == 70)
    assert cells[0, 0] == 0
    assert cells.max() == 6


@pytest.mark.parametrize("seed", range(4))
def test_every_nucleus_has_one_cell_around_it(seed):
    """Whatever the maps look like; cells and nuclei have the same numbers."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(150, 130, 3)), (4, 4, 0))
    logits = np.exp(3 * noise / noise.std())
    probability = (logits / logits.sum(-1, keepdims=True)).astype(np.float32)
    intensity = rng.gamma(2, size=probability.shape[:2])
    nuclei = find_seeds(CONFIG, probability, COMPARTMENTS, COARSE)
    cells = refine(CONFIG, probability, COMPARTMENTS, intensity=intensity, pixel_size_um=COARSE)
    assert nuclei is not None
    assert nuclei.max() > 5
    assert cells.dtype == np.int32
    np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
    assert [n_components(cells == k) for k in range(1, cells.max() + 1)] == [1] * nuclei.max()
    given = refine(CONFIG, probability, COMPARTMENTS, nuclei, intensity=intensity, pixel_size_um=COARSE)
    np.testing.assert_array_equal(given, cells)


@pytest.mark.parametrize(("cell_area_um2", "radius"), [(78, 5), (707, 15), (1963, 25)])
def test_the_expected_area_chooses_the_background(cell_area_um2, radius):
    """A cell of three brightnesses: rings of radius 5, 15 and 25 um."""
    shape = (80, 80)
    image = np.full(shape, 10.0)
    for r, brightness in ((25, 40), (15, 200), (5, 1000)):
        image[disc(shape, 40, 40, r)] = brightness
    config = WholeCellConfig(smoothing_um=0.01, cell_area_um2=cell_area_um2)
    cells = grow_cells(config, disc(shape, 40, 40, 3).astype(np.int32), image, 1.0)
    np.testing.assert_array_equal(cells, disc(shape, 40, 40, radius))


@pytest.mark.parametrize("dark", [(), (1,), (2,), (1, 2)])
def test_cells_meet_where_it_is_darkest_between_them(dark):
    """Also where a nucleus is darker than that."""
    shape = (21, 60)
    intensity = np.full(shape, 100.0)
    intensity[:, 35] = 40
    nuclei = np.zeros(shape, np.int32)
    nuclei[8:13, 5:8], nuclei[8:13, 50:53] = 1, 2
    intensity[np.isin(nuclei, dark) & (nuclei > 0)] = 20
    intensity[0, 0] = 10
    cells = grow_cells(WholeCellConfig(smoothing_um=0.1, cell_area_um2=630), nuclei, intensity, 1.0)
    np.testing.assert_array_equal(np.unique(cells[1:, :35]), 1)
    np.testing.assert_array_equal(np.unique(cells[1:, 36:]), 2)


def test_a_bright_neighbour_does_not_flood_a_cell_around_its_dark_nucleus():
    """Its brightness falls without a dip to that of the other, whose nucleus is dark and blurred."""
    rows, columns = np.indices((41, 110))
    bright, dim = np.hypot(rows - 20, columns - 20), np.hypot(rows - 20, columns - 75)
    dark_nucleus = ndimage.gaussian_filter(1.0 * (dim > 8), 1)
    intensity = 100 + 3000 * np.exp(-((bright / 15) ** 2)) + 300 * np.exp(-((dim / 40) ** 2)) * dark_nucleus
    intensity[0, 0] = 0
    nuclei = (1 * (bright <= 8) + 2 * (dim <= 8)).astype(np.int32)
    cells, flooded = (
        grow_cells(WholeCellConfig(cell_area_um2=2255, nucleus_margin_um=margin), nuclei, intensity, 1.0)
        for margin in (3, 0)
    )
    assert np.mean(cells[:, 65:] == 2) > 0.9
    assert np.mean(cells[:, :35] == 1) > 0.95
    assert np.mean(flooded[:, 65:] == 2) < 0.5


def test_holes_are_filled_on_request():
    shape = (60, 60)
    cell, hole, nucleus = disc(shape, 30, 30, 20), disc(shape, 20, 30, 3), disc(shape, 36, 30, 5).astype(np.int32)
    for fill, expected in ((True, cell), (False, cell & ~hole)):
        config = WholeCellConfig(smoothing_um=0.1, fill_holes=fill)
        np.testing.assert_array_equal(grow_cells(config, nucleus, 1.0 * (cell & ~hole), 1.0), expected)


def test_background_of_the_network_is_no_cell_however_bright():
    drawing = draw(COARSE)
    bright = drawing.cells == 0
    drawing.intensity[:60, 260:] = 5000  # debris
    cells = whole_cells(drawing, COARSE)
    assert np.mean(cells[bright] > 0) < 0.03
    assert cells.max() == len(CENTRES_UM)


def test_log_intensity():
    ramp = np.tile(np.linspace(50, 305, 1000), (10, 1))
    low, high = np.percentile(ramp, [0.1, 99.9])
    expected = np.log(1 + 255 * np.clip((ramp - low) / (high - low), 0, 1)) / np.log(256)
    np.testing.assert_allclose(log_intensity(ramp, 1e-3), expected, atol=1e-5)
    assert not log_intensity(np.full((5, 5), 3), 1.0).any()


def test_no_nuclei_no_cells():
    probability = np.zeros((40, 50, 3), np.float32)
    intensity = np.random.default_rng(0).random((40, 50))
    cells = refine(CONFIG, probability, COMPARTMENTS, intensity=intensity, pixel_size_um=COARSE)
    assert cells.shape == (40, 50)
    assert cells.max() == 0


@pytest.mark.parametrize("config", [WatershedConfig(), ActiveContourConfig(iterations=40)])
def test_other_refinements_take_the_nuclei_of_the_network(config):
    drawing = draw(COARSE)
    cells = refine(config, drawing.probability, COMPARTMENTS)
    assert cells.max() == len(CENTRES_UM)
    assert overlaps(cells, drawing.cells).mean() > 0.8
    np.testing.assert_array_equal(refine(config, drawing.probability, COMPARTMENTS, drawing.nuclei) > 0, cells > 0)


def test_a_threshold_takes_nucleus_and_cytoplasm_as_the_inside():
    """Independent outputs may sum to more than one."""
    drawing = draw(COARSE)
    labels = refine(ThresholdConfig(interior=0.5), drawing.probability, COMPARTMENTS)
    assert labels.max() == len(CENTRES_UM) - 1  # two touch
    sure = np.stack([1.0 * (drawing.nuclei > 0), 1.0 * (drawing.cells > 0), 0 * drawing.cells], -1)
    np.testing.assert_array_equal(refine(ThresholdConfig(0.99), sure, COMPARTMENTS) > 0, drawing.cells > 0)


def test_seeds_of_the_network():
    drawing = draw(COARSE)
    assert find_seeds(ThresholdConfig(), drawing.probability, COMPARTMENTS) is None
    assert find_seeds(WatershedConfig(), probability_of(drawing.cells > 0), CLASSES) is None
    expected = whole_cell_nuclei(CONFIG, drawing.probability[..., 0], COARSE)
    np.testing.assert_array_equal(find_seeds(CONFIG, drawing.probability, COMPARTMENTS, COARSE), expected)
    assert needs_seeds(ActiveContourConfig(), CLASSES)
    assert not needs_seeds(ActiveContourConfig(), COMPARTMENTS)


def test_the_channel_of_whole_cells():
    image = np.random.default_rng(0).random((4, 5, 2))
    channels = ("cytoplasm", "nuclear")
    assert intensity_image(WatershedConfig(), image, channels) is None
    np.testing.assert_array_equal(intensity_image(CONFIG, image, channels), image[..., 0])
    second = WholeCellConfig(intensity_channel="nuclear")
    np.testing.assert_array_equal(intensity_image(second, image, channels), image[..., 1])
    with pytest.raises(UserError, match="intensity_channel=rna is not among the channels cytoplasm, nuclear"):
        intensity_image(WholeCellConfig(intensity_channel="rna"), image, channels)


@pytest.mark.parametrize(
    ("config", "class_names", "message"),
    [
        (CONFIG, CLASSES, "whole_cell starts from the classes nucleus and cytoplasm.*take refine=watershed"),
        (CONFIG, ("interior", "background"), "the network has interior, background; take refine=watershed"),
        (CONFIG, ("nucleus", "background"), "no class is called interior"),
        (ThresholdConfig(), ("edge", "background"), "no class is called interior.*edge, background"),
    ],
)
def test_classes_that_do_not_go_with_a_refinement(config, class_names, message):
    with pytest.raises(UserError, match=message):
        check_classes(config, class_names)
    with pytest.raises(UserError, match=message):
        refine(config, np.zeros((8, 8, len(class_names))), class_names)


def test_what_whole_cells_need():
    drawing = draw(COARSE)
    with pytest.raises(UserError, match=r"the pixel size is unknown: add pixel_size_um=\.\.\."):
        whole_cells(drawing, None)
    with pytest.raises(UserError, match=r"the pixel size is unknown: add pixel_size_um=\.\.\."):
        whole_cells(drawing, None, seeds=drawing.nuclei)
    with pytest.raises(ValueError, match="needs intensity_image"):
        refine(CONFIG, drawing.probability, COMPARTMENTS, pixel_size_um=COARSE)
    drawing.intensity[3, 3] = np.nan
    with pytest.raises(UserError, match="the image holds NaN"):
        whole_cells(drawing, COARSE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing_um": 0.0}, r"refine\.smoothing_um must be above 0, got 0\.0"),
        ({"cell_area_um2": -1.0}, r"refine\.cell_area_um2 must be above 0, got -1\.0"),
        ({"nucleus_margin_um": -1.0}, r"refine\.nucleus_margin_um must be 0 or more, got -1\.0"),
        ({"n_cell_thresholds": 0}, r"refine\.n_cell_thresholds must be 1 or more, got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        WholeCellConfig(**settings)
