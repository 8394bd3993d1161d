"""U-Nets: what an output sees, that windows agree where they overlap, and the network by XLA's own operators."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from cellflax.config import config_directory
from cellflax.data.sampler import Batch
from cellflax.errors import UserError
from cellflax.inference.dense import predict_tiles
from cellflax.losses.cross_entropy import cross_entropy
from cellflax.models.unet import UNet, UNetConfig, UpLevel
from cellflax.training.state import objective
from tests.models.networks import assert_aligned_windows_agree, load_config, normal, trained_like

UNETS = sorted(path.stem for path in Path(config_directory() / "model").glob("unet*.yaml"))

TINY = UNetConfig(
    down=[[4, 3], [5]],
    bottom=[6],
    up=[UpLevel(4, [5]), UpLevel(3, [4, 4])],
    context_px=4,
    dropout_levels=[1],
    dropout=0.0,
)

# With the radius of each, from pixel to pixel by hand: a convolution adds half its kernel times the pixels that
# one pixel of its level is wide, and a level's pooling and upsampling together add that width.
RADII = {
    "one level": (UNetConfig(down=[[2]], bottom=[2], up=[UpLevel(2, [2])]), 1 + 2 + 1 + 1),
    "no bottom": (UNetConfig(down=[[2]], bottom=[], up=[UpLevel(2, [2])]), 1 + 1 + 1),
    "wide": (UNetConfig(down=[[2]], bottom=[2], up=[UpLevel(2, [2])], kernel=5), 2 + 4 + 2 + 1),
    "points": (UNetConfig(down=[[2], [2]], bottom=[2], up=[UpLevel(2, [2])] * 2, kernel=1), 1 + 2),
    "two levels": (TINY, (2 + 2 * 1) + 4 * 1 + (2 * 1 + 2) + 1 + 2),
    "asymmetric": (
        UNetConfig(down=[[2], [2], [2, 2]], bottom=[2], up=[UpLevel(2, [2, 2]), UpLevel(2, [2]), UpLevel(2, [2])]),
        (1 + 2 + 2 * 4) + 8 + (2 * 4 + 2 + 1) + 1 + 2 + 4,
    ),
}


@partial(nnx.jit, static_argnames="train")
def apply(network: UNet, x: jax.Array, train: bool = False, key: jax.Array | None = None) -> jax.Array:
    return network(x, train=train, key=key)


def increasing(config: UNetConfig) -> UNet:
    """A network of which every output rises with every pixel that it depends on."""
    config = dataclasses.replace(config, batch_norm=False)
    graph, state = nnx.split(trained_like(config, channels=1, classes=1))

    def positive(leaf):
        return jnp.full(leaf.shape, 1 / np.prod(leaf.shape[:-1]), leaf.dtype)

    return nnx.merge(graph, jax.tree.map(positive, state))


def seen(network: UNet, edge: int) -> np.ndarray:
    """Which outputs rise with which pixels along one axis: (edge, edge - 2 border), the same for both axes."""
    rows = jnp.broadcast_to(jnp.eye(edge)[:, :, None, None], (edge, edge, edge, 1))  # image i is bright in row i
    flat = apply(network, jnp.ones((1, edge, edge, 1)))[..., 0]
    down = apply(network, 1 + 1e6 * rows)[..., 0] > 1.001 * flat
    across = apply(network, 1 + 1e6 * rows.transpose(0, 2, 1, 3))[..., 0] > 1.001 * flat
    np.testing.assert_array_equal(down, across.transpose(0, 2, 1))
    return np.asarray(down.any(axis=2))


@pytest.mark.parametrize(("config", "radius"), RADII.values(), ids=RADII)
def test_radius_is_how_far_an_output_sees(config, radius):
    assert config.radius == radius
    network = increasing(config)
    assert network.geometry.receptive_field == 2 * radius + 1
    assert network.geometry.border >= radius
    sees = seen(network, 2 * network.geometry.border + network.geometry.multiple)
    first, last = sees.argmax(axis=0), len(sees) - 1 - sees[::-1].argmax(axis=0)
    own = network.geometry.border + np.arange(network.geometry.multiple)
    assert (own - first).max() == radius
    assert (last - own).max() == radius


@pytest.mark.parametrize("name", UNETS)
def test_nothing_beyond_the_radius_matters(name):
    config = load_config(name, UNetConfig)
    network = trained_like(config)
    edge = 2 * network.geometry.border + network.geometry.multiple
    image = normal(0, 1, edge, edge, 2)
    last = network.geometry.border + network.geometry.multiple - 1
    far = np.abs(np.arange(edge) - last) > config.radius
    far = (far[:, None] | far[None, :])[None, :, :, None]
    change = apply(network, jnp.where(far, 10 * normal(1, *image.shape), image)) - apply(network, image)
    assert float(jnp.abs(change[0, -1, -1]).max()) < 1e-5
    assert float(jnp.abs(change).max()) > 1e-4  # it does matter to others


@pytest.mark.parametrize("name", UNETS)
def test_windows_at_aligned_offsets_agree(name):
    assert_aligned_windows_agree(trained_like(load_config(name, UNetConfig)), apply)


def test_windows_at_other_offsets_do_not_agree():
    """Why tiles are aligned: the poolings fall on other pixels."""
    network = trained_like(TINY)
    border, multiple = network.geometry.border, network.geometry.multiple
    image = normal(0, 1, *2 * [2 * border + 2 * multiple], 2)
    moved = apply(network, image[:, 1 : 1 - multiple, 1 : 1 - multiple])
    whole = apply(network, image)[:, 1 : 1 + multiple, 1 : 1 + multiple]
    assert float(jnp.abs(moved - whole).max()) > 1e-2


@pytest.mark.parametrize("shape", [(64, 64), (150, 131)])
def test_tiles_give_the_whole_image(shape):
    network = trained_like(TINY)
    image = np.asarray(normal(3, *shape, 2))
    border = network.geometry.border
    padded = jnp.asarray(np.pad(image, [(border, border + 8), (border, border + 8), (0, 0)], mode="reflect"))
    whole = apply(network, padded[None])[0, : shape[0], : shape[1]]
    tiled = predict_tiles(partial(apply, network), image, network.geometry, tile=64)
    inner = (slice(0, shape[0] - border), slice(0, shape[1] - border))  # what is mirrored depends on the padding
    np.testing.assert_allclose(tiled[inner], whole[inner], rtol=0, atol=1e-5)


@pytest.mark.parametrize("outputs", [(1, 1), (3, 8), (6, 5)])
def test_windows_of_any_size_are_predicted(outputs):
    network = trained_like(TINY)
    border = network.geometry.border
    image = normal(4, 2, 2 * border + 8, 2 * border + 8, 2)
    expected = apply(network, image)[:, : outputs[0], : outputs[1]]
    window = image[:, : 2 * border + outputs[0], : 2 * border + outputs[1]]
    actual = apply(network, window)
    assert actual.shape == (2, *outputs, 3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_training_returns_all_but_the_context():
    network = trained_like(dataclasses.replace(TINY, batch_norm=False))
    image = normal(5, 1, 48, 40, 2)
    trained = apply(network, image, train=True, key=jax.random.key(0))
    assert trained.shape == (1, 40, 32, 3)
    assert network.geometry.train_border == 4
    inner = network.geometry.border - network.geometry.train_border
    np.testing.assert_allclose(trained[:, inner:-inner, inner:-inner], apply(network, image), rtol=0, atol=1e-5)


def test_context_beyond_the_border_is_not_asked_for():
    config = UNetConfig(down=[[2]], bottom=[2], up=[UpLevel(2, [2])], context_px=16)
    network = nnx.eval_shape(lambda: config.build(channels=1, classes=2, seed=0))
    assert network.geometry.train_border == network.geometry.border == 6


def reference(params, x: jax.Array) -> jax.Array:
    """TINY in training, whole window, by XLA's operators and Ioffe and Szegedy's formula."""

    def block(x, p):
        kernel = p["convolution"]["kernel"][...]
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        scale, bias = (p["normalization"][name][...].reshape(1, 1, 1, -1) for name in ("scale", "bias"))
        mean, var = x.mean((0, 1, 2), keepdims=True), x.var((0, 1, 2), keepdims=True)
        return jnp.maximum((x - mean) / jnp.sqrt(var + 1e-5) * scale + bias, 0)

    def level(x, p):
        for i in sorted(p["blocks"]):
            x = block(x, p["blocks"][i])
        return x

    def pool(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def upsample(x, p):
        kernel, bias = p["kernel"][...], p["bias"][...].reshape(1, 1, 1, -1)
        taps = kernel.reshape(x.shape[-1], 2, 2, -1).transpose(1, 2, 0, 3)[::-1, ::-1]
        return lax.conv_transpose(x, taps, (2, 2), "VALID") + bias

    fine = level(x, params["down"][0])
    coarse = level(pool(fine), params["down"][1])
    x = level(pool(coarse), params["bottom"])
    x = level(jnp.concatenate([coarse, upsample(x, params["upsampling"][0])], -1), params["up"][0])
    x = level(jnp.concatenate([fine, upsample(x, params["upsampling"][1])], -1), params["up"][1])
    return x @ params["output"]["kernel"][...] + params["output"]["bias"][...].reshape(1, 1, 1, -1)


def test_network_and_gradient_are_those_of_xlas_operators():
    graph, params, stats = nnx.split(trained_like(TINY), nnx.Param, ...)
    image = normal(6, 2, 24, 32, 2)
    rng = np.random.default_rng(7)
    target = jnp.asarray(rng.integers(0, 3, (2, 16, 24)))
    weight = jnp.asarray(rng.uniform(0, 2, (2, 16, 24)), jnp.float32)

    def expected_cost(params):
        return cross_entropy(reference(params, image)[:, 4:-4, 4:-4], target, weight)

    cost = objective(graph, cross_entropy, l2=0.0)
    quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiling takes all the time
    batch, key = Batch(image, target, weight), jax.random.key(0)
    (total, _), gradient = quickly(jax.value_and_grad(cost, has_aux=True))(params, stats, batch, key)
    expected_total, expected = quickly(jax.value_and_grad(expected_cost))(params)
    assert float(total) == pytest.approx(float(expected_total), rel=1e-5)
    for actual, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        assert float(jnp.abs(wanted).max()) > 0
        assert float(jnp.abs(actual - wanted).max()) <= 1e-4 * float(jnp.abs(wanted).max())


def test_batch_norm_moves_its_running_statistics_in_training_only():
    network = trained_like(dataclasses.replace(TINY, dropout_levels=[]))
    norms = [block.normalization for level in (*network.down, network.bottom, *network.up) for block in level.blocks]
    assert len(norms) == 7
    before = [norm.mean[...] for norm in norms]
    apply(network, normal(8, 1, 40, 40, 2))
    assert all(np.array_equal(norm.mean[...], old) for norm, old in zip(norms, before, strict=True))
    apply(network, normal(8, 1, 40, 40, 2), train=True)
    assert not any(np.array_equal(norm.mean[...], old) for norm, old in zip(norms, before, strict=True))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_dropout_drops_in_training_only_and_by_its_key(level):
    network = trained_like(dataclasses.replace(TINY, batch_norm=False, dropout=0.5, dropout_levels=[level]))
    image = normal(9, 1, 40, 40, 2)
    first, again, other = (apply(network, image, train=True, key=jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 1e-3
    np.testing.assert_array_equal(apply(network, image), apply(network, image, key=jax.random.key(1)))
    with pytest.raises(ValueError, match="needs a key"):
        apply(network, image, train=True)


def test_default_configuration_is_that_of_the_file():
    assert load_config("unet", UNetConfig) == UNetConfig()


def test_alkofahi_has_the_papers_contracting_path():
    network = nnx.eval_shape(lambda: load_config("unet_alkofahi", UNetConfig).build(channels=1, classes=3, seed=0))
    kernels = [block.convolution.kernel.shape for level in network.down for block in level.blocks]
    assert kernels == [(3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 128), (3, 3, 128, 128), (3, 3, 128, 256)]
    assert 160 // network.geometry.multiple == 5
    assert len(network.dropout_levels) == 3
    assert (160 + 2 * network.geometry.train_border) % network.geometry.multiple == 0


@pytest.mark.parametrize("name", UNETS)
def test_every_configuration_trains_and_predicts(name):
    network = nnx.eval_shape(lambda: load_config(name, UNetConfig).build(channels=3, classes=4, seed=0))
    edge = 160 + 2 * network.geometry.train_border
    key = jax.eval_shape(lambda: jax.random.key(0))
    trained = nnx.eval_shape(partial(apply, train=True), network, jnp.zeros((2, edge, edge, 3)), key=key)
    assert trained.shape == (2, 160, 160, 4)
    edge = 100 + 2 * network.geometry.border
    assert nnx.eval_shape(apply, network, jnp.zeros((1, edge, edge, 3))).shape == (1, 100, 100, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"down": []}, "model.down is empty"),
        ({"down": [[8], [8]]}, "model.up has 4 levels, but each of the 2 levels of model.down needs one"),
        ({"down": [[8], [], [8], [8]]}, r"model.down\[1\] is empty: give at least one number of filters"),
        ({"down": [[8], [8], [8, 0], [8]]}, r"every value of model.down\[2\] must be 1 or more, got \[8, 0\]"),
        ({"bottom": [-1]}, "every value of model.bottom must be 1 or more"),
        ({"up": [UpLevel(8, [8])] * 3 + [UpLevel(8)]}, r"model.up\[3\].filters is empty"),
        ({"up": [UpLevel(0, [8])] * 4}, r"model.up\[0\].upsample must be 1 or more, got 0"),
        ({"kernel": 4}, "model.kernel must be odd and 1 or more, got 4"),
        ({"context_px": 12}, "model.context_px must be a multiple of 8, .* pooled 4 times; got 12"),
        ({"context_px": -8}, "model.context_px must be 0 or more, got -8"),
        ({"dropout": 1.0}, r"model.dropout must be in \[0, 1\), got 1.0"),
        ({"dropout_levels": [5]}, r"every value of model.dropout_levels must be in \[0, 4\], got \[5\]"),
        ({"batch_norm_momentum": 1.0}, "model.batch_norm_momentum must be in"),
        ({"batch_norm_epsilon": 0.0}, "model.batch_norm_epsilon must be above 0"),
    ],
)
def test_unusable_architectures_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        UNetConfig(**arguments)


@pytest.mark.parametrize(
    ("size", "train", "message"),
    [
        (32, False, "leaves nothing inside a border of 16 pixels"),
        (8, True, "leaves nothing inside a border of 4 pixels"),
        (18, True, r"training needs windows divisible by 4, got \(18, 18\)"),
    ],
)
def test_unusable_sizes_are_refused(size, train, message):
    network = trained_like(TINY, channels=1)
    with pytest.raises(ValueError, match=message):
        network(jnp.zeros((1, size, size, 1)), train=train, key=jax.random.key(0))
