"""The cost of distances, and a step that learns classes and distances together."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.data.example import Dataset
from cellflax.data.sampler import Batch, CropsConfig, PatchesConfig, Sampler, SamplerConfig
from cellflax.data.split import whole
from cellflax.data.with_target import with_target
from cellflax.losses import activation_of, output_activation
from cellflax.losses.composite_rmsd import CompositeRmsdConfig
from cellflax.losses.cross_entropy import CrossEntropyConfig, cross_entropy
from cellflax.losses.distances import distance_cost
from cellflax.targets import DISTANCES, Outputs
from cellflax.targets.distances import ClassesDistancesTarget, DistancesTarget
from cellflax.training.objective import objective
from cellflax.training.optimizers import SgdConfig, build_optimizer
from cellflax.training.state import StepSums, create_state, data_mesh, make_train_step, replicate
from tests.training.test_composition import LOSSES, MODELS
from tests.training.test_state import CROPS, NETWORK, PLAIN, disc_example

STEPS = 20
TARGETS = {"distances": DistancesTarget(), "classes_distances": ClassesDistancesTarget()}
COST = partial(distance_cost, weight=2.0, outside=0.1)


def test_the_cost_equals_its_transcription():
    rng = np.random.default_rng(0)
    logits, target = 2 * rng.normal(size=(2, 5, 6, 2)), rng.uniform(0.1, 1, (2, 5, 6, 2))
    outside, unknown = rng.random((2, 5, 6)) < 0.4, rng.random((2, 5, 6)) < 0.3
    target[outside] = (1, 0)
    target[unknown] = np.nan
    error = np.abs(1 / (1 + np.exp(-logits)) - target).mean(-1)
    expected = 2 * (error[~outside & ~unknown].mean() + 0.1 * error[outside & ~unknown].mean())
    found, slope = jax.value_and_grad(COST)(jnp.asarray(logits), jnp.asarray(target))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert (np.asarray(slope)[unknown] == 0).all()
    assert np.isfinite(slope).all()
    nothing, slope = jax.value_and_grad(COST)(jnp.asarray(logits), jnp.full((2, 5, 6, 2), jnp.nan))
    assert (float(nothing), float(np.abs(slope).max())) == (0, 0)


def test_maps_are_sigmoids_whatever_the_classes_are():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), jnp.float32)
    for config in (CrossEntropyConfig(), CompositeRmsdConfig(), None):
        found = output_activation(config, Outputs(("a", "b", "c"), DISTANCES))(logits)
        np.testing.assert_allclose(found[:, :3], activation_of(config)(logits[:, :3]), rtol=1e-6)
        np.testing.assert_allclose(found[:, 3:], 1 / (1 + np.exp(-logits[:, 3:])), rtol=1e-5)
        assert output_activation(config, Outputs(("a", "b"))) is activation_of(config)  # no copy without maps


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_every_network_learns_distances_beside_every_cost(model, loss):
    """Shapes only; the cost of the classes sees classes alone."""
    names = ("interior", "background")
    network = nnx.eval_shape(lambda: MODELS[model].build(channels=1, classes=4, seed=0))
    graph, params, stats = nnx.split(network, nnx.Param, ...)
    cost = objective(graph, LOSSES[loss].build(names, np.ones(2)), 0.0, COST)
    edge = 16 + 2 * network.geometry.train_border
    maps = jnp.zeros((2, 16, 16, 2))
    batch = Batch(jnp.zeros((2, edge, edge, 1)), jnp.zeros((2, 16, 16), int), jnp.ones((2, 16, 16)), maps)
    gradient, aux = jax.eval_shape(jax.grad(cost, has_aux=True), params, stats, batch, jax.random.key(0))
    assert aux[-1].shape == (2, 16, 16, 2)
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, params)


def trained(target: str, sampling: SamplerConfig, devices: int) -> tuple[dict, np.ndarray]:
    """Final parameters and the cost of each step."""
    example = disc_example()
    data = Dataset((example,), (whole(example),), ("a", "b"), ("edge", "interior", "background"), "test")
    data = with_target(data, TARGETS[target])
    network = NETWORK.build(channels=2, classes=len(data.outputs.names), seed=0)
    geometry = network.geometry
    sampler = Sampler(
        sampling, data.train, border=geometry.border, multiple=geometry.multiple, classes=len(data.class_names)
    )
    mesh, optimizer = data_mesh(devices), build_optimizer(SgdConfig(learning_rate=0.05), STEPS)
    graph, state = create_state([network], optimizer)
    state = replicate(state, mesh)
    step = make_train_step(graph, optimizer, cross_entropy, 1e-3, sampler, 0, mesh, COST)
    fed = replicate(sampler.data, mesh)
    sums, losses = replicate(StepSums.zero(len(data.class_names)), mesh), []
    for position in jnp.arange(STEPS):
        before = float(sums.loss)
        state, sums = step(state, fed, sums, position)
        losses.append(float(sums.loss) - before)
    return jax.device_get(state.params), np.array(losses)


@pytest.mark.parametrize(
    ("target", "sampling"),
    [("distances", CROPS), ("classes_distances", CROPS), ("distances", PatchesConfig(batch=32, augment=PLAIN))],
    ids=["distances", "classes_distances", "patches"],
)
def test_one_and_four_devices_agree(target, sampling):
    (one, losses), (four, other) = (trained(target, sampling, devices) for devices in (1, 4))
    assert losses[-5:].mean() < losses[:5].mean() - 0.05  # it does learn
    np.testing.assert_allclose(other, losses, rtol=0, atol=1e-5)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_composed_crops_of_a_target_train():
    sampling = replace(CROPS, size=16, compose=0.5)
    assert isinstance(sampling, CropsConfig)
    assert np.isfinite(trained("distances", sampling, 1)[1]).all()
