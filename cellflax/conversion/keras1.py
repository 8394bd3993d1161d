"""Convert the networks of Van Valen 2016 (P1), saved by Keras 1 on Theano, to `PatchNet`.

What their files do not say is taken from Keras's sources (layers/normalization.py, backend/theano_backend.py,
models.py and callbacks.py of releases 1.0.3 to 1.2.2) and from DeepCell's model_zoo.py:

- Theano convolves where JAX correlates: kernels (filters, channels, rows, columns) are rotated by 180 degrees.
- Batch normalisation is (x - mean) / d * gamma + beta. Up to Keras 1.0.6 `running_std` is a standard deviation, and
  d = std + epsilon. Later it is a variance: d = sqrt(variance) + epsilon in 1.0.7 and sqrt(variance + epsilon)
  after that. 1.0.7 also introduced files of whole models, and the checkpoint callback that DeepCell uses has
  written those since. So whole models hold variances, and weights alone hold standard deviations. (Weights alone
  that a later release saved by `save_weights` would hold variances. Such a file does not show it, but none was
  published.)
- Weights alone are read with valid convolutions, 2 x 2 poolings, ReLU activations, a softmax at the end and an
  epsilon of 1e-6, as in all of DeepCell's plain networks. In whole models these settings are read and checked.
"""

from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cellflax.conversion.keras1_file import Layer, read_layers
from cellflax.errors import UserError
from cellflax.models.patch_net import PatchNet, PatchNetConfig, Regularization, Stage

# Keras's default up to 1.0.7, and what the converted networks add to their variances.
EPSILON = 1e-6

# Layers that do nothing in prediction.
_SILENT = {"dropout", "input", "inputlayer"}

# Which layers may follow which: up to the flattening, and from there on.
_MAPS = {
    "input": {"convolution2d"},
    "convolution2d": {"batchnormalization", "activation"},
    "batchnormalization": {"activation"},
    "activation": {"convolution2d", "maxpooling2d", "flatten"},
    "maxpooling2d": {"convolution2d"},
}
_VECTORS = {
    "flatten": {"dense"},
    "dense": {"batchnormalization", "activation"},
    "batchnormalization": {"activation"},
    "activation": {"dense"},
}

# The settings that PatchNet supports.
_SETTINGS: dict[str, dict[str, Any]] = {
    "convolution2d": {"border_mode": "valid", "subsample": [1, 1], "dim_ordering": "th", "activation": "linear"},
    "maxpooling2d": {"pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", "dim_ordering": "th"},
    "batchnormalization": {"mode": 0, "axis": 1},
    "activation": {"activation": "relu"},
    "flatten": {},
    "dense": {"activation": "linear"},
}


@dataclass(frozen=True)
class PublishedNetwork:
    """One published network in the terms of `PatchNet`.

    Attributes:
        config: its architecture.
        channels: image channels.
        classes: output classes.
        weights: float32 parameters and running statistics by their names in PatchNet's state, such as
            "stages.0.0.transform.kernel" or "hidden.0.normalization.var".
    """

    config: PatchNetConfig
    channels: int
    classes: int
    weights: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Block:
    """A convolution or dense layer, whether a pooling precedes it, and the batch normalisation after it."""

    layer: Layer
    pooled: bool
    normalization: Layer | None = None


def read_published(path: str | Path) -> PublishedNetwork:
    """Read one published network: weights alone (files of 2016) or a whole model (2017).

    Raises:
        UserError: if the file cannot be read, or holds a network that `PatchNet` cannot reproduce.
    """
    try:
        return _convert(*read_layers(Path(path)))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def to_module(network: PublishedNetwork) -> PatchNet:
    """A `PatchNet` with the published weights."""

    def empty() -> PatchNet:
        return PatchNet(network.config, channels=network.channels, classes=network.classes, rngs=nnx.Rngs(0))

    def published(path: tuple, _: jax.ShapeDtypeStruct) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")
        return jnp.asarray(network.weights[name])

    graph, state = nnx.split(nnx.eval_shape(empty))
    return nnx.merge(graph, jax.tree_util.tree_map_with_path(published, state))


def _convert(layers: list[Layer], release: str | None) -> PublishedNetwork:
    blocks = _blocks(layers)
    *hidden, output = blocks
    if output.normalization is not None:
        raise UserError(f"layer {output.normalization.name} normalises the classes, which PatchNet does not")
    normalized = any(block.normalization is not None for block in hidden)
    stages: list[Stage] = []
    dense: list[int] = []
    weights: dict[str, np.ndarray] = {}
    channels = width = blocks[0].layer.array("W", None, None, None, None).shape[1]
    for block in hidden:
        kernel = _kernel(block.layer, width, after_dense=bool(dense))
        width = kernel.shape[-1]
        if kernel.ndim == 4:
            if block.pooled or not stages:
                stages.append(Stage())
            name = f"stages.{len(stages) - 1}.{len(stages[-1].kernels)}"
            stages[-1].kernels.append(len(kernel))
            stages[-1].filters.append(width)
        else:
            name = f"hidden.{len(dense)}"
            dense.append(width)
        weights[f"{name}.transform.kernel"] = kernel
        if normalized:
            weights |= {f"{name}.normalization.{k}": v for k, v in _normalization(block, width, release).items()}
        else:
            weights[f"{name}.transform.bias"] = block.layer.array("b", width)
    kernel = _kernel(output.layer, width, after_dense=bool(dense))
    if kernel.ndim == 4:
        raise UserError(f"layer {output.layer.name} classifies a map of {len(kernel)} x {len(kernel)}, not one pixel")
    classes = kernel.shape[-1]
    weights |= {"output.kernel": kernel, "output.bias": output.layer.array("b", classes)}
    config = PatchNetConfig(stages, dense, batch_norm_epsilon=EPSILON, **_regularization(layers, normalized))
    _check_patches(blocks[0].layer, [channels, config.receptive_field, config.receptive_field])
    return PublishedNetwork(config, channels, classes, {k: v.astype(np.float32) for k, v in weights.items()})


