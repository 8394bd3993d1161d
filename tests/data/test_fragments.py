import numpy as np

from cellflax.data.fragments import is_fragment, largest_fragment_px


def _field(n_cells):
    """Squares of 100 pixels with a nucleus each, a speck of 4 with none, one of 4 with one, a large piece without."""
    cells, nuclei = np.zeros((30, 12 * (n_cells + 1)), np.int32), np.zeros((30, 12 * (n_cells + 1)), np.int32)
    for i in range(n_cells):
        cells[:10, 12 * i : 12 * i + 10] = 10 * (i + 1)
        nuclei[4:6, 12 * i + 4 : 12 * i + 6] = i + 1
    cells[20:22, :2], cells[20:22, 10:12], cells[24:28, :10] = 3, 7, 500
    nuclei[20, 10] = 99
    return cells, nuclei


def test_a_fragment_is_small_and_without_a_nucleus():
    cells, nuclei = _field(6)
    largest = largest_fragment_px([(cells, nuclei)])
    assert largest == 10
    found = is_fragment(cells, nuclei, largest)
    assert np.unique(cells)[1:][found].tolist() == [3]


def test_nothing_is_known_with_few_nuclei():
    cells, nuclei = _field(3)  # with the speck that holds one, four
    assert largest_fragment_px([(cells, nuclei)]) == 0
    assert largest_fragment_px([]) == 0
    assert not is_fragment(cells, nuclei, 0).any()
    assert largest_fragment_px([(cells, nuclei), (cells, nuclei)]) == 10
