"""Crops from the disk: the batches that the sampler draws, whatever happens in between, or one line that refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.data import crop_store
from cellflax.data.augment import AugmentConfig
from cellflax.data.crop_store import CropStore
from cellflax.data.sampler import Batch, CropsConfig, Sampler
from cellflax.data.stored_batches import StoredBatches, stored_batches
from cellflax.errors import UserError
from tests.data.test_sampler import BORDER, CLASSES, EXAMPLES, SIZE

CONFIG = CropsConfig(batch=3, size=SIZE, stored_crops=10, rescale=True, augment=AugmentConfig(gain=0.1))


def sampler(config: CropsConfig = CONFIG, examples=EXAMPLES) -> Sampler:
    return Sampler(config, examples, border=BORDER, multiple=4, classes=CLASSES)


def stored(path: Path, config: CropsConfig = CONFIG, seed: int = 5, members: int = 1) -> StoredBatches:
    return stored_batches(replace(config, store=str(path)), sampler(config), seed, members)


def assert_same(a: Batch, b: Batch) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """Of four crops: the last of a store is not full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_store, "_CHUNK_BYTES", 4 * 4 * 4 * (SIZE + 2 * BORDER) ** 2)
        yield


@pytest.fixture(scope="module")
def written(small_chunks, tmp_path_factory) -> Path:
    """A complete store, not to be changed."""
    path = tmp_path_factory.mktemp("crops")
    stored(path)
    return path


@pytest.fixture
def copied(written, tmp_path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(written, tmp_path / "crops")


def test_batches_are_those_that_the_sampler_draws(tmp_path):
    drawing, stores = sampler(), stored(tmp_path, members=2)
    for step in range(9):  # over the end of the ten crops, more than once
        fed = stores.feed(step)
        for member in (5, 6):
            expected = drawing(drawing.data, member, step)
            assert_same(jax.tree.map(np.asarray, stores(fed, jnp.asarray(member), jnp.asarray(step))), expected)
    again = stored(tmp_path, members=2)  # from the disk alone, from the middle on
    assert_same(again.feed(4), stores.feed(4))


def test_the_crops_come_round_again_in_the_same_order():
    drawing = sampler()
    first = np.concatenate([drawing(drawing.data, 0, step).image for step in range(10)])
    np.testing.assert_array_equal(first[:10], first[10:20])
    assert len({crop.tobytes() for crop in first}) == 10
    np.testing.assert_array_equal(drawing(drawing.data, 0, 1_000_000_010).image, drawing(drawing.data, 0, 0).image)


def test_interrupted_writing_goes_on_where_it_stopped(tmp_path):
    drawing, calls = sampler(), []

    def draw(indices: np.ndarray) -> Batch:
        calls.append(int(indices[0]))
        if stop and len(calls) == 2:
            raise KeyboardInterrupt
        return drawing.crops(drawing.data, 5, indices)

    stop = True
    with pytest.raises(KeyboardInterrupt):
        CropStore(tmp_path / "seed_5", drawing, 5, draw)
    stop = False
    store = CropStore(tmp_path / "seed_5", drawing, 5, draw)
    assert calls == [0, 4, 4, 8]
    assert_same(store.read(np.arange(10)).result(), drawing.crops(drawing.data, 5, np.arange(10)))
    CropStore(tmp_path / "seed_5", drawing, 5, draw)
    assert len(calls) == 4  # complete: nothing is drawn again


def test_crops_that_cannot_be_written(tmp_path):
    drawing = sampler()

    def draw(indices: np.ndarray) -> Batch:
        shutil.rmtree(tmp_path / "seed_5/image")
        (tmp_path / "seed_5/image").write_text("in the way")
        return drawing.crops(drawing.data, 5, indices)

    with pytest.raises(UserError, match="seed_5: crops cannot be written; is the disk full") as error:
        CropStore(tmp_path / "seed_5", drawing, 5, draw)
    assert "\n" not in str(error.value)


def test_a_file_in_the_place_of_a_store(tmp_path):
    (tmp_path / "seed_5").write_text("a file")
    with pytest.raises(UserError, match=r"seed_5: cannot be written \(File exists\); give another sampler.store"):
        stored(tmp_path)
    with pytest.raises(UserError, match=r"seed_5: cannot be written \(Not a directory\); give another"):
        stored(tmp_path / "seed_5")


def contents(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_store_does_not_depend_on_batch_and_is_smaller_than_its_crops(written):
    before = contents(written)
    larger = stored(written, replace(CONFIG, batch=5))
    assert larger.feed(0).image.shape[1] == 5
    assert contents(written) == before
    assert sum(map(len, before.values())) < 10 * sum(leaf.nbytes for leaf in jax.tree.leaves(larger.feed(0))) / 5


def first_chunk(path: Path, name: str) -> Path:
    return min(file for file in (path / "seed_5" / name / "c").rglob("*") if file.is_file())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def describe(path: Path, **changes) -> None:
    file = path / "seed_5" / "store.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: first_chunk(path, "image").unlink(), "seed_5 is damaged: a chunk cannot be read; remove the"),
        (lambda path: flip(first_chunk(path, "weight")), "seed_5 is damaged: a chunk cannot be read"),
        (lambda path: first_chunk(path, "target").write_bytes(b""), "seed_5 is damaged: a chunk cannot be read"),
        (lambda path: (path / "seed_5/image/zarr.json").write_text("{"), "seed_5 is damaged: image cannot be read"),
        (lambda path: shutil.rmtree(path / "seed_5/weight"), "seed_5 is damaged: weight cannot be read"),
        (lambda path: (path / "seed_5/store.json").write_text("{"), "seed_5 is damaged: store.json cannot be read"),
        (lambda path: (path / "seed_5/store.json").write_text("[]"), "seed_5 is damaged: store.json cannot be read"),
        (lambda path: (path / "seed_5/store.json").unlink(), "seed_5 holds something other than a crop store; give"),
        (lambda path: describe(path, data="0"), "of a training with other images, annotations or normalisation; rem"),
        (lambda path: describe(path, seed=6), "seed_5 holds the crops of a training with seed=6, not 5; remove it, or"),
        (lambda path: describe(path, format=0), "with format=0, not 1"),
    ],
)
def test_a_damaged_or_foreign_store_is_refused(copied, spoil, message):
    spoil(copied)
    with pytest.raises(UserError, match=message) as error:
        stored(copied).feed(0)
    assert "\n" not in str(error.value)


