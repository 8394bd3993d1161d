"""Maps of distances go where their image and classes go: through samplers, transforms, scales and stores."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.data.augment import AugmentConfig, augment
from cellflax.data.example import IGNORE, Dataset, Example
from cellflax.data.pixel_classes import Annotation, classes_from_labels
from cellflax.data.resample import ScaleConfig, dataset_to_scale
from cellflax.data.sampler import CropsConfig, PatchesConfig, Sampler, SamplerConfig
from cellflax.data.split import Split, SplitOptions, split_examples
from cellflax.data.stored_batches import stored_batches
from cellflax.data.with_target import with_target
from cellflax.targets import distance_maps
from cellflax.targets.base import ClassesTarget
from cellflax.targets.distances import ClassesDistancesTarget, DistancesTarget
from tests.data.test_crop_store import CONFIG, assert_same
from tests.data.test_sampler import BORDER, CLASSES, EXAMPLES, PLAIN, SIZE
from tests.refine.drawing import disc

# The maps say where their pixel is, in 32nds, which float16 holds exactly.
WITH_MAPS = tuple(
    replace(e, maps=np.where((e.classes == IGNORE)[..., None], np.nan, e.image[..., :2] / 32).astype(np.float32))
    for e in EXAMPLES
)


def sampler(config: SamplerConfig) -> Sampler:
    return Sampler(config, WITH_MAPS, border=BORDER, multiple=4, classes=CLASSES)


@pytest.mark.parametrize(
    "config",
    [
        PatchesConfig(batch=64),
        CropsConfig(batch=64, size=SIZE, augment=PLAIN),
        CropsConfig(batch=64, size=SIZE),
        CropsConfig(batch=64, size=16, compose=0.5),
    ],
    ids=["patches", "crops", "turned", "composed"],
)
def test_every_pixel_has_the_maps_of_its_own_place(config):
    drawing = sampler(config)
    batch = jax.tree.map(np.asarray, drawing(drawing.data, 0, 0))
    places = batch.image[:, BORDER:-BORDER, BORDER:-BORDER, :2]
    used = batch.weight > 0
    assert used.any()
    assert batch.maps.dtype == np.float32
    np.testing.assert_array_equal(32 * batch.maps[used], places[used])
    assert np.isnan(batch.maps[~used]).all()


def test_without_maps_nothing_is_carried():
    drawing = Sampler(CropsConfig(batch=2, size=SIZE), EXAMPLES, border=BORDER, multiple=4, classes=CLASSES)
    assert drawing.data.maps is None
    assert drawing(drawing.data, 0, 0).maps is None


def test_a_store_returns_the_maps_that_the_sampler_draws(tmp_path):
    drawing = sampler(CONFIG)
    stores = stored_batches(replace(CONFIG, store=str(tmp_path)), drawing, 5, 2)
    for step in (0, 3):
        fed = stores.feed(step)
        for member in (5, 6):
            found = stores(fed, jnp.asarray(member), jnp.asarray(step))
            assert_same(jax.tree.map(np.asarray, found), drawing(drawing.data, member, step))
            assert found.maps is not None


def field() -> np.ndarray:
    """Five cells of odd shapes away from the border, labels up to 5."""
    shape = (128, 128)
    cells = np.zeros(shape, np.int8)
    for label, (y, x, r) in enumerate([(50, 50, 11), (52, 70, 9), (76, 74, 13), (79, 52, 9), (65, 57, 6)], 1):
        cells[disc(shape, y, x, r) & ~disc(shape, y - r, x + 2, r // 2) & (cells == 0)] = label
    return cells


@pytest.mark.parametrize(
    ("config", "tolerance"),
    [
        (AugmentConfig(), 0.02),  # ties between two centres may go the other way
        (AugmentConfig(scale=1.5, rotate_degrees=45), 0.06),
        (AugmentConfig(shear_degrees=8), 0.09),  # a shear changes the shape
    ],
    ids=["turned", "zoomed", "sheared"],
)
def test_the_maps_of_transformed_cells_are_the_transformed_maps(config, tolerance):
    cells = field()
    maps = distance_maps(cells)
    image, weight = jnp.zeros((*cells.shape, 1)), jnp.ones(cells.shape)
    for seed in range(6):
        drawn = augment(jax.random.key(seed), image, jnp.asarray(cells), weight, config, jnp.asarray(maps))
        turned, carried = np.asarray(drawn[1]), np.asarray(drawn[3])
        turned = np.where(turned == IGNORE, 0, turned)
        expected = distance_maps(turned)
        whole = np.setdiff1d(np.unique(turned), np.concatenate([turned[[0, -1]], turned[:, [0, -1]].T]))
        assert len(whole) == 5
        error = np.abs(carried - expected)[turned > 0]
        assert error.mean() < tolerance
        outside = (turned == 0) & ~np.isnan(carried).any(-1)
        np.testing.assert_array_equal(carried[outside], np.broadcast_to([1, 0], (int(outside.sum()), 2)))


def dataset(split: Split = Split.region) -> Dataset:
    rng = np.random.default_rng(0)
    examples = []
    for k in range(2):
        cells = np.roll(field(), 7 * k, axis=0).astype(np.int32)
        image = rng.normal(size=(*cells.shape, 1)).astype(np.float32)
        examples.append(Example(f"{k}", image, classes_from_labels(cells), cells, pixel_size_um=1.0))
    options = SplitOptions(split=split, validation_fraction=0.4)
    train, validation = split_examples(examples, options)
    return Dataset(train, validation, ("a",), Annotation.boundaries.class_names, "test", test=tuple(examples))


def test_classes_alone_leave_a_data_set_as_it_is():
    data = dataset()
    assert with_target(data, ClassesTarget()) is data


@pytest.mark.parametrize("target", [DistancesTarget(), ClassesDistancesTarget()])
def test_what_is_held_out_has_neither_classes_nor_maps(target):
    data = with_target(dataset(), target)
    assert data.outputs.names[-2:] == ("centre_distance", "boundary_distance")
    assert len(data.class_names) == (2 if type(target) is DistancesTarget else 3)
    for before, example in zip(dataset().train, data.train, strict=True):
        held_out = before.classes == IGNORE
        assert held_out.any()
        np.testing.assert_array_equal(example.classes == IGNORE, held_out)
        np.testing.assert_array_equal(np.isnan(example.maps), np.stack([held_out] * 2, -1))
        whole = distance_maps(example.cells)
        np.testing.assert_array_equal(example.maps[~held_out], whole[~held_out])
    for region in data.validation:
        np.testing.assert_array_equal(region.example.maps, distance_maps(region.example.cells))
    if len(data.class_names) == 2:
        cells = data.validation[0].example
        np.testing.assert_array_equal(cells.classes, np.where(cells.cells > 0, 0, 1))  # also where they touch


def test_maps_are_those_of_the_cells_at_the_scale_of_the_network():
    data = with_target(dataset_to_scale(dataset(), ScaleConfig(pixel_size_um=2.0)), DistancesTarget())
    region = data.validation[0].example
    assert region.maps.shape == (64, 64, 2)
    np.testing.assert_array_equal(region.maps, distance_maps(region.cells))
