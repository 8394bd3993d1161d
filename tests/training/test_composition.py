"""The framework's parts cross: any network, cost and refinement by override alone, or one line that says why not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax import train
from cellflax.data.example import Dataset, Example
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.data.sampler import Batch, CropsConfig, PatchesConfig
from cellflax.data.split import whole
from cellflax.errors import UserError
from cellflax.losses.composite_rmsd import CompositeRmsdConfig
from cellflax.losses.cross_entropy import CrossEntropyConfig
from cellflax.losses.weighted_softmax import WeightedSoftmaxConfig
from cellflax.models.ensemble import stack_members
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig, UpLevel
from cellflax.prediction.trained import load_model
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.refine.whole_cell import WholeCellConfig
from cellflax.schemas import GROUPS
from cellflax.training.composition import check_composition
from cellflax.training.config import TrainConfig
from cellflax.training.objective import objective
from tests.commands import TINY, arrays_of, metrics_of, run_command
from tests.models.networks import tiny_config

MODELS = {
    "patch_net": tiny_config(),
    "unet": UNetConfig(down=[[2]], bottom=[2], up=[UpLevel(2, [2])]),
    "skip_fcn": SkipFcnConfig(filters=[2, 4], residual_blocks=[0, 1]),
}
LOSSES = {
    "cross_entropy": CrossEntropyConfig(),
    "weighted_softmax": WeightedSoftmaxConfig(foreground=None),
    "composite_rmsd": CompositeRmsdConfig(),
}


def dataset(annotation: Annotation, pixel_size_um: float | None = 0.65) -> Dataset:
    cells = np.kron([[1, 0], [0, 2]], np.ones((16, 16))).astype(np.int32)
    nuclei = np.pad(cells[4:-4, 4:-4], 4)
    image = np.random.default_rng(0).normal(size=(32, 32, 1)).astype(np.float32)
    example = Example("a", image, pixel_classes(annotation, cells, nuclei), cells, nuclei, pixel_size_um)
    return Dataset((example,), (whole(example),), ("rna",), annotation.class_names, "test")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("annotation", Annotation)
def test_every_network_trains_by_every_cost_on_every_annotation(model, loss, annotation):
    """Shapes only: the objective and its gradient can be computed, from an output for every pixel and class."""
    names = annotation.class_names
    config = TrainConfig(model=MODELS[model], loss=LOSSES[loss], refine=WatershedConfig())
    check_composition(replace(config, sampler=CropsConfig()), dataset(annotation))
    network = nnx.eval_shape(lambda: config.model.build(channels=1, classes=len(names), seed=0))
    graph, params, stats = nnx.split(network, nnx.Param, ...)
    cost = objective(graph, config.loss.build(names, np.ones(len(names))), config.loss.l2)
    edge = 16 + 2 * network.geometry.train_border
    batch = Batch(jnp.zeros((2, edge, edge, 1)), jnp.zeros((2, 16, 16), int), jnp.ones((2, 16, 16)))
    gradient, aux = jax.eval_shape(jax.grad(cost, has_aux=True), params, stats, batch, jax.random.key(0))
    assert aux[-1].shape == (2, 16, 16, len(names))
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, params)


def test_all_kinds_are_crossed():
    assert set(MODELS) == set(GROUPS["model"])
    assert set(LOSSES) == set(GROUPS["loss"])


@pytest.mark.parametrize(
    ("parts", "annotation", "message"),
    [
        (
            {"sampler": PatchesConfig(), "model": MODELS["unet"]},
            "boundaries",
            "model=unet labels every pixel of a crop",
        ),
        (
            {"sampler": PatchesConfig(), "model": MODELS["skip_fcn"]},
            "boundaries",
            "model=skip_fcn labels .* sampler=crops",
        ),
        (
            {"sampler": PatchesConfig(), "loss": LOSSES["weighted_softmax"]},
            "boundaries",
            "loss=weighted_softmax compares the pixels of a crop .* take sampler=crops or loss=cross_entropy",
        ),
        ({"sampler": PatchesConfig(), "loss": LOSSES["composite_rmsd"]}, "boundaries", "loss=composite_rmsd compares"),
        (
            {"refine": WholeCellConfig()},
            "foreground",
            "refine=whole_cell starts from the classes nucleus and cytoplasm",
        ),
        ({"refine": WholeCellConfig()}, None, "a: its pixel size is unknown, and refine=whole_cell measures in micro"),
        ({"refine": WholeCellConfig(intensity_channel="dna")}, "compartments", "intensity_channel=dna is not among"),
    ],
)
def test_what_makes_no_sense_is_refused(parts, annotation, message):
    known = {"model": MODELS["patch_net"], "loss": LOSSES["cross_entropy"], "refine": WatershedConfig()}
    config = TrainConfig(**{"sampler": CropsConfig(), **known, **parts})
    data = dataset(Annotation.compartments, None) if annotation is None else dataset(Annotation[annotation])
    with pytest.raises(UserError, match=message) as error:
        check_composition(config, data)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("refine", [ThresholdConfig(), WatershedConfig(), WholeCellConfig()])
def test_every_refinement_of_cells_takes_compartments(refine):
    config = TrainConfig(model=MODELS["patch_net"], loss=LOSSES["composite_rmsd"], sampler=CropsConfig(), refine=refine)
    check_composition(config, dataset(Annotation.compartments))


RMSD = ("loss=composite_rmsd", "data.annotation=compartments", "seed_channel=null", "refine=whole_cell")


def test_independent_outputs_stay_independent_from_training_to_prediction(tmp_path):
    """P1's network, P3's cost, classes and refinement."""
    result = run_command(train.main, *TINY, *RMSD, f"run={tmp_path}")
    assert result.status == 0, result.err
    losses = [line["train_loss"] for line in metrics_of(tmp_path) if "train_loss" in line]
    assert losses[-1] < losses[0]
    scores = [line["validation_loss"] for line in metrics_of(tmp_path) if "validation_loss" in line]
    assert 0 < scores[-1] < 2 * np.log(3)
    model = load_model(tmp_path, "last")
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 2)).astype(np.float32)
    probability = np.asarray(model.probabilities(image))[0]
    network = model.config.model.build(channels=2, classes=3, seed=0)
    graph, params, stats = stack_members([network])
    arrays = arrays_of(tmp_path, 12)

    def stored(prefix, tree):
        leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
        names = [jax.tree_util.keystr(p, simple=True, separator=".").removesuffix(".value") for p, _ in leaves]
        return jax.tree_util.tree_unflatten(structure, [arrays[f"{prefix}.{name}"][0] for name in names])

    logits = nnx.merge(graph, stored("params", params), stored("stats", stats))(jnp.asarray(image))[0]
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert np.abs(probability.sum(-1) - 1).max() > 1e-3


@pytest.mark.slow
def test_crops_from_a_store_train_as_crops_drawn_again(tmp_path):
    cycle = ("sampler.stored_crops=7", "sampler.rescale=true", "loss=weighted_softmax", "data.annotation=foreground")
    arguments = (*TINY, *cycle, "trainer.ensemble=2")
    drawn = run_command(train.main, *arguments, f"run={tmp_path / 'drawn'}")
    stored = run_command(train.main, *arguments, f"run={tmp_path / 'stored'}", f"sampler.store={tmp_path / 'crops'}")
    assert (drawn.status, stored.status) == (0, 0), stored.err
    assert f"crops: 7 for each network, kept in {tmp_path / 'crops'}" in stored.err
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == ["seed_0", "seed_1"]
    expected, found = arrays_of(tmp_path / "drawn", 12), arrays_of(tmp_path / "stored", 12)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4, err_msg=name)
    moved = run_command(train.main, *arguments, f"run={tmp_path / 'stored'}")  # where the crops are does not matter
    assert "resuming at step 12 of 12" in moved.err
    other = run_command(train.main, *arguments, f"run={tmp_path / 'stored'}", "sampler.stored_crops=8")
    assert "holds a run with sampler.stored_crops=7, not 8" in other.error
