"""P1's networks: their sizes, and that patches, fragments and dilated kernels are one function."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from cellflax.data.sampler import Batch
from cellflax.errors import UserError
from cellflax.losses.cross_entropy import cross_entropy
from cellflax.models.patch_net import PatchNet, PatchNetConfig, Regularization, Stage
from cellflax.training.objective import objective
from tests.models.networks import (
    PATCH_NETS,
    load_config,
    normal,
    patches_of,
    reference_convolution,
    tiny_config,
    trained_like,
)

RECEPTIVE_FIELDS = {
    "patch_net_21": 21,
    "patch_net_31": 31,
    "patch_net_31_dropout": 31,
    "patch_net_31_multires": 31,
    "patch_net_41": 41,
    "patch_net_61": 61,
    "patch_net_61_dropout": 61,
    "patch_net_61_multires": 61,
    "patch_net_61_plain": 61,
    "patch_net_81": 81,
}

# Convolutions (edge^2 x in x out) and dense layers as P1 lists them, for two channels and three classes.
TRUNK_61 = 9 * 2 * 64 + 16 * 64 * 64 + 4 * 9 * 64 * 64 + 16 * 64 * 200
BATCH_NORM_61 = TRUNK_61 + 200 * 200 + 2 * (6 * 64 + 200 + 200) + 200 * 3 + 3  # scales and shifts
DROPOUT_61 = TRUNK_61 + 200 * 200 + (6 * 64 + 200 + 200) + 200 * 3 + 3  # biases
MULTIRES_61 = (
    9 * 2 * 64 + 16 * 64 * 64 + 2 * 9 * 64 * 64 + 9 * 64 * 128 + 9 * 128 * 128  # trunk to the last pooling
    + (28**2 * 64 + 12**2 * 64 + 4**2 * 128) * 256  # branches
    + 3 * 256 * 512 + 512 * 3 + 3
    + 2 * (4 * 64 + 2 * 128 + 3 * 256 + 512)
)  # fmt: skip
MULTIRES_31 = (
    16 * 2 * 32 + 9 * 32 * 64 + 9 * 64 * 64 + 9 * 64 * 128 + 9 * 128 * 200 + 14**2 * 32 * 200
    + 400 * 512 + 512 * 3 + 3
    + 2 * (32 + 64 + 64 + 128 + 200 + 200 + 512)
)  # fmt: skip


@partial(nnx.jit, static_argnames="train")
def apply(network: PatchNet, x: jax.Array, train: bool = False, key: jax.Array | None = None) -> jax.Array:
    return network(x, train=train, key=key)


def narrow(config: PatchNetConfig, share: int) -> PatchNetConfig:
    """The same network with one in `share` of the filters."""
    stages = [Stage(stage.kernels, [f // share for f in stage.filters]) for stage in config.stages]
    side = [f // share for f in config.side_filters]
    return dataclasses.replace(config, stages=stages, side_filters=side)


def dilated(network: PatchNet, x: jax.Array) -> jax.Array:
    """P1's dense execution of a plain batch-normalised network, by XLA's dilated operators."""
    spacing = 1
    for i, stage in enumerate(network.stages):
        if i:
            window = {"window_dimensions": (1, 2, 2, 1), "window_strides": (1, 1, 1, 1), "padding": "VALID"}
            dilation = (1, spacing, spacing, 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, **window, window_dilation=dilation)
            spacing *= 2
        for block in stage:
            x = _block(block, x, block.transform.kernel[...], spacing)
    for block in network.hidden:
        x = _block(block, x, block.transform.kernel[...][None, None], 1)
    return x @ network.output.kernel[...] + network.output.bias[...].reshape(1, 1, 1, -1)


def _block(block, x, kernel, spacing):
    x = reference_convolution(x, kernel, spacing)
    norm = block.normalization
    mean, var, scale, bias = (v[...].reshape(1, 1, 1, -1) for v in (norm.mean, norm.var, norm.scale, norm.bias))
    return jnp.maximum((x - mean) / jnp.sqrt(var + norm.epsilon) * scale + bias, 0)


def test_every_configuration_is_known_here():
    assert sorted(RECEPTIVE_FIELDS) == PATCH_NETS


@pytest.mark.parametrize(("name", "edge"), RECEPTIVE_FIELDS.items())
def test_receptive_field_is_in_the_name(name, edge):
    assert load_config(name).receptive_field == edge


def test_receptive_field_is_what_an_output_depends_on():
    network = trained_like(tiny_config(), channels=1)
    x = normal(0, 1, 31, 31, 1)

    @jax.jit
    def output(x):
        return network.dense(x)[0, 8, 8].sum()

    rows, columns = np.nonzero(np.asarray(jax.grad(output)(x)[0, :, :, 0]))
    assert rows.min() >= 8
    assert columns.min() >= 8
    assert rows.max() < 8 + network.geometry.receptive_field
    assert columns.max() < 8 + network.geometry.receptive_field
    assert rows.max() - rows.min() > network.geometry.receptive_field // 2  # not trivially so


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("patch_net_61", BATCH_NORM_61),
        ("patch_net_61_dropout", DROPOUT_61),
        ("patch_net_61_multires", MULTIRES_61),
        ("patch_net_31_multires", MULTIRES_31),
    ],
)
def test_parameter_count_is_that_of_the_papers_layer_list(name, count):
    config = load_config(name)
    shapes = nnx.eval_shape(lambda: config.build(channels=2, classes=3, seed=0))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(shapes, nnx.Param))) == count


def test_default_configuration_is_that_of_61_pixels():
    assert load_config("patch_net_61") == PatchNetConfig()


@pytest.mark.parametrize("name", PATCH_NETS)
def test_dense_execution_equals_patch_execution(name):
    network = trained_like(load_config(name))
    edge = network.geometry.receptive_field
    image = normal(0, 1, edge + 4, edge + 6, 2)  # 5 x 7 outputs: divisible by no pooling
    expected = nnx.jit(PatchNet.patches)(network, patches_of(image, edge))
    actual = nnx.jit(PatchNet.dense)(network, image)
    assert actual.shape == (1, 5, 7, 3)
    assert float(expected.std()) > 0.1  # the pixels do differ
    np.testing.assert_allclose(actual.reshape(-1, 3), expected.reshape(-1, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "side_filters"), [((1, 1), []), ((1, 8), [0, 3]), ((3, 2), [2, 3]), ((9, 16), []), ((13, 11), [3])]
)
def test_dense_execution_of_any_size_equals_patch_execution(outputs, side_filters):
    network = trained_like(dataclasses.replace(tiny_config(), side_filters=side_filters))
    image = normal(0, 2, outputs[0] + 10, outputs[1] + 10, 2)
    expected = apply(network, patches_of(image, 11)).reshape(2, *outputs, 3)
    np.testing.assert_allclose(nnx.jit(PatchNet.dense)(network, image), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(apply(network, image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["patch_net_31", "patch_net_61"])
def test_fragments_equal_dilated_kernels(name):
    network = trained_like(load_config(name))
    edge = network.geometry.receptive_field
    image = normal(3, 1, edge + 10, edge + 12, 2)
    expected = jax.jit(partial(dilated, network))(image)
    np.testing.assert_allclose(nnx.jit(PatchNet.dense)(network, image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        # The first is quick to compile, and the second has all kinds of layers.
        pytest.param(
            name,
            1 if name == "patch_net_31" else 8,
            marks=() if name in ("patch_net_21", "patch_net_31_multires") else pytest.mark.slow,
        )
        for name in PATCH_NETS
        if not name.endswith("_dropout")
    ],
)
def test_gradient_of_crops_equals_that_of_their_patches(name, share):
    """One crop against all of its patches, by the cost that training differentiates.

    Without regularization, dropout networks are the plain ones.
    """
    config = dataclasses.replace(load_config(name), regularization=Regularization.none)
    network = trained_like(narrow(config, share))
    size, edge = network.geometry.multiple, network.geometry.receptive_field
    image = normal(4, 1, size + edge - 1, size + edge - 1, 2)
    rng = np.random.default_rng(5)
    target = jnp.asarray(rng.integers(0, 3, (1, size, size)))
    weight = jnp.asarray(rng.uniform(0, 2, (1, size, size)), jnp.float32)
    crop = Batch(image, target, weight)
    patches = Batch(patches_of(image, edge), target.reshape(-1, 1, 1), weight.reshape(-1, 1, 1))

    graph, params, stats = nnx.split(network, nnx.Param, ...)
    cost = jax.value_and_grad(objective(graph, cross_entropy, l2=1e-5), has_aux=True)
    cost = jax.jit(cost, compiler_options={"xla_backend_optimization_level": 0})  # compiling takes all the time
    (total, _), gradient = cost(params, stats, crop, jax.random.key(0))
    (expected_total, _), expected = cost(params, stats, patches, jax.random.key(0))
    assert float(total) == pytest.approx(float(expected_total), rel=1e-5)
    for actual, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        assert float(jnp.abs(wanted).max()) > 0
        assert float(jnp.abs(actual - wanted).max()) <= 1e-4 * float(jnp.abs(wanted).max())


def test_batch_norm_in_training_uses_the_batch_and_updates_the_running_statistics():
    network = trained_like(tiny_config())
    image = 5 + 3 * normal(7, 2, 18, 18, 2)
    evaluated = apply(network, image)
    norm = network.stages[0][0].normalization
    mean, var = norm.mean[...], norm.var[...]
    x = reference_convolution(image, network.stages[0][0].transform.kernel[...])
    trained = apply(network, image, train=True)
    np.testing.assert_allclose(norm.mean[...], 0.95 * mean + 0.05 * x.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.var[...], 0.95 * var + 0.05 * x.var((0, 1, 2)), rtol=1e-4)
    assert float(jnp.abs(trained - evaluated).max()) > 1e-3
    assert float(jnp.abs(apply(network, image) - evaluated).max()) > 1e-3


def test_dropout_drops_in_training_only_and_by_its_key():
    network = trained_like(tiny_config(Regularization.dropout))
    image = normal(8, 1, 18, 18, 2)
    first, again, other = (apply(network, image, train=True, key=jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 1e-3
    evaluated = apply(network, image)
    np.testing.assert_array_equal(evaluated, apply(network, image, key=jax.random.key(1)))
    with pytest.raises(ValueError, match="needs a key"):
        apply(network, image, train=True)


def test_dropout_keeps_the_expected_input_of_a_linear_layer():
    config = dataclasses.replace(tiny_config(Regularization.dropout), dense=[], dropout=0.3)
    network = trained_like(config)
    image = normal(9, 1, 11, 11, 2)
    copies = jnp.broadcast_to(image, (4000, *image.shape[1:]))
    draws = apply(network, copies, train=True, key=jax.random.key(0))[:, 0, 0]
    error = draws.std(0) / np.sqrt(4000)
    expected = apply(network, image)[0, 0, 0]
    assert float(error.min()) > 0
    assert float(jnp.abs((draws.mean(0) - expected) / error).max()) < 5


def test_any_number_of_channels_and_classes():
    network = nnx.eval_shape(lambda: tiny_config().build(channels=5, classes=4, seed=0))
    output = nnx.eval_shape(apply, network, jnp.zeros((2, 12, 15, 5)))
    assert output.shape == (2, 2, 5, 4)


def test_seed_decides_the_weights():
    config = PatchNetConfig(stages=[Stage([1], [8])], dense=[])
    networks = [config.build(channels=1, classes=8, seed=s) for s in (0, 0, 1)]
    kernels = [network.stages[0][0].transform.kernel[...] for network in networks]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": []}, "model.stages is empty"),
        ({"stages": [Stage([3, 3], [8])]}, r"model.stages\[0\] needs as many kernels as filters"),
        ({"stages": [Stage([3], [8]), Stage()]}, r"model.stages\[1\] needs .* at least one of each"),
        ({"stages": [Stage([3], [0])]}, r"every value of model.stages\[0\].filters must be 1 or more, got \[0\]"),
        ({"stages": [Stage([4], [8])]}, "see 4 x 4 pixels: the receptive field must be odd"),
        ({"dense": [200, 0]}, "every value of model.dense must be 1 or more"),
        ({"side_filters": [1, 1, 1, 1]}, "model.side_filters has 4 branches, but there are only 3 poolings"),
        ({"side_filters": [-1]}, "every value of model.side_filters must be 0 or more"),
        ({"dropout": 1.0}, r"model.dropout must be in \[0, 1\), got 1.0"),
        ({"batch_norm_momentum": 1.0}, "model.batch_norm_momentum must be in"),
        ({"batch_norm_epsilon": 0.0}, "model.batch_norm_epsilon must be above 0"),
    ],
)
def test_unusable_architectures_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        PatchNetConfig(**arguments)


@pytest.mark.parametrize(
    ("method", "size", "train", "message"),
    [
        ("dense", 10, False, "smaller than the receptive field 11"),
        ("dense", 15, True, r"divisible by 4, got \(5, 5\)"),
        ("patches", 12, False, "patches must be 11 pixels wide"),
    ],
)
def test_unusable_sizes_are_refused(method, size, train, message):
    network = trained_like(tiny_config(), channels=1)
    with pytest.raises(ValueError, match=message):
        getattr(network, method)(jnp.zeros((1, size, size, 1)), train=train)
