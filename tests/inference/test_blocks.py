"""Blocks tile an image, see enough around them, and put each cell into the whole once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import segmentation

from cellflax.inference.blocks import inside, split_blocks
from cellflax.inference.dense import predict_averaged
from cellflax.inference.mosaic import Mosaic
from cellflax.inference.settings import Inference, Tiling
from cellflax.labels import renumber
from cellflax.models import Geometry


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    block=st.integers(20, 120),
    halo=st.integers(0, 30),
    margin=st.integers(0, 20),
    multiple=st.integers(1, 16),
)
def test_blocks_tile_and_see_what_is_around_them(shape, block, halo, margin, multiple):
    blocks = split_blocks(shape, block=block, halo=halo, margin=margin, multiple=multiple)
    count = np.zeros(shape, int)
    for b in blocks:
        count[b.core] += 1
        for axis, size in enumerate(shape):
            core, window, source = b.core[axis], b.window[axis], b.source[axis]
            assert core.stop - core.start <= block
            if size <= block:
                assert core == window == source == slice(0, size)
                continue
            assert (window.start, window.stop) == (max(core.start - halo, 0), min(core.stop + halo, size))
            assert 0 <= source.start <= max(window.start - margin, 0)
            assert min(window.stop + margin, size) <= source.stop <= size
            assert source.start % multiple == 0
            assert (size - source.stop) % multiple == 0
    assert (count == 1).all()
    assert len({tuple(s.stop - s.start for s in b.source) for b in blocks}) == 1
    assert len(blocks) == -(-shape[0] // block) * -(-shape[1] // block)


def pooled_sums(x: np.ndarray) -> np.ndarray:
    """Box sums, to which the place among four pixels (as with poolings) and the direction add something."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))
    y, z = (np.arange(n) % 4 for n in windows.shape[1:3])
    place = 1 + y[:, None] + 5 * z
    return (windows.sum((3, 4, 5)) * place + windows[..., 0, 1].sum(-1))[..., None].astype(np.float32)


@pytest.mark.parametrize("transforms", [1, 8])
@pytest.mark.parametrize("tiling", Tiling)
def test_a_prediction_in_blocks_is_that_of_the_whole(tiling, transforms):
    image = np.random.default_rng(0).normal(size=(230, 171, 1))
    inference = Inference(tiling, tile=64, transforms=transforms, block=100, largest_cell_px=7)
    network = Geometry(border=2, multiple=4)

    def predict(part: np.ndarray) -> np.ndarray:
        return predict_averaged(pooled_sums, part, transforms, network, tile=64, predict=inference.predict)

    whole = predict(image)
    blocks = inference.blocks((230, 171), network)
    assert len(blocks) == 6
    for block in blocks:
        part = predict(image[block.source])[inside(block.window, block.source)]
        np.testing.assert_allclose(part, whole[block.window], rtol=0, atol=1e-3)


def drawn_cells(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A tissue of irregular cells some 7 pixels wide, a third of them missing."""
    rng = np.random.default_rng(seed)
    points = np.zeros(shape, np.int32)
    at = rng.choice(points.size, points.size // 50, replace=False)
    points.ravel()[at] = np.arange(1, len(at) + 1)
    cells = segmentation.watershed(rng.normal(size=shape), points)
    return np.where(cells % 3 > 0, cells, 0)


@pytest.mark.parametrize("seed", range(3))
def test_cells_no_larger_than_the_halo_come_out_as_they_are(seed):
    cells = drawn_cells((130, 170), seed)
    assert max(max(np.ptp(np.nonzero(cells == n), axis=1)) for n in np.unique(cells)[1:]) < 60
    blocks = split_blocks(cells.shape, block=60, halo=60, margin=0, multiple=1)
    mosaic = Mosaic(cells.shape, blocks)
    for index, block in enumerate(blocks):
        given = renumber(cells[block.window])
        added, taken = mosaic.add(index, given)
        assert len(taken) == len(np.unique(added[added > 0]))
        first = added.max(initial=1) - len(taken) + 1
        for number, label in enumerate(taken.tolist(), first):
            np.testing.assert_array_equal(added == number, given == label)
    pairs = np.unique(np.stack([cells.ravel(), mosaic.labels.ravel()]), axis=1)
    assert len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))  # one to one
    assert mosaic.labels.max() == len(pairs[0]) - 1


def test_blocks_that_disagree_count_nothing_twice():
    """Rows 0-9 and 10-19; the second block sees the cell a pixel farther up, or down."""
    blocks = split_blocks((20, 8), block=10, halo=10, margin=0, multiple=1)
    for shift in (-1, 1):
        labels = np.zeros((2, 20, 8), np.int32)
        labels[0, 8:13, 2:6] = labels[1, 8 + shift : 13 + shift, 2:6] = 1
        mosaic = Mosaic((20, 8), blocks)
        assert list(mosaic.add(0, labels[0])[1]) == [1]
        assert len(mosaic.add(1, labels[1])[1]) == 0
        np.testing.assert_array_equal(mosaic.labels, labels[0])


def test_a_cell_that_reaches_a_core_only_for_its_own_block_is_not_lost():
    """The first block sees it end before the second's core, and the second sees it end before the first's."""
    blocks = split_blocks((20, 8), block=10, halo=10, margin=0, multiple=1)
    labels = np.zeros((2, 20, 8), np.int32)
    labels[0, 4:10, 2:6] = labels[1, 10:15, 2:6] = 1
    mosaic = Mosaic((20, 8), blocks)
    mosaic.add(0, labels[0])
    mosaic.add(1, labels[1])
    np.testing.assert_array_equal(mosaic.labels, labels[0] + 2 * labels[1])


def test_a_cell_larger_than_the_halo_comes_in_parts():
    cells = np.zeros((90, 90), np.int32)
    cells[3:9, 5:85] = cells[5:85, 70:80] = 1  # an angle through five of nine blocks
    cells[40:80, 10:60] = 2
    blocks = split_blocks(cells.shape, block=30, halo=5, margin=0, multiple=1)
    mosaic = Mosaic(cells.shape, blocks)
    for index, block in enumerate(blocks):
        mosaic.add(index, renumber(cells[block.window]))
    np.testing.assert_array_equal(mosaic.labels > 0, cells > 0)
    parts = np.unique(np.stack([cells.ravel(), mosaic.labels.ravel()]), axis=1)
    assert len(parts[1]) == len(np.unique(parts[1])) < 12  # no part is of two cells
