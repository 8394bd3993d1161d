"""What tells right cells from wrong ones, against scikit-image and pixels counted one by one."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from cellflax.measure.sureness import SURENESS, sureness_table
from tests.refine.drawing import disc

CLASSES = ("edge", "interior", "background")
SHAPE = (60, 80)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Five cells: alone, two that touch, one at the border and a line of pixels; and probabilities at random."""
    labels = np.zeros(SHAPE, np.int32)
    labels[disc(SHAPE, 15, 15, 7)] = 9
    labels[disc(SHAPE, 40, 30, 8)] = 2
    labels[disc(SHAPE, 40, 43, 8) & (labels == 0)] = 30
    labels[20:35, 74:] = 5
    labels[55, 10:20] = 7
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(*SHAPE, 3)) + 3 * np.stack([0 * labels, labels > 0, labels == 0], -1)
    probability = np.exp(logits)
    return labels, (probability / probability.sum(-1, keepdims=True)).astype(np.float32)


def test_against_scikit_image_and_single_pixels(drawn):
    labels, probability = drawn
    table = sureness_table(labels, probability, CLASSES)
    assert list(table) == list(SURENESS)
    entropy = -(probability * np.log(probability)).sum(-1) / np.log(3)
    foreground = 1 - probability[..., 2]
    rows, columns = np.indices(SHAPE)
    for row, cell in zip(table.itertuples(), measure.regionprops(labels), strict=True):
        inside = labels == cell.label
        assert row.log_area == pytest.approx(np.log(cell.area))
        # A semi-axis is twice the standard deviation along it; a pixel is a square, not a point.
        shorter, longer = 2 * np.sqrt(np.linalg.eigvalsh(np.cov(cell.coords.T, bias=True) + np.eye(2) / 12))
        assert row.fullness == pytest.approx(cell.area / (np.pi * longer * shorter), rel=1e-6)
        assert row.log_elongation == pytest.approx(np.log(longer / shorter), abs=1e-6)
        assert row.foreground == pytest.approx(foreground[inside].mean(), rel=1e-5)
        assert row.interior == pytest.approx(probability[..., 1][inside].mean(), rel=1e-5)
        assert row.entropy == pytest.approx(entropy[inside].mean(), rel=1e-5)
        assert row.touches_border == (cell.label == 5)
        # Pixels within 2 px (in rows and columns) of another label, one by one.
        rim, contact, core = [], [], []
        for y, x in zip(*np.nonzero(inside), strict=True):
            near = labels[(abs(rows - y) <= 2) & (abs(columns - x) <= 2)]
            if (near != cell.label).any():
                rim.append(foreground[y, x])
                contact.append(bool(((near != cell.label) & (near > 0)).any()))
            else:
                core.append(entropy[y, x])
        ring = ndimage.binary_dilation(inside, np.ones((5, 5))) & (labels == 0)
        assert row.contact == pytest.approx(np.mean(contact))
        assert (row.contact > 0) == (cell.label in (2, 30))
        assert row.edge_contrast == pytest.approx(np.mean(rim) - foreground[ring].mean(), rel=1e-4)
        assert row.core_entropy == pytest.approx(np.mean(core) if core else row.entropy, rel=1e-5)


def test_numbers_of_the_cells_do_not_matter(drawn):
    labels, probability = drawn
    table = sureness_table(labels, probability, CLASSES)
    other = np.zeros(31, np.int32)
    other[[2, 5, 7, 9, 30]] = [50, 40, 30, 20, 10]
    again = sureness_table(other[labels], probability, CLASSES).iloc[::-1].reset_index(drop=True)
    np.testing.assert_allclose(again, table, rtol=1e-9)


def test_a_window_within_an_image(drawn):
    labels, probability = drawn
    inside = sureness_table(labels, probability, CLASSES, at_border=(True, True, True, False))
    assert not inside["touches_border"].any()


def test_everything_is_cell():
    """No background, no other cell: what cannot be measured is unknown."""
    labels, probability = np.ones((8, 8), np.int32), np.full((8, 8, 2), 0.5, np.float32)
    (row,) = sureness_table(labels, probability, ("interior", "background"), np.array([0.25])).itertuples()
    assert np.isnan(row.edge_contrast)
    assert (row.entropy, row.contact, row.uncertainty) == (pytest.approx(1), 0, 0.25)


def test_no_cell(drawn):
    table = sureness_table(np.zeros(SHAPE, np.int32), drawn[1], CLASSES)
    assert list(table) == list(SURENESS)
    assert len(table) == 0


def test_independent_outputs():
    """Nucleus and cytoplasm may sum to more than 1; a pixel that both are sure of has the entropy of a half each."""
    labels = np.pad(np.ones((6, 6), np.int32), 3)
    probability = np.zeros((12, 12, 3), np.float32)
    probability[..., 2] = labels == 0
    probability[labels > 0, :2] = 1
    (row,) = sureness_table(labels, probability, ("nucleus", "cytoplasm", "background")).itertuples()
    assert row.interior == row.foreground == row.edge_contrast == 1
    assert row.entropy == pytest.approx(np.log(2) / np.log(3))
