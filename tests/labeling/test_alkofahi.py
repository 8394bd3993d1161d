import numpy as np
import pytest
from skimage import io

from cellflax.errors import UserError
from cellflax.labeling.alkofahi import AlkofahiConfig, label_two_channels
from cellflax.metrics.score import score_cells
from tests.refine.whole_cells import CENTRES_UM, draw, overlaps

CONFIG = AlkofahiConfig(cell_area_um2=1200, tophat_um=60)


@pytest.mark.parametrize("pixel_size_um", [0.65, 0.325])
def test_drawn_cells_with_bright_and_dim_nuclei(pixel_size_um):
    """On an uneven background, as bright as the dim nuclei at one side."""
    drawing = draw(pixel_size_um)
    slope = np.linspace(0, 400, drawing.cells.shape[1])
    nuclei, cells = label_two_channels(drawing.nuclear + slope, drawing.intensity + slope, CONFIG, pixel_size_um)
    assert nuclei.max() == len(CENTRES_UM)
    assert overlaps(nuclei, drawing.nuclei).min() > 0.75
    assert overlaps(cells, drawing.cells).min() > 0.85
    np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])


def test_a_field_without_nuclei_has_no_cells():
    noise = np.random.default_rng(0).poisson(200, (300, 300))
    nuclei, cells = label_two_channels(noise, noise, CONFIG, 0.65)
    assert nuclei.max() == cells.max() == 0


@pytest.mark.real_data
def test_cell_painting_against_its_published_outlines(data_root):
    """U2OS, DNA and RNA; the outlines are CellProfiler's, with a nucleus for each cell."""
    folder = data_root / "cellpainting"
    dna, rna = (io.imread(folder / f"r01c01f01p01-ch{k}sk1fk1fl1.tiff") for k in (5, 3))
    nuclei, cells = label_two_channels(dna, rna, AlkofahiConfig(), 0.598)
    for found, part, dice in ((nuclei, "nuclei", 0.82), (cells, "cell", 0.87)):
        reference = io.imread(folder / f"JUMP_r01c01f01_{part}_labels.tif").astype(np.int32)
        assert score_cells(reference, found).accuracy.mean_dice > dice


@pytest.mark.parametrize(
    ("nuclear", "cell", "pixel_size_um", "message"),
    [
        (np.ones((8, 8, 2)), np.ones((8, 8, 2)), 0.65, r"must be \(height, width\)"),
        (np.ones((8, 8)), np.ones((8, 9)), 0.65, r"got \(8, 8\), \(8, 9\)"),
        (np.ones((8, 8)), np.full((8, 8), np.nan), 0.65, "NaN or infinite"),
        (np.ones((8, 8)), np.ones((8, 8)), None, r"the pixel size is unknown: add pixel_size_um=\.\.\."),
    ],
)
def test_bad_input(nuclear, cell, pixel_size_um, message):
    with pytest.raises(UserError, match=message):
        label_two_channels(nuclear, cell, CONFIG, pixel_size_um)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tophat_um": 0.0}, r"alkofahi\.tophat_um must be above 0, got 0\.0"),
        ({"outline": 1.0}, r"alkofahi\.outline must be in \(0, 1\), got 1\.0"),
        ({"min_contrast": -1.0}, r"alkofahi\.min_contrast must be 0 or more, got -1\.0"),
        ({"sensitivity": 0.0}, r"alkofahi\.sensitivity must be in"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        AlkofahiConfig(**settings)