def _blocks(layers: list[Layer]) -> list[_Block]:
    """Group a plain sequence of layers into blocks; refuse any other network."""
    for layer in layers:
        if layer.kind not in _SETTINGS.keys() | _SILENT:
            raise UserError(
                f"layer {layer.name} cannot be converted: only plain sequences of convolutions, poolings and dense "
                "layers can, not multi-resolution or residual networks"
            )
    layers = [layer for layer in layers if layer.kind not in _SILENT]
    blocks: list[_Block] = []
    before, followers = Layer("the input", "input", {}, {}), _MAPS
    for layer in layers:
        if layer.kind not in followers[before.kind]:
            raise UserError(f"layer {layer.name} cannot be converted: it follows {before.name}")
        if layer.kind in ("convolution2d", "dense"):
            blocks.append(_Block(layer, pooled=before.kind == "maxpooling2d"))
        elif layer.kind == "batchnormalization":
            blocks[-1] = replace(blocks[-1], normalization=layer)
        elif layer.kind == "flatten":
            followers = _VECTORS
        before = layer
    if followers is _MAPS or before.kind != "activation":
        raise UserError(f"the network ends with {before.name}, expected a dense layer and its activation")
    for layer in layers[:-1]:
        _check_settings(layer, _SETTINGS[layer.kind])
    _check_settings(layers[-1], {"activation": "softmax"})
    return blocks


def _check_settings(layer: Layer, expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if layer.settings.get(key, value) != value:
            raise UserError(f"layer {layer.name} cannot be converted: {key}={layer.settings[key]}, expected {value}")


def _check_patches(layer: Layer, size: list[int]) -> None:
    """Refuse patches larger than the receptive field, in which poolings would leave out pixels."""
    found = layer.settings.get("batch_input_shape", [None, *size])
    if not isinstance(found, list) or found[1:] != size:
        raise UserError(f"layer {layer.name} cannot be converted: batch_input_shape={found}, expected {[None, *size]}")


def _regularization(layers: list[Layer], normalized: bool) -> dict[str, Any]:
    if normalized:
        return {"regularization": Regularization.batch_norm}
    drop = next((layer for layer in layers if layer.kind == "dropout"), None)
    if drop is None:
        return {"regularization": Regularization.none}
    return {"regularization": Regularization.dropout, "dropout": drop.number("p", PatchNetConfig().dropout)}


def _kernel(layer: Layer, width: int, *, after_dense: bool) -> np.ndarray:
    """The kernel for JAX: (edge, edge, in, out) of a convolution, or (in, out) of a dense layer.

    A dense layer that flattens a map larger than one pixel, channels first, is a convolution with a kernel of
    the map's size. It is not rotated.
    """
    if layer.kind == "convolution2d":
        kernel = layer.array("W", None, width, None, None)
        rows, columns = kernel.shape[2:]
        if rows != columns:
            raise UserError(f"layer {layer.name} has a kernel of {rows} x {columns} pixels, expected a square one")
        return kernel[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    if after_dense:
        return layer.array("W", width, None)
    kernel = layer.array("W", None, None)
    edge = isqrt(len(kernel) // width)
    if edge * edge * width != len(kernel):
        raise UserError(f"layer {layer.name} has {len(kernel)} inputs, not a square map of {width} channels")
    return kernel if edge == 1 else kernel.reshape(width, edge, edge, -1).transpose(1, 2, 0, 3)


def _normalization(block: _Block, width: int, release: str | None) -> dict[str, np.ndarray]:
    """Batch normalisation with the layer's bias in its mean; the identity for a layer without normalisation.

    The running variance is the square of Keras's denominator. The scale compensates for the epsilon that PatchNet
    adds to it, so the result is exact for all of Keras's definitions and for filters that never vary.
    """
    gamma, beta, mean, denominator = np.ones(width), np.zeros(width), np.zeros(width), np.ones(width)
    if block.normalization is not None:
        gamma, beta, mean = (block.normalization.array(key, width) for key in ("gamma", "beta", "running_mean"))
        denominator = _denominator(block.normalization, width, release)
    var = np.square(denominator)
    scale = gamma * np.sqrt(var + EPSILON) / denominator
    return {"scale": scale, "bias": beta, "mean": mean - block.layer.array("b", width), "var": var}


def _denominator(layer: Layer, width: int, release: str | None) -> np.ndarray:
    spread = layer.array("running_std", width)
    epsilon = layer.number("epsilon", EPSILON)
    if (spread < 0).any() or not epsilon > 0:
        raise UserError(f"layer {layer.name} has a negative running_std, or an epsilon of 0 or less")
    if release is None:
        return spread + epsilon
    return np.sqrt(spread) + epsilon if release == "1.0.7" else np.sqrt(spread + epsilon)
