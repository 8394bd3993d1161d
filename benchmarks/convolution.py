"""Convolutions and their gradients: cellflax/models/convolution.py on CPU against XLA and other methods.

python -m benchmarks.convolution [--model patch_net_61 ...] [--size 128] [--patches 64] [--rounds 3]

Prints GFLOP per core-second for every distinct convolution of a network, on a crop and on patches. For every
method, the operations counted are those of the plain sums.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from benchmarks.experiment import load_config
from benchmarks.timing import compare, print_table, start
from cellflax.models.large_kernel import LARGE_KERNEL
from cellflax.models.layers import Convolution
from cellflax.models.patch_net import PatchNetConfig


class Layer(NamedTuple):
    """One convolution: (N, H, W, C) by (k, k, C, M)."""

    images: int
    edge: int
    kernel: int
    filters_in: int
    filters: int

    @property
    def gflop(self) -> float:
        return 2e-9 * self.images * (self.edge - self.kernel + 1) ** 2 * self.kernel**2 * self.filters_in * self.filters

    def __str__(self) -> str:
        kernel = f"{self.kernel} x {self.kernel}, {self.filters_in} -> {self.filters}"
        return f"{kernel}; {self.images} of {self.edge} x {self.edge}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["patch_net_61", "patch_net_31"], help="files in conf/model")
    parser.add_argument("--size", type=int, default=128, help="edge of the labelled part of the crop, pixels")
    parser.add_argument("--patches", type=int, default=64, help="patches in a step")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    options = parser.parse_args()
    start()
    layers: dict[Layer, None] = {}  # an ordered set
    for name in options.model:
        config = load_config(f"model={name}").model
        assert isinstance(config, PatchNetConfig), f"{name} is not a patch network"
        layers |= dict.fromkeys(layers_of(config, 1, options.size + config.receptive_field - 1, fragments=True))
        layers |= dict.fromkeys(layers_of(config, options.patches, config.receptive_field, fragments=False))
    rows: list[list[str]] = []
    for layer in layers:
        runs = computations(layer)
        # Not in turns: the run after im2col would also pay for freeing its memory.
        times = {name: compare({name: run}, options.rounds)[name] for name, run in runs.items() if run is not None}
        rates = [f"{layer.gflop / times[name].cpu_s:.0f}" if name in times else "-" for name in runs]
        rows.append([str(layer), f"{layer.gflop:.2f}", *rates])
        header = ["layer", "GFLOP", *runs]
    print_table(header, rows)


def layers_of(config: PatchNetConfig, images: int, edge: int, *, fragments: bool) -> Iterator[Layer]:
    """The convolutions of a network on `images` images of this edge, without the first layer."""
    filters_in = 0
    for i, stage in enumerate(config.stages):
        if i and fragments:
            images, edge = 4 * images, (edge - 1) // 2
        elif i:
            edge //= 2
        if 0 < i <= len(config.side_filters) and config.side_filters[i - 1]:
            yield Layer(images, edge, config.size_entering(i), filters_in, config.side_filters[i - 1])
        for kernel, filters in zip(stage.kernels, stage.filters, strict=True):
            if filters_in:
                yield Layer(images, edge, kernel, filters_in, filters)
            filters_in, edge = filters, edge - kernel + 1


def computations(layer: Layer) -> dict[str, Callable[[], jax.Array] | None]:
    """All computations to time for one layer, after a check that they agree; None is left out."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((layer.images, layer.edge, layer.edge, layer.filters_in), np.float32))
    shape = (layer.kernel, layer.kernel, layer.filters_in, layer.filters)
    kernel = jnp.asarray(rng.standard_normal(shape, np.float32))
    grad = convolve(x, kernel)
    ways: dict[str, tuple[Callable, str]] = {
        "forward: layers.py": (lambda x, kernel, grad: ours(x, kernel), ""),
        " XLA": (lambda x, kernel, grad: convolve(x, kernel), ""),
        "kernel gradient: layers.py": (lambda *a: pull_back(ours, *a)[1], "kernel"),
        "XLA": (lambda *a: pull_back(convolve, *a)[1], "kernel"),
        "product per tap": (by_taps, "kernel"),
        "im2col": (by_columns, "kernel"),
        "input gradient: layers.py": (lambda *a: pull_back(ours, *a)[0], "input"),
        "XLA ": (lambda *a: pull_back(convolve, *a)[0], "input"),
    }
    runs, expected = {}, {}
    for name, (way, kind) in ways.items():
        if way in (by_taps, by_columns) and layer.kernel >= LARGE_KERNEL:
            runs[name] = None  # gigabytes of shifted copies
            continue
        compiled = jax.jit(way)
        result = np.asarray(compiled(x, kernel, grad))
        wanted = expected.setdefault(kind, result)
        np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
        runs[name] = lambda compiled=compiled: compiled(x, kernel, grad)
    return runs


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
    size, _, filters_in, filters = kernel.shape
    layer = Convolution(filters_in, filters, size, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = kernel
    return layer(x)


def pull_back(function: Callable, x: jax.Array, kernel: jax.Array, grad: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vjp(function, x, kernel)[1](grad)


def by_taps(x: jax.Array, kernel: jax.Array, grad: jax.Array) -> jax.Array:
    """One matrix product, over all pixels, for each tap of the kernel."""
    flat = grad.reshape(-1, grad.shape[-1])
    return jnp.stack([tap.reshape(-1, x.shape[-1]).T @ flat for tap in shifted(x, kernel, grad)]).reshape(kernel.shape)


def by_columns(x: jax.Array, kernel: jax.Array, grad: jax.Array) -> jax.Array:
    """A single matrix product of the patches written out side by side."""
    columns = jnp.concatenate(shifted(x, kernel, grad), axis=-1)
    columns = columns.reshape(-1, columns.shape[-1])
    return (columns.T @ grad.reshape(-1, grad.shape[-1])).reshape(kernel.shape)


def shifted(x: jax.Array, kernel: jax.Array, grad: jax.Array) -> list[jax.Array]:
    """What each tap of the kernel sees: x cut to the size of grad at each offset."""
    height, width = grad.shape[1:3]
    offsets = np.ndindex(*kernel.shape[:2])
    return [x[:, i : i + height, j : j + width] for i, j in offsets]


if __name__ == "__main__":
    main()
