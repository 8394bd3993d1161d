"""Memory and time of `cellflax.predict` on one large image; most of the memory must not grow with the image.

python -m benchmarks.predict_memory [--size 10000] [--block 2048] [--maps]

The benchmark makes a small network, which finds what is brighter than the median, and an image full of discs. The
command runs in its own process, and the operating system counts the peak resident memory of that process.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from flax import nnx

from benchmarks.experiment import Experiment
from benchmarks.timing import print_table, start
from cellflax.data.normalize import NormalizeConfig
from cellflax.models.layers import Convolution
from cellflax.models.patch_net import PatchNet, PatchNetConfig, Regularization, Stage
from cellflax.refine.threshold import ThresholdConfig
from cellflax.training.config import TrainConfig

SPACING = 40  # pixels between cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="edge of the image, pixels")
    parser.add_argument("--block", type=int, default=2048, help="predict's block=")
    parser.add_argument("--maps", action="store_true", help="also write the probabilities")
    options = parser.parse_args()
    start()
    with tempfile.TemporaryDirectory() as folder:
        image, run, output = Path(folder) / "image.tif", Path(folder) / "run", Path(folder) / "out"
        cells = write_image(image, options.size)
        save_network(run)
        command = [sys.executable, "-m", "cellflax.predict", f"checkpoint={run}", f"input={image}", f"output={output}"]
        command += [f"block={options.block}", f"save_probability={str(options.maps).lower()}"]
        before = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "CELLFLAX_CACHE": folder})
        seconds = time.perf_counter() - before
        found = int(tifffile.imread(output / "image_labels.tif").max())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    columns = ["pixels", "block", "maps", "cells", "found", "peak memory (MB)", "seconds"]
    row = [f"{options.size} x {options.size}", options.block, options.maps, cells, found, round(peak), round(seconds)]
    print_table(columns, [[str(value) for value in row]])


def write_image(path: Path, size: int, seed: int = 0) -> int:
    """Write a uint16 image of discs in rows on noise; return the number of discs."""
    rng = np.random.default_rng(seed)
    count = size // SPACING
    rows, columns = np.indices((SPACING, SPACING)) - (SPACING - 1) / 2
    pixels = rng.integers(900, 1100, (size, size), np.uint16)
    for y in range(count):
        for x in range(count):
            radius = rng.uniform(8, 16)
            cell = pixels[y * SPACING : (y + 1) * SPACING, x * SPACING : (x + 1) * SPACING]
            cell[rows**2 + columns**2 < radius**2] += np.uint16(1500)
    tifffile.imwrite(path, pixels, compression="zlib")
    return count**2


def save_network(run: Path) -> None:
    """Write a checkpoint of one small patch network: its layers average and add up, and a threshold follows."""
    stages = [Stage([3, 4], [8, 8]), Stage([3], [8])]
    config = TrainConfig(
        model=PatchNetConfig(stages=stages, dense=[8], regularization=Regularization.none),
        normalize=NormalizeConfig(subtract_local_mean=False),
        refine=ThresholdConfig(interior=0.5),
    )
    experiment = Experiment(config, channels=("stain",), class_names=("interior", "background"))
    assert isinstance(experiment.network, PatchNet)
    fill(experiment.network)
    experiment.save(run)


def fill(model: PatchNet) -> None:
    """Make every layer average, and the last one find what is above 1.7 times the image's median."""
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Convolution | nnx.Linear):
            module.kernel[...] = np.full(module.kernel.shape, 1 / np.prod(module.kernel.shape[:-1]), np.float32)
    model.output.kernel[...] *= np.array([[10.0, -10.0]], np.float32)
    bias = model.output.bias
    assert bias is not None
    bias[...] = np.array([-17.0, 17.0], np.float32)


if __name__ == "__main__":
    main()
