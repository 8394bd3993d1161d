"""P2's network: every block's shape and parameters as in the text, and that windows agree where they overlap."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.config import config_directory
from cellflax.errors import UserError
from cellflax.inference.dense import predict_tiles
from cellflax.models.layers import max_pool
from cellflax.models.padded import Extent
from cellflax.models.skip_fcn import SkipFcn, SkipFcnConfig
from tests.models.networks import assert_aligned_windows_agree, load_config, normal, trained_like

SKIP_FCNS = sorted(path.stem for path in Path(config_directory() / "model").glob("skip_fcn*.yaml"))
TINY = SkipFcnConfig(filters=[4, 6, 8], residual_blocks=[0, 1, 1], bottleneck=0.5, context_px=4)


@partial(nnx.jit, static_argnames="train")
def apply(network: SkipFcn, x: jax.Array, train: bool = False) -> jax.Array:
    return network(x, train=train)


def shapes_only(config: SkipFcnConfig, channels: int = 3, classes: int = 2) -> SkipFcn:
    return nnx.eval_shape(lambda: config.build(channels=channels, classes=classes, seed=0))


def parameters(module: nnx.Module) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def conv(kernel: int, filters_in: int, filters: int) -> int:
    """A convolution without bias, and batch normalisation's scale and bias."""
    return kernel**2 * filters_in * filters + 2 * filters


def test_blocks_have_the_parameters_of_the_text():
    """Three planes in; 8, 16, 32 and 64 maps; Residual blocks of 16, 16 and 64; DeConv of a doubling and two convs."""
    network = shapes_only(load_config("skip_fcn", SkipFcnConfig))
    for level, (before, maps) in zip(network.down, [(3, 8), (8, 16), (16, 32), (32, 64)], strict=True):
        assert parameters(level.conv) == conv(3, before, maps)
    assert [len(level.residuals) for level in network.down] == [0, 0, 0, 2]
    for residual in network.down[-1].residuals:
        kernels = [block.convolution.kernel.shape for block in residual.blocks.blocks]
        assert kernels == [(1, 1, 64, 16), (3, 3, 16, 16), (1, 1, 16, 64)]
        assert parameters(residual) == conv(1, 64, 16) + conv(3, 16, 16) + conv(1, 16, 64) + 2 * 64
    for up, (before, maps) in zip(network.up, [(64, 32), (32, 16), (16, 8)], strict=True):
        assert parameters(up.upsampling) == 4 * before * maps + maps  # 2 x 2, with a bias
        assert parameters(up) == parameters(up.upsampling) + 2 * maps + 2 * conv(3, maps, maps)
    assert parameters(network.output) == 8 * 2 + 2
    blocks = sum(parameters(block) for block in [*network.down, *network.up, network.output])
    assert parameters(network) == blocks == 69_346


@pytest.mark.parametrize(
    ("name", "fewer"),
    [
        ("skip_fcn_no_long_skip", 2 * (32 + 16 + 8)),
        ("skip_fcn_no_residual", 2 * 2 * 64),
        ("skip_fcn_plain", 2 * (32 + 16 + 8) + 2 * 2 * 64),
    ],
)
def test_ablations_lose_the_normalisation_of_their_sums_alone(name, fewer):
    whole, ablated = (shapes_only(load_config(n, SkipFcnConfig)) for n in ("skip_fcn", name))
    assert parameters(whole) - parameters(ablated) == fewer


def test_shapes_of_every_block(monkeypatch):
    seen = []

    def watched(kind):
        inner = kind.__call__

        def call(self, *arguments, **options):
            result = inner(self, *arguments, **options)
            seen.append((kind.__name__, result.shape))
            return result

        monkeypatch.setattr(kind, "__call__", call)

    for kind in {type(module) for _, module in nnx.iter_modules(shapes_only(TINY))}:
        if kind.__name__ in ("Level", "Residual", "Upsampling", "DeConv"):
            watched(kind)
    network = shapes_only(load_config("skip_fcn", SkipFcnConfig))
    nnx.eval_shape(lambda network, x: network(x, train=True), network, jnp.zeros((2, 480, 480, 3)))
    assert seen == [
        ("Level", (2, 480, 480, 8)),
        ("Level", (2, 240, 240, 16)),
        ("Level", (2, 120, 120, 32)),
        *2 * [("Residual", (2, 60, 60, 64))],
        ("Level", (2, 60, 60, 64)),
        *[
            (kind, (2, edge, edge, maps))
            for edge, maps in [(120, 32), (240, 16), (480, 8)]
            for kind in ("Upsampling", "DeConv")
        ],
    ]


