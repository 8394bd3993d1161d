"""Cell lines as classes of one data set: real, drawn and simulated, and the one-line message of each mistake."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage import measure

from cellflax.data.coculture import CellLine, CoCultureData
from cellflax.data.datasets import load_dataset
from cellflax.data.deepcell import DeepCellData, OnMissing
from cellflax.data.example import IGNORE
from cellflax.data.simulated import SimulatedData
from cellflax.data.split import Split
from cellflax.errors import UserError
from cellflax.simulation.hela import HelaFieldConfig

NAMES = ("edge", "interior_a", "interior_b", "background")
SMALL = SimulatedData(fields=1, validation_fields=1, field=HelaFieldConfig(height=96, width=96))
LINES = (("a", "sets/a", 0, 1), ("b", "sets/b", 2, 0))  # which file is the edge differs, as in P1's sets


def _cells(offset: int) -> np.ndarray:
    """Mask of nine squares of 12 x 12 px on 64 x 60 pixels, shifted to distinguish the lines."""
    mask = np.zeros((64, 60), bool)
    for y in (6, 22, 38):
        for x in (6, 22, 38):
            mask[y + offset : y + offset + 12, x + offset : x + offset + 12] = True
    return mask


def _write(root: Path, images: int = 1) -> None:
    for i, (_, folder, edge, interior) in enumerate(LINES):
        for image in range(images):
            path = root / folder / f"set{image + 1}"
            path.mkdir(parents=True)
            mask, rng = _cells(i), np.random.default_rng(10 * i + image)
            features = {k: np.zeros(mask.shape, bool) for k in range(3)}
            features[edge], features[interior] = ndimage.binary_dilation(mask) & ~mask, mask
            for k, feature in features.items():
                tifffile.imwrite(path / f"feature_{k}.tif", feature.astype(np.uint8) * 255)
            for channel in ("phase", "nuclear"):
                tifffile.imwrite(path / f"{channel}.tif", rng.integers(100, 900, mask.shape, np.uint16))


def _lines(**stand_in: SimulatedData) -> list[CellLine]:
    return [CellLine(*line, stand_in=stand_in.get(line[0], SMALL)) for line in LINES]


def _config(root: Path, **options) -> CoCultureData:
    return CoCultureData(**{"root": str(root), "lines": _lines(), "validation_fraction": 0.2, **options})


def test_each_line_has_its_class(tmp_path):
    _write(tmp_path)
    dataset = load_dataset(_config(tmp_path))
    assert dataset.class_names == NAMES
    assert dataset.channels == ("phase", "nuclear")
    assert not dataset.simulated
    assert dataset.source == "co-culture of a (DeepCell a, 1 image) and b (DeepCell b, 1 image)"
    assert [example.name for example in dataset.train] == ["a_set1", "b_set1"]
    assert [region.example.name for region in dataset.validation] == ["a_set1", "b_set1"]
    for i, (region, trained) in enumerate(zip(dataset.validation, dataset.train, strict=True)):
        mask = _cells(i)
        # The strokes run along the sides and are dilated by disk(1): all within two steps of a cell.
        edge = ndimage.binary_dilation(ndimage.binary_dilation(mask) & ~mask) & ~mask
        expected = np.select([edge, mask], [0, 1 + i], 3)
        np.testing.assert_array_equal(region.example.classes, expected)
        np.testing.assert_array_equal(region.example.cells > 0, mask)
        held_out = np.zeros(mask.shape, bool)
        held_out[region.slices] = True
        assert (trained.classes[held_out] == IGNORE).all()
        kept = trained.classes != IGNORE
        np.testing.assert_array_equal(trained.classes[kept], expected[kept])
        assert (trained.classes == 1 + i).any()


def test_lines_may_share_one_interior_class(tmp_path):
    _write(tmp_path)
    dataset, told_apart = (load_dataset(_config(tmp_path, typed=typed)) for typed in (False, True))
    assert dataset.class_names == ("edge", "interior", "background")
    assert dataset.source == "a (DeepCell a, 1 image) and b (DeepCell b, 1 image)"
    assert [example.name for example in dataset.train] == ["a_set1", "b_set1"]
    shared = np.array([0, 1, 1, 2, IGNORE])  # IGNORE = -1 is the last entry
    for one, other in zip(dataset.train, told_apart.train, strict=True):
        np.testing.assert_array_equal(one.classes, shared[other.classes])
        np.testing.assert_array_equal(one.cells, other.cells)


def test_a_line_with_fewer_images_is_drawn_as_often(tmp_path):
    _write(tmp_path, images=3)
    for image in (2, 3):
        shutil.rmtree(tmp_path / "sets/b" / f"set{image}")
    dataset = load_dataset(_config(tmp_path))
    assert [example.name for example in dataset.train] == ["a_set1", "a_set2", "a_set3", *["b_set1"] * 3]
    assert [region.example.name for region in dataset.validation] == ["a_set1", "a_set2", "a_set3", "b_set1"]


def test_split_by_image_holds_out_images_of_every_line(tmp_path):
    _write(tmp_path, images=2)
    dataset = load_dataset(_config(tmp_path, split=Split.image))
    for part in (dataset.train, [region.example for region in dataset.validation]):
        assert [example.name[0] for example in part] == ["a", "b"]
    names = {example.name for example in (*dataset.train, *(region.example for region in dataset.validation))}
    assert names == {"a_set1", "a_set2", "b_set1", "b_set2"}


def test_stand_in_shows_two_kinds_of_cells(tmp_path):
    fields = [HelaFieldConfig(height=192, width=192, cells_per_mm2=120, max_aspect=aspect) for aspect in (5.0, 1.1)]
    long, compact = (SimulatedData(fields=1, validation_fields=1, field=field) for field in fields)
    dataset = load_dataset(_config(tmp_path, lines=_lines(a=long, b=compact)))
    assert dataset.simulated
    assert dataset.source.count("stand-in: sets/") == 2
    assert dataset.class_names == NAMES
    elongation = []
    for i, example in enumerate(dataset.train):
        assert set(np.unique(example.classes)) == {0, 1 + i, 3}
        assert (example.cells[example.classes == 1 + i] > 0).all()
        shapes = measure.regionprops_table(example.cells, properties=("axis_major_length", "axis_minor_length"))
        elongation.append(np.median(shapes["axis_major_length"] / shapes["axis_minor_length"]))
    assert elongation[0] > 1.4 * elongation[1]


def _one_line_missing(root: Path) -> None:
    (root / "sets/b").rename(root / "sets/c")


def _empty_interior(root: Path) -> None:
    tifffile.imwrite(root / "sets/b/set1/feature_0.tif", np.zeros((64, 60), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (_one_line_missing, {}, "^sets/b: not found, but another cell line was"),
        (_one_line_missing, {"on_missing": OnMissing.error}, "^cell line b: sets/b: not found below .*download"),
        (_empty_interior, {}, "^cell line b: .*feature_0.tif: holds no annotation"),
        (None, {"split": Split.image}, "^cell line a: data.split=image needs at least 2 images"),
        (None, {"validation_fraction": 0.99}, "^cell line a: .*leaves no cell to train on"),
        (None, {"channels": ["phase", "actin"]}, "^cell line a: .*no file for channel actin"),
    ],
)
def test_bad_folders(tmp_path, spoil, options, message):
    _write(tmp_path)
    if spoil is not None:
        spoil(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        load_dataset(_config(tmp_path, **options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CoCultureData(lines=[]), "data.lines must name at least 2 cell lines, got 0"),
        (lambda: CoCultureData(lines=[CellLine("a", "x")] * 2), "data.lines must have different names, got a, a"),
        (lambda: CoCultureData(lines=_lines(), min_cell_px=-1), "data.min_cell_px must be 0 or more"),
        (lambda: CoCultureData(lines=_lines(), validation_fraction=1), "data.validation_fraction must be in"),
        (lambda: CellLine("a b", "x"), "data.lines: name must be letters, digits, - and _, got 'a b'"),
        (lambda: CellLine("a", "x", 1, 1), "data.lines.a.edge_feature and data.lines.a.interior_feature must differ"),
        (lambda: CellLine("a", "x", -1), "data.lines.a.edge_feature must be 0 or more, got -1"),
    ],
)
def test_ranges(build, message):
    with pytest.raises(UserError, match=message):
        build()


@pytest.mark.real_data
def test_real_set(data_root):
    folder = "training_data/MCF10A_3T3_semantic"
    lines = [CellLine("nih3t3", f"{folder}/3T3", 0, 1), CellLine("mcf10a", f"{folder}/MCF10A", 0, 2)]
    dataset = load_dataset(CoCultureData(root=str(data_root), lines=lines, on_missing=OnMissing.error))
    assert dataset.class_names == ("edge", "interior_nih3t3", "interior_mcf10a", "background")
    names = ["nih3t3_set1", "nih3t3_set2", "nih3t3_set3", "mcf10a_MCF10A"]
    assert [example.name for example in dataset.train] == [*names, *names[3:] * 2]
    assert [region.example.name for region in dataset.validation] == names
    for name, region, trained in zip(names, dataset.validation, dataset.train[:4], strict=True):
        example = region.example
        own, other = (1, 2) if name.startswith("nih3t3") else (2, 1)
        share = np.bincount(example.classes.ravel(), minlength=4) / example.classes.size
        assert share[other] == 0
        assert 0.3 < share[own] < 0.6
        assert 0.03 < share[0] < 0.1
        assert 90 < example.cells.max() < 500
        assert (trained.classes == own).any()
        assert not (trained.classes == other).any()
        held_out = set(np.unique(example.cells[region.slices])) - {0}
        assert len(held_out) >= 5
        assert not held_out & set(np.unique(example.cells[trained.classes != IGNORE]))


@pytest.mark.real_data
def test_real_lines_of_one_kind(data_root):
    """`data=mammalian`: nine images, every line a third of what is drawn, the strips those of each line by itself."""
    folders = {"hela": "HeLa_joint", "nih3t3": "3T3", "mcf10a": "MCF10A"}
    lines = [CellLine(name, f"training_data/{folder}", 0, 1) for name, folder in folders.items()]
    dataset = load_dataset(CoCultureData(root=str(data_root), lines=lines, typed=False, on_missing=OnMissing.error))
    assert dataset.class_names == ("edge", "interior", "background")
    drawn = [example.name.split("_")[0] for example in dataset.train]
    assert {name: drawn.count(name) for name in folders} == {"hela": 5, "nih3t3": 6, "mcf10a": 5}
    assert len({example.name for example in dataset.train}) == len(dataset.validation) == 9
    hela = load_dataset(DeepCellData(root=str(data_root), folder=lines[0].folder, split=Split.region))
    for shared, alone in zip(dataset.validation, hela.validation, strict=False):
        assert shared.slices == alone.slices
        np.testing.assert_array_equal(shared.example.classes, alone.example.classes)
