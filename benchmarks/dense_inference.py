"""Dense inference with the 61 x 61 network of Van Valen 2016 (P1).

It compares fragments with patches, dilated kernels and PyTorch.

python -m benchmarks.dense_inference [--size 1280 1080] [--tiles 256 512 1024] [--rounds 3]
"""

import argparse
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx
from jax import lax

from benchmarks.timing import COLUMNS, NO_TORCH, Time, compare, print_table, start, torch
from cellflax.inference.dense import predict_tiles
from cellflax.models.layers import Normalization
from cellflax.models.patch_net import PatchNet, PatchNetConfig

PATCHES = 256
TILE = 512  # predict's default; the other dense forms run in the same tiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 1080), help="image height and width, pixels")
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, TILE, 1024], help="tile edges for cellflax")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    options = parser.parse_args()
    start()
    model = trained_like(PatchNetConfig().build(channels=2, classes=3, seed=0))
    image = np.random.default_rng(0).standard_normal((*options.size, 2), np.float32)

    def dense(apply: Callable[[np.ndarray], np.ndarray], tile: int = TILE) -> Callable[[], np.ndarray]:
        return lambda: predict_tiles(apply, image, model.geometry, tile=tile)

    ours = f"cellflax, fragments, tiles of {TILE}"
    fragments = probability(model, PatchNet.dense)
    runs = {ours: dense(fragments)}
    runs |= {f"cellflax, fragments, tiles of {n}": dense(fragments, n) for n in options.tiles if n != TILE}
    alone = "cellflax, the same, one tile per call"
    runs[alone] = dense(lambda tiles: np.concatenate([fragments(tile[None]) for tile in tiles]))
    runs["JAX, dilated kernels"] = dense(probability(model, dilated))
    if torch is not None:
        runs["PyTorch, dilated kernels"] = dense(torch_probability(model, fragments=False))
        runs["PyTorch, fragments"] = dense(torch_probability(model, fragments=True))
    else:
        print(NO_TORCH)

    expected = runs[ours]()
    differences = {name: np.abs(run() - expected).max() for name, run in runs.items() if name != ours}
    pixels = np.random.default_rng(1).integers(0, options.size, (PATCHES, 2))
    patches, one_by_one = patches_at(image, pixels, model), patch_probability(model)
    at_pixels = one_by_one(patches)[:, 0, 0]
    by_patch = f"JAX, patch by patch (extrapolated from {PATCHES})"
    differences[by_patch] = np.abs(at_pixels - expected[tuple(pixels.T)]).max()

    times = compare({**runs, by_patch: lambda: one_by_one(patches)}, options.rounds)
    times[by_patch] = times[by_patch].scaled(image[..., 0].size / PATCHES)
    print_table(
        [f"{options.size[0]} x {options.size[1]} pixels", *COLUMNS, "largest difference"], rows(times, differences)
    )


def rows(times: dict[str, Time], differences: dict[str, float]) -> list[list[str]]:
    ours = next(iter(times.values()))
    return [
        [name, *taken.row(ours), f"{differences[name]:.1e}" if name in differences else "-"]
        for name, taken in times.items()
    ]


def trained_like(model: PatchNet) -> PatchNet:
    """Give the normalisations the parameters and statistics of a network that has learnt something."""
    rng = np.random.default_rng(2)
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Normalization):
            for variable, centre in ((module.scale, 1), (module.var, 1), (module.bias, 0), (module.mean, 0)):
                variable[...] = centre + jax.numpy.asarray(rng.uniform(-0.3, 0.3, variable.shape), np.float32)
    return model


def probability(model: PatchNet, execution: Callable) -> Callable[[np.ndarray], np.ndarray]:
    graph, weights = nnx.split(model)

    @jax.jit
    def apply(weights, tiles):  # tile by tile, as `predict` does
        network = nnx.merge(graph, weights)
        return jax.lax.map(lambda tile: jax.nn.softmax(execution(network, tile[None])[0]), tiles)

    return lambda tiles: np.asarray(apply(weights, tiles))


def patch_probability(model: PatchNet) -> Callable[[np.ndarray], np.ndarray]:
    """P1's training form: all patches at once, (N, R, R, C) -> (N, 1, 1, K)."""
    graph, weights = nnx.split(model)
    apply = jax.jit(lambda weights, x: jax.nn.softmax(nnx.merge(graph, weights).patches(x)))
    return lambda x: np.asarray(apply(weights, x))


def dilated(model: PatchNet, x: jax.Array) -> jax.Array:
    """P1's own dense form, "d-regularly sparse" kernels: after i poolings, taps are 2 ** i pixels apart."""
    for i, stage in enumerate(model.stages):
        if i:
            gap = 2 ** (i - 1)
            x = lax.max(x[:, gap:], x[:, :-gap])
            x = lax.max(x[:, :, gap:], x[:, :, :-gap])
        for block in stage:
            x = lax.conv_general_dilated(
                x,
                block.transform.kernel[...],
                (1, 1),
                "VALID",
                rhs_dilation=(2**i, 2**i),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(block.normalization(x, train=False))
    for block in model.hidden:
        x = block(x, train=False)
    return model.output(x)


def torch_probability(model: PatchNet, *, fragments: bool) -> Callable[[np.ndarray], np.ndarray]:
    from benchmarks.torch_layers import to_torch
    from benchmarks.torch_patch_net import TorchPatchNet

    network = TorchPatchNet(model, fragments=fragments).eval()

    def apply(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode():  # one tile at a time is faster than all of them as a batch
            results = [network(to_torch(tile[None])).softmax(dim=1).permute(0, 2, 3, 1).numpy() for tile in tiles]
        return np.concatenate(results)

    return apply


def patches_at(image: np.ndarray, pixels: np.ndarray, model: PatchNet) -> np.ndarray:
    """The patches around some pixels (n, 2), mirrored beyond the image as `predict_tiles` does."""
    padded = np.pad(image, [(model.geometry.border, model.geometry.border)] * 2 + [(0, 0)], mode="reflect")
    edge = model.geometry.receptive_field
    return np.stack([padded[y : y + edge, x : x + edge] for y, x in pixels])


if __name__ == "__main__":
    main()
