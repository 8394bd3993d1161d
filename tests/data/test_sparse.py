"""Images annotated in parts, and images without a cell: what is taught, drawn, weighed and compared."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from cellflax.data.datasets import load_dataset
from cellflax.data.example import BACKGROUND, EDGE, IGNORE, INTERIOR, Example
from cellflax.data.folder import FolderData
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.data.resample import ScaleConfig, dataset_to_scale
from cellflax.data.sampler import CropsConfig, PatchesConfig, Sampler
from cellflax.data.split import Split
from cellflax.errors import UserError
from cellflax.ignored import PAINTED, UNDRAWN, SparseLabels
from cellflax.metrics.comparable import comparable_parts
from tests.data.squares import noise, square_labels, write_tiff


def scenes() -> list[np.ndarray]:
    """Whole fields that agree in what is annotated in `partly`: what may be there differs."""
    rng = np.random.default_rng(0)
    truth = square_labels().astype(np.int32)
    fields = []
    for _ in range(200):
        field = truth.copy()
        unknown = PAINTED_AREA
        drawn = rng.integers(0, 4, truth.shape)  # noise of further cells, and background
        field[unknown] = np.where(drawn > 0, drawn + 100, 0)[unknown]
        fields.append(field)
    return fields


PAINTED_AREA = np.zeros((64, 60), bool)
PAINTED_AREA[30:, 25:] = True
PAINTED_AREA[20:23, :15] = True


@pytest.mark.parametrize("edge_px", [1, 2, 3, 4])
@pytest.mark.parametrize("annotation", [Annotation.boundaries, Annotation.foreground])
def test_a_class_is_taught_where_it_is_the_same_whatever_is_not_annotated(annotation, edge_px):
    ignored = np.where(PAINTED_AREA, PAINTED, 0).astype(np.uint8)
    taught = pixel_classes(annotation, square_labels().astype(np.int32), None, edge_px, ignored)
    assert (taught[PAINTED_AREA] == IGNORE).all()
    whole = np.array([pixel_classes(annotation, field, None, edge_px) for field in scenes()])
    known = taught != IGNORE
    assert (whole[:, known] == taught[known]).all()
    assert known.mean() > 0.4  # it does not forget everything, either
    assert set(np.unique(taught[known])) == set(range(len(annotation.class_names)))


@pytest.mark.parametrize("edge_px", [1, 2, 4])
@pytest.mark.parametrize("annotation", [Annotation.boundaries, Annotation.foreground])
def test_an_undrawn_surrounding_teaches_the_edge(annotation, edge_px):
    """With ignore_label=0, other cells may touch the annotated ones, but do not reach into them."""
    cells = np.where(np.isin(square_labels(), (1, 5)), square_labels(), 0).astype(np.int32)
    ignored = np.where(cells > 0, 0, UNDRAWN).astype(np.uint8)
    taught = pixel_classes(annotation, cells, None, edge_px, ignored)
    known = taught != IGNORE
    rng = np.random.default_rng(0)
    for _ in range(200):
        field = np.where(cells > 0, cells, rng.choice([0, 100, 101, 102], cells.shape)).astype(np.int32)
        whole = pixel_classes(annotation, field, None, edge_px)
        np.testing.assert_array_equal(whole[known], taught[known])
    beside = cells[7, 8:20].tolist() == [0] * 12 and taught[7, 8:20]
    assert (beside == (EDGE if annotation is Annotation.boundaries else 1)).all()
    assert (taught[12:16, 12:16] == annotation.class_names.index("interior")).all()


def test_compartments_forget_only_what_is_not_annotated():
    cells = square_labels().astype(np.int32)
    nuclei = np.where((np.indices(cells.shape) % 16 - 8 < 4).all(axis=0), cells, 0)
    ignored = np.where(PAINTED_AREA, PAINTED, 0).astype(np.uint8)
    taught = pixel_classes(Annotation.compartments, cells, nuclei, 2, ignored)
    whole = pixel_classes(Annotation.compartments, cells, nuclei)
    np.testing.assert_array_equal(taught, np.where(PAINTED_AREA, IGNORE, whole))


def test_values_and_masks():
    labels = np.array([[0, 7, 9, 255], [0, 7, 9, 255]])
    mask = np.array([[0, 0, 1, 0], [0, 0, 0, 0]])
    kept, ignored = SparseLabels(255).take_out(labels, mask)
    assert kept.tolist() == [[0, 7, 9, 0]] * 2
    assert ignored is not None
    assert ignored.tolist() == [[0, 0, PAINTED, PAINTED], [0, 0, 0, PAINTED]]
    kept, ignored = SparseLabels(0, 255).take_out(labels, None)
    assert kept.tolist() == [[0, 7, 9, 0]] * 2
    assert ignored is not None
    assert ignored.tolist() == [[UNDRAWN, 0, 0, 0]] * 2
    assert SparseLabels(None, 9).take_out(labels, None)[1] is None
    for values in (SparseLabels(3, 3), SparseLabels(-1)):
        with pytest.raises(UserError, match=r"^data.ignore_label"):
            values.check("data.")


def _columns(**cells: tuple[int, int]) -> np.ndarray:
    """Cells of 10 rows in given columns of a 10 x 100 field; `a1` has the label 1."""
    labels = np.zeros((10, 100), np.int32)
    for name, (first, last) in cells.items():
        labels[:, first:last] = int(name[1:])
    return labels


def test_predictions_where_nothing_is_annotated_are_neither_right_nor_wrong():
    reference = _columns(a1=(0, 10), a2=(30, 40), a3=(48, 58))
    ignored = np.zeros_like(reference, dtype=np.uint8)
    ignored[:, 50:] = PAINTED
    predicted = _columns(a1=(0, 10), a5=(15, 20), a6=(47, 60), a7=(49, 52), a8=(70, 80))
    left, kept = comparable_parts(reference, predicted, ignored)
    # Cell 3 is mostly hidden, so it and what stands for it are left out; 5 is a false cell on background.
    assert np.unique(left).tolist() == [0, 1, 2]
    assert np.unique(kept).tolist() == [0, 1, 5]


def test_a_cell_that_a_mask_cuts_is_compared_where_it_is_annotated():
    reference = _columns(a1=(40, 56))
    ignored = np.where(np.arange(100) >= 50, PAINTED, 0).astype(np.uint8) * np.ones((10, 1), np.uint8)
    for predicted in (_columns(a4=(40, 56)), _columns(a4=(40, 80))):  # the second covers it and more
        left, kept = comparable_parts(reference, predicted, ignored)
        assert (left == _columns(a1=(40, 50))).all()
        assert (kept == _columns(a4=(40, 50))).all()


def test_beyond_a_drawn_outline_a_prediction_is_too_large():
    reference = _columns(a1=(40, 50))
    ignored = np.where(reference > 0, 0, UNDRAWN).astype(np.uint8)
    predicted = _columns(a4=(40, 75), a9=(80, 90))
    left, kept = comparable_parts(reference, predicted, ignored)
    assert (left == reference).all()
    assert (kept == _columns(a4=(40, 75))).all()


def _sparse_example(seed: int = 0) -> Example:
    rng = np.random.default_rng(seed)
    labels = square_labels().astype(np.int32)
    ignored = np.where(PAINTED_AREA, PAINTED, 0).astype(np.uint8)
    ignored[:, 45:] = PAINTED
    classes = pixel_classes(Annotation.boundaries, labels, None, 2, ignored)
    return Example("a", rng.random((64, 60, 1)).astype(np.float32), classes, labels, ignored=ignored)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_crops_around_annotated_pixels_have_the_expectation_of_patches(balance):
    """Sum over crops of weight x one-hot place = probability of drawing the pixel; by enumeration of all crops."""
    examples = (_sparse_example(), replace(_sparse_example(1), classes=np.roll(_sparse_example(1).classes, 9, 0)))
    size = 16
    sampler = Sampler(CropsConfig(size=size, balance=balance), examples, border=2, multiple=1, classes=3)
    data = sampler.data
    assert data.crop_weight is not None
    weight, of_class = np.asarray(data.crop_weight), np.asarray(data.class_weight)
    m = sampler.margin
    for i, example in enumerate(examples):
        counts = np.array([(example.classes == k).sum() for k in range(3)])
        share = counts ** (1 - balance)
        share = share / share.sum()
        mean = np.zeros((64 + 2 * m, 60 + 2 * m))
        w = np.where(example.classes != IGNORE, of_class[i][np.maximum(example.classes, 0)], 0)
        w = np.pad(w, m) * weight[i]
        for y, x in np.argwhere(example.classes != IGNORE):
            k = example.classes[y, x]
            window = slice(y + m - size // 2, y + m + size // 2), slice(x + m - size // 2, x + m + size // 2)
            mean[window] += share[k] / counts[k] * w[window] / size**2
        inner = mean[m : m + 64, m : m + 60]
        expected = np.where(example.classes != IGNORE, (share / counts)[np.maximum(example.classes, 0)], 0)
        np.testing.assert_allclose(inner, expected, rtol=1e-4, atol=1e-12)
        assert inner.sum() == pytest.approx(1, rel=1e-4)


def test_every_crop_has_annotated_pixels_and_no_other_has_weight():
    classes = np.full((200, 200), IGNORE, np.int8)
    classes[90:96, 90:96] = INTERIOR
    classes[96:99, 90:96] = BACKGROUND
    image = np.where(classes == IGNORE, -1, 1)[..., None].astype(np.float32)
    example = Example("a", image, classes, np.zeros((200, 200), np.int32), ignored=(classes == IGNORE).astype(np.uint8))
    for config in (
        CropsConfig(size=16, batch=32),
        CropsConfig(size=16, batch=32, compose=0.5),
        PatchesConfig(batch=32),
    ):
        sampler = Sampler(config, (example,), border=0, multiple=1, classes=3)
        batch = sampler(sampler.data, 0, 5)
        weight = np.asarray(batch.weight)
        assert np.isfinite(weight).all()
        if getattr(config, "compose", 0) == 0:  # a composed crop may lose its annotated pixels at the line
            assert (weight.sum(axis=(1, 2)) > 0).all()
        assert (np.asarray(batch.image)[..., 0][weight > 0] == 1).all()
        assert set(np.unique(np.asarray(batch.target)[weight > 0])) == {INTERIOR, BACKGROUND}


def test_without_ignored_pixels_crops_lie_anywhere():
    example = replace(_sparse_example(), ignored=None)
    assert Sampler(CropsConfig(size=16), (example,), border=0, multiple=1, classes=3).data.crop_weight is None


def _folder(root, labels: dict[str, np.ndarray], **masks: np.ndarray) -> FolderData:
    for i, (name, array) in enumerate(labels.items()):
        write_tiff(root / f"{name}.tif", noise(seed=i))
        write_tiff(root / f"{name}_labels.tif", array)
    for name, mask in masks.items():
        write_tiff(root / f"{name}_ignore.tif", mask.astype(np.uint8))
    return FolderData(root=str(root))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("annotation", [Annotation.boundaries, Annotation.compartments])
def test_images_without_cells_are_for_training_and_never_the_whole_validation(tmp_path, seed, annotation):
    empty = square_labels() * 0
    config = _folder(tmp_path, {"a": square_labels(), "b": empty, "c": empty, "d": empty, "e": square_labels()})
    if annotation is Annotation.compartments:
        for name in "ae":
            write_tiff(tmp_path / f"{name}_nuclei.tif", square_labels())
    for how in ({}, {"validation_fraction": 0.6}, {"split": Split.region, "validation_fraction": 0.2}):
        data = load_dataset(replace(config, annotation=annotation, split_seed=seed, **how))
        assert any(example.cells.any() for example in data.train)
        assert any(region.example.cells.any() for region in data.validation)
        sampler = Sampler(CropsConfig(size=16), data.train, border=0, multiple=1, classes=3)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sampler(sampler.data, 0, 0)))
        if "validation_fraction" not in how:
            assert len(data.validation) == 1
            assert {example.name for example in data.train} >= {"b", "c", "d"}


def test_folds_deal_cells_to_every_part(tmp_path):
    empty = square_labels() * 0
    labels = {name: square_labels() if name in "abc" else empty for name in "abcdefgh"}
    config = _folder(tmp_path, labels)
    for fold in range(3):
        data = load_dataset(replace(config, folds=3, fold=fold))
        assert any(example.cells.any() for example in data.test)
    with pytest.raises(UserError, match=r"data.folds=4 needs as many images with cells, there are 3"):
        [load_dataset(replace(config, folds=4, fold=fold)) for fold in range(4)]


def test_masks_and_values_of_a_folder(tmp_path):
    painted = np.where(PAINTED_AREA, 255, square_labels())
    config = _folder(tmp_path, {"a": painted, "b": square_labels()}, b=PAINTED_AREA)
    data = load_dataset(replace(config, ignore_label=255))
    examples = [*data.train, *(region.example for region in data.validation)]
    assert len(examples) == 2
    for example in examples:
        assert example.ignored is not None
        np.testing.assert_array_equal(example.ignored == PAINTED, PAINTED_AREA)
        expected = pixel_classes(
            Annotation.boundaries, square_labels().astype(np.int32), None, 2, PAINTED_AREA.astype(np.uint8)
        )
        np.testing.assert_array_equal(example.classes, expected)
    scaled = dataset_to_scale(
        replace(data, train=tuple(replace(e, pixel_size_um=1.0) for e in data.train), validation=()),
        ScaleConfig(pixel_size_um=2.0),
    )
    assert scaled.train[0].ignored is not None
    assert scaled.train[0].ignored.shape == scaled.train[0].classes.shape == (32, 30)


def test_masks_in_a_folder_of_their_own(tmp_path):
    for name in ("a", "b"):
        write_tiff(tmp_path / "images" / f"{name}.tif", noise())
        write_tiff(tmp_path / "labels" / f"{name}.tif", square_labels())
    write_tiff(tmp_path / "ignore" / "a.tif", PAINTED_AREA.astype(np.uint8))
    data = load_dataset(FolderData(root=str(tmp_path)))
    examples = {e.name: e for e in [*data.train, *(region.example for region in data.validation)]}
    assert examples["a"].ignored is not None
    assert examples["b"].ignored is None
    write_tiff(tmp_path / "ignore" / "c.tif", PAINTED_AREA.astype(np.uint8))
    with pytest.raises(UserError, match=r"c.tif: its image is missing"):
        load_dataset(FolderData(root=str(tmp_path)))


def test_ten_cells_and_some_background_are_enough(tmp_path):
    some = np.where(np.isin(square_labels(), (1, 5)), square_labels(), 0)
    config = replace(_folder(tmp_path, {"a": some, "b": some}), ignore_label=0)
    for annotation in (Annotation.boundaries, Annotation.foreground):
        with pytest.raises(UserError, match=r"no training image has background .*add data.background_label=VALUE"):
            load_dataset(replace(config, annotation=annotation))
    some[56:, :] = 200
    config = _folder(tmp_path, {"a": some, "b": some})
    data = load_dataset(replace(config, ignore_label=0, background_label=200))
    example = data.train[0]
    assert np.unique(example.cells).tolist() == [0, 1, 5]
    assert (example.classes[60:] == BACKGROUND).all()
    assert (example.classes[7, 8:20] == EDGE).all()
    assert example.classes[30, 12] == IGNORE


def test_a_mask_must_leave_background(tmp_path):
    everywhere = square_labels() == 0
    config = _folder(tmp_path, {"a": square_labels(), "b": square_labels()}, a=everywhere, b=everywhere)
    with pytest.raises(UserError, match=r"no training image has background .*leave some background out"):
        load_dataset(config)
    config = _folder(tmp_path, {"a": square_labels()}, a=everywhere | True, b=everywhere | True)
    with pytest.raises(UserError, match="no label image has a cell"):
        load_dataset(config)