def normalized(x: np.ndarray, norm) -> np.ndarray:
    mean, var, scale, bias = (np.asarray(v[...], float) for v in (norm.mean, norm.var, norm.scale, norm.bias))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def test_short_and_long_skips_are_added_then_normalised():
    network = trained_like(TINY)
    residual, up = network.down[-1].residuals[0], network.up[0]
    x, skip = normal(0, 1, 6, 5, 8), normal(1, 1, 12, 10, 6)
    expected = normalized(np.asarray(x + residual.blocks(x, train=False), float), residual.normalization)
    np.testing.assert_allclose(residual(x, train=False), expected, atol=1e-4)
    arrived = normalized(np.asarray(up.upsampling(x) + skip, float), up.normalization)
    expected = up.convs(jnp.asarray(arrived, jnp.float32), train=False)
    np.testing.assert_allclose(up(x, skip, train=False), expected, atol=1e-4)
    plain = trained_like(dataclasses.replace(TINY, long_skips=False, residual=False))
    residual, up = plain.down[-1].residuals[0], plain.up[0]
    np.testing.assert_array_equal(residual(x, train=False), residual.blocks(x, train=False))
    np.testing.assert_array_equal(up(x, skip, train=False), up.convs(up.upsampling(x), train=False))


def test_order_of_the_blocks():
    network = trained_like(TINY)
    x = normal(2, 1, 16, 16, 2)
    first = network.down[0](x, train=False)
    second = network.down[1](max_pool(first, 2), train=False)
    bottom = network.down[2](max_pool(second, 2), train=False)
    expected = network.up[1](network.up[0](bottom, second, train=False), first, train=False)
    parts = network.parts((16, 16), Extent((0, 0), (16, 16)))
    np.testing.assert_allclose(network.features(x, parts, train=False, key=None), expected, atol=1e-5)


def test_kernels_begin_he_normal():
    network = SkipFcnConfig(filters=[64, 128], residual_blocks=[0, 1]).build(channels=3, classes=2, seed=0)
    kernels = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(network, nnx.Param))
        if "kernel" in str(path)
    ]
    assert len(kernels) == 9
    for kernel in kernels:
        if kernel.size > 1000:
            assert float(kernel.std()) == pytest.approx(np.sqrt(2 / np.prod(kernel.shape[:-1])), rel=0.1)


def radius(config: SkipFcnConfig) -> int:
    """From pixel to pixel by hand: see test_unet.RADII."""
    width, reach = 1, 0
    for level, blocks in enumerate(config.residual_blocks):
        reach += width * (1 + blocks)
        if level < len(config.filters) - 1:
            reach += width * 2 + width  # two convs on the way up, and the pooling's width
            width *= 2
    return reach


@pytest.mark.parametrize("name", SKIP_FCNS)
def test_windows_at_aligned_offsets_agree_and_nothing_beyond_the_radius_matters(name):
    config = load_config(name, SkipFcnConfig)
    assert config.radius == radius(config)
    network = trained_like(config)
    assert_aligned_windows_agree(network, apply)
    border, multiple = network.geometry.border, network.geometry.multiple
    image = normal(0, 1, 2 * border + 3 * multiple, 2 * border + 2 * multiple, 2)
    rows, columns = (np.abs(np.arange(n) - (border + multiple - 1)) > config.radius for n in image.shape[1:3])
    far = (rows[:, None] | columns[None, :])[None, :, :, None]
    change = apply(network, jnp.where(far, 10 * normal(1, *image.shape), image)) - apply(network, image)
    assert float(jnp.abs(change[0, multiple - 1, multiple - 1]).max()) < 1e-5
    assert float(jnp.abs(change).max()) > 1e-4


def test_tiles_give_the_whole_image():
    network = trained_like(TINY)
    image = np.asarray(normal(3, 150, 131, 2))
    border = network.geometry.border
    padded = jnp.asarray(np.pad(image, [(border, border + 8), (border, border + 8), (0, 0)], mode="reflect"))
    whole = apply(network, padded[None])[0, :150, :131]
    tiled = predict_tiles(partial(apply, network), image, network.geometry, tile=64)
    inner = (slice(0, 150 - border), slice(0, 131 - border))  # what is mirrored depends on the padding
    np.testing.assert_allclose(tiled[inner], whole[inner], rtol=0, atol=1e-5)


def test_batch_norm_moves_in_training_only():
    network = trained_like(TINY)
    norm = network.up[1].normalization
    before = norm.mean[...]
    apply(network, normal(8, 1, 80, 80, 2))
    np.testing.assert_array_equal(norm.mean[...], before)
    assert apply(network, normal(8, 1, 40, 40, 2), train=True).shape == (1, 32, 32, 3)
    assert not np.array_equal(norm.mean[...], before)


def test_default_configuration_is_that_of_the_file():
    assert load_config("skip_fcn", SkipFcnConfig) == SkipFcnConfig()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": []}, "model.filters needs two levels or more"),
        ({"filters": [8], "residual_blocks": [1]}, r"model.filters needs two levels or more, .* got \[8\]"),
        ({"residual_blocks": [1, 1]}, r"model.residual_blocks must hold a number .* of the 4 levels .* got \[1, 1\]"),
        ({"residual_blocks": [0, 0, 0, -1]}, "every value of model.residual_blocks must be 0 or more"),
        ({"bottleneck": 0.0}, r"model.bottleneck must be in \(0, 1\], got 0.0"),
        ({"context_px": 6}, "model.context_px must be a multiple of 4, .* pooled 3 times; got 6"),
        ({"kernel": 2}, "model.kernel must be odd"),
        ({"batch_norm_momentum": 1.0}, "model.batch_norm_momentum must be in"),
    ],
)
def test_unusable_architectures_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        SkipFcnConfig(**arguments)
