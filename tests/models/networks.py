"""Networks as users get them (`conf/model`), with parameters that no test can pass by accident."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from jax import lax
from jax.tree_util import DictKey
from omegaconf import OmegaConf

from cellflax.config import config_directory
from cellflax.models.patch_net import PatchNet, PatchNetConfig, Regularization, Stage
from cellflax.schemas import group_types

PATCH_NETS = sorted(path.stem for path in Path(config_directory() / "model").glob("patch_net_*.yaml"))


def load_config[T](name: str, schema: type[T] = PatchNetConfig) -> T:
    """The typed configuration of `model=<name>`."""
    for kind, kind_schema in group_types("model").items():
        ConfigStore.instance().store(group="model", name=f"{kind}_schema", node=kind_schema)
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = OmegaConf.to_object(compose(f"model/{name}").model)
    assert isinstance(config, schema)
    return config


def tiny_config(regularization: Regularization = Regularization.batch_norm) -> PatchNetConfig:
    """An 11 x 11 network with two poolings."""
    stages = [Stage([2], [4]), Stage([2], [6]), Stage([2], [8])]
    return PatchNetConfig(stages=stages, dense=[7], regularization=regularization)


def trained_like(config: PatchNetConfig, channels: int = 2, classes: int = 3, seed: int = 1) -> PatchNet:
    """A network whose biases, scales and running statistics are far from where they begin.

    NumPy fills it: compiling the initialisers takes longer than the tests that use it.
    """
    network = nnx.eval_shape(lambda: config.build(channels=channels, classes=classes, seed=0))
    graph, state = nnx.split(network)
    rng = np.random.default_rng(seed)
    return nnx.merge(graph, jax.tree_util.tree_map_with_path(lambda path, leaf: _filled(rng, path, leaf), state))


def _filled(rng: np.random.Generator, path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    name = path[-1].key if isinstance(path[-1], DictKey) else path[-2].key
    match name:
        case "kernel":  # he-normal
            values = rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape)
        case "scale":
            values = rng.uniform(0.5, 1.5, leaf.shape)
        case "var":  # large enough that the logits stay of order 1 through eight layers
            values = rng.uniform(1, 3, leaf.shape)
        case "mean" | "bias":
            values = rng.normal(0, 0.3, leaf.shape)
        case "steps":
            values = np.zeros(leaf.shape)
        case _:
            raise AssertionError(f"unknown variable {name}")
    return jnp.asarray(values, leaf.dtype)


def normal(seed: int, *shape: int) -> jax.Array:
    """Standard normal numbers."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def reference_convolution(x: jax.Array, kernel: jax.Array, spacing: int = 1, padding="VALID") -> jax.Array:
    """XLA's own, the kernel's taps `spacing` pixels apart."""
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, rhs_dilation=(spacing, spacing), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def assert_relative(actual: jax.Array, expected: jax.Array, tolerance: float) -> None:
    """No value differs by as much as the tolerance times the largest one expected."""
    np.testing.assert_array_less(jnp.abs(actual - expected).max(), tolerance * jnp.abs(expected).max())


def assert_aligned_windows_agree(network: Any, apply: Callable[..., jax.Array]) -> None:
    """Windows at offsets of `multiple` give the same where they overlap; for two channels and three classes."""
    border, multiple = network.geometry.border, network.geometry.multiple
    image = normal(0, 1, 2 * border + 3 * multiple, 2 * border + 2 * multiple, 2)
    whole = apply(network, image)
    assert whole.shape == (1, 3 * multiple, 2 * multiple, 3)
    assert float(whole.std()) > 0.1  # the pixels do differ
    window = apply(network, image[:, 2 * multiple :, multiple:])
    np.testing.assert_allclose(window, whole[:, 2 * multiple :, multiple:], rtol=0, atol=1e-5)


def patches_of(image: jax.Array, edge: int) -> jax.Array:
    """All patches of (N, H, W, C) in reading order: (N (H - edge + 1) (W - edge + 1), edge, edge, C)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (edge, edge), axis=(1, 2))  # (N, h, w, C, e, e)
    return jnp.asarray(windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, edge, edge, image.shape[-1]))
