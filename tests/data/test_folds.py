"""Test parts: folds dealt evenly and never seen in training, data sets left out, and folders of several data sets."""

from collections import Counter

import numpy as np
import pytest
import tifffile

from cellflax.data.datasets import load_dataset
from cellflax.data.example import Example
from cellflax.data.folder import FolderData
from cellflax.data.folds import PartOptions, Parts, divide
from cellflax.data.split import Split
from cellflax.errors import UserError

CELLS = np.pad(np.full((8, 8), 3, np.int32), 4)


def images(**counts: int) -> list[Example]:
    """So many images of each data set."""
    pixels = np.zeros((*CELLS.shape, 1), np.float32)
    classes = np.where(CELLS > 0, 0, 1).astype(np.int8)
    return [
        Example(f"{data_set}/{i}", pixels, classes, CELLS, data_set=data_set)
        for data_set, count in counts.items()
        for i in range(count)
    ]


def names(parts: Parts) -> tuple[list[str], list[str], list[str]]:
    validation = [region.example.name for region in parts.validation]
    return [e.name for e in parts.train], validation, [e.name for e in parts.test]


@pytest.mark.parametrize(
    ("counts", "folds"), [({"a": 40}, 10), ({"a": 7, "b": 5, "c": 2}, 3), ({"a": 3, "b": 3, "c": 11}, 5), ({"a": 3}, 3)]
)
@pytest.mark.parametrize("seed", range(3))
def test_folds(counts, folds, seed):
    """Each image is tested once and validates once, no part lacks what another has two of."""
    examples = images(**counts)
    divided = [names(divide(examples, PartOptions(folds=folds, fold=k, split_seed=seed))) for k in range(folds)]
    for train, validation, test in divided:
        assert sorted(train + validation + test) == sorted(example.name for example in examples)
    tested = [test for _, _, test in divided]
    assert [validation for _, validation, _ in divided] == [*tested[1:], tested[0]]
    sizes = [len(test) for test in tested]
    assert max(sizes) - min(sizes) <= 1
    for data_set in counts:
        share = [sum(name.startswith(data_set) for name in test) for test in tested]
        assert max(share) - min(share) <= 1


def test_ten_folds_are_80_10_10():
    train, validation, test = names(divide(images(a=24, b=16), PartOptions(folds=10, fold=9)))
    assert (len(train), len(validation), len(test)) == (32, 4, 4)


def test_folds_repeat_and_depend_on_the_seed():
    def tested(seed: int) -> list[str]:
        return names(divide(images(a=20, b=20), PartOptions(folds=4, fold=1, split_seed=seed)))[2]

    assert tested(0) == tested(0)
    assert len({tuple(tested(seed)) for seed in range(8)}) == 8
    assert tested(0) != [f"{data_set}/{i}" for data_set in "ab" for i in range(1, 20, 4)]  # in no order of the files


def test_data_sets_left_out():
    train, validation, test = names(divide(images(a=5, b=5, c=5), PartOptions(test_sets=["c", "a"])))
    assert Counter(name[0] for name in test) == {"a": 5, "c": 5}
    assert sorted(train + validation) == [f"b/{i}" for i in range(5)]
    assert len(validation) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 10}, r"data.folds=10 needs the part to test; add data.fold=0, or -m 'data.fold=range\(10\)'"),
        ({"fold": 0}, "data.fold=0 needs the number of parts as well; add data.folds=10"),
        ({"folds": 2, "fold": 0}, "data.folds must be 3 or more, or null, got 2"),
        ({"folds": 4, "fold": 4}, "data.fold must be below data.folds=4, got 4"),
        ({"folds": 4, "fold": -1}, "data.fold must be 0 or more, or null, got -1"),
        ({"folds": 4, "fold": 0, "split": Split.region}, "data.folds=4 divides images; leave data.split=image"),
        ({"folds": 4, "fold": 0, "test_sets": ["a"]}, "data.test_sets=.*: give one of them"),
        ({"folds": 8, "fold": 0}, "data.folds=8 needs as many images, there are 7"),
        ({"test_sets": ["a", "x"]}, "data.test_sets: there is no data set x; there are a, b"),
        ({"test_sets": ["a", "b"]}, "leaves no data set to train on; name fewer"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message) as error:
        divide(images(a=4, b=3), PartOptions(**options))
    assert "\n" not in str(error.value)


def write_data_set(folder, count: int, channels: int = 1) -> None:
    noise = np.random.default_rng(0).integers(1, 900, (channels, *CELLS.shape), np.uint16)
    for kind, array in (("images", noise), ("labels", CELLS.astype(np.uint16)), ("nuclei", CELLS.astype(np.uint16))):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            tifffile.imwrite(folder / kind / f"{i}.tif", array, photometric="minisblack")


def test_folder_of_data_sets(tmp_path):
    write_data_set(tmp_path / "rna", 3)
    write_data_set(tmp_path / "actin", 2)
    (tmp_path / ".cache").mkdir()
    dataset = load_dataset(FolderData(root=str(tmp_path), folds=5, fold=0))
    held_out = [region.example for region in dataset.validation]
    everything = {e.name: e.data_set for e in (*dataset.train, *held_out, *dataset.test)}
    expected = {"rna/0": "rna", "rna/1": "rna", "rna/2": "rna", "actin/0": "actin", "actin/1": "actin"}
    assert everything == expected
    assert dataset.source == f"{tmp_path.name} (actin, rna), 5 images of your own"
    (only,) = load_dataset(FolderData(root=str(tmp_path / "actin"), split=Split.image)).train
    assert only.data_set == "actin"
    assert "/" not in only.name


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "notes").mkdir(), "notes: no TIFF, PNG, .* images in this folder"),
        (lambda root: write_data_set(root / "b", 1, channels=2), "b/images/0.tif: 2 channels, but a/0 has 1"),
    ],
)
def test_bad_folders_of_data_sets(tmp_path, spoil, message):
    write_data_set(tmp_path / "a", 2)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        load_dataset(FolderData(root=str(tmp_path)))
