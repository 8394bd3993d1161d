"""What is held out of the images: whole images, or strips of each, and no cell on both sides."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cellflax.data.datasets import load_dataset
from cellflax.data.deepcell import DeepCellData
from cellflax.data.example import EDGE, IGNORE, INTERIOR, Dataset, Example
from cellflax.data.split import CELL_MARGIN_PX, Split, SplitOptions, split_examples
from cellflax.errors import UserError
from tests.data.squares import noise, square_labels


def _cells_on_both_sides(dataset: Dataset, margin_px: int = 0) -> list[tuple[str, int]]:
    """Cells with a pixel, or one within the margin, annotated in training and held out, by brute force."""
    trained = {example.name: example.classes != IGNORE for example in dataset.train}
    both = []
    for region in dataset.validation:
        held_out = np.zeros(region.example.cells.shape, bool)
        held_out[region.slices] = True
        for cell in np.unique(region.example.cells)[1:]:
            pixels = region.example.cells == cell
            reach = ndimage.distance_transform_edt(~pixels) <= margin_px
            if (reach & held_out).any() and (pixels & trained.get(region.example.name, False)).any():
                both.append((region.example.name, int(cell)))
    return both


def _example(name: str = "x") -> Example:
    cells = square_labels().astype(np.int32)
    classes = np.where(cells > 0, INTERIOR, EDGE).astype(np.int8)
    return Example(name, noise(1).transpose(1, 2, 0).astype(np.float32), classes, cells)


def test_split_by_region_holds_out_cells_under_any_scheme():
    example = replace(_example(), classes=np.where(square_labels() > 0, 0, 1).astype(np.int8))
    options = SplitOptions(split=Split.region, validation_fraction=0.2)
    train, validation = split_examples([example], options)
    dataset = Dataset(train, validation, ("phase",), ("interior", "background"), "test")
    assert _cells_on_both_sides(dataset, CELL_MARGIN_PX - 1) == []


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 1), (0.1, 1), (0.25, 2), (0.5, 5), (0.99, None)])
def test_split_by_image(fraction, count):
    examples = [_example(f"x{i}") for i in range(10)]
    options = SplitOptions(validation_fraction=fraction, split_seed=3)
    if count is None:
        with pytest.raises(UserError, match="leaves no cell to train on"):
            split_examples(examples, options)
        return
    train, validation = split_examples(examples, options)
    held_out = {region.example.name for region in validation}
    assert len(held_out) == len(validation) == count
    assert {example.name for example in train} == {f"x{i}" for i in range(10)} - held_out
    assert all(region.slices == (slice(0, 64), slice(0, 60)) for region in validation)


@pytest.mark.parametrize("seed", range(6))
def test_split_by_region_holds_out_whole_cells(seed):
    example = _example()
    options = SplitOptions(split=Split.region, validation_fraction=0.2, split_seed=seed)
    train, validation = split_examples([example], options)
    dataset = Dataset(train, validation, ("phase",), ("edge", "interior", "background"), "test")
    strip = np.zeros(example.cells.shape, bool)
    strip[validation[0].slices] = True
    assert strip.mean() == pytest.approx(0.2, abs=0.01)
    assert (train[0].classes[strip] == IGNORE).all()
    assert _cells_on_both_sides(dataset, CELL_MARGIN_PX - 1) == []
    # One row or column of three cells reaches in and goes; the others stay, edges of their own included.
    left = set(np.unique(example.cells[train[0].classes != IGNORE])) - {0}
    assert len(left) == 6
    np.testing.assert_array_equal(validation[0].example.classes, example.classes)


def test_split_by_region_takes_a_side_with_cells():
    """Cells 1 and 9 reach the strips at the top, left and right, none the one at the bottom."""
    example = _example()
    cells = np.where(np.isin(example.cells, (1, 9)), example.cells, 0)
    example = replace(example, cells=cells, classes=np.where(cells > 0, INTERIOR, EDGE).astype(np.int8))
    chosen = set()
    for seed in range(20):
        options = SplitOptions(split=Split.region, validation_fraction=0.15, split_seed=seed)
        _, (region,) = split_examples([example], options)
        chosen.add((region.y0, region.x0, region.y1, region.x1))
    assert chosen == {(0, 0, 10, 60), (0, 0, 64, 9), (0, 51, 64, 60)}


@pytest.mark.real_data
def test_hela_joint_by_region_shares_no_cell(data_root):
    dataset = load_dataset(DeepCellData(root=str(data_root), split=Split.region))
    assert len(dataset.validation) == len(dataset.train) == 5
    for region, example in zip(dataset.validation, dataset.train, strict=True):
        cells = region.example.cells
        held_out = set(np.unique(cells[region.slices])) - {0}
        trained = set(np.unique(cells[example.classes != IGNORE])) - {0}
        assert len(held_out) >= 10
        assert not held_out & trained
        assert 0.09 < np.mean(example.classes == IGNORE) < 0.15