def test_a_store_of_a_version_with_fewer_settings_is_read(copied):
    before = contents(copied)
    description = json.loads((copied / "seed_5" / "store.json").read_text())
    for name in ("by_cell", "touching", "touching_px"):
        del description["sampler"][name]
    for name in ("gamma", "blur_px", "offset", "noise"):
        del description["sampler"]["augment"][name]
    describe(copied, sampler=description["sampler"])
    assert_same(stored(copied).feed(0), stored(copied).feed(0))
    with pytest.raises(UserError, match=r"a training with sampler.augment.noise=0.0, not 0.1"):
        stored(copied, replace(CONFIG, augment=AugmentConfig(gain=0.1, noise=0.1)))
    chunks = {file for file in before if file.name != "store.json"}
    assert {file: contents(copied)[file] for file in chunks} == {file: before[file] for file in chunks}


@pytest.mark.parametrize(
    ("config", "examples", "message"),
    [
        (replace(CONFIG, rescale=False), EXAMPLES, "a training with sampler.rescale=True, not False; remove it"),
        (replace(CONFIG, stored_crops=12), EXAMPLES, "a training with sampler.stored_crops=10, not 12; remove it"),
        (replace(CONFIG, augment=AugmentConfig()), EXAMPLES, "with sampler.augment.gain=0.1, not 0.0; remove it"),
        (replace(CONFIG, balance=0.5), EXAMPLES, "with other images, annotations or normalisation"),
        (CONFIG, EXAMPLES[:1], "with other images, annotations or normalisation"),
    ],
)
def test_crops_of_another_training_are_refused(written, config, examples, message):
    with pytest.raises(UserError, match=message):
        stored_batches(replace(config, store=str(written)), sampler(config, examples), 5, 1)
