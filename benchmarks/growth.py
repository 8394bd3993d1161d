"""Time and memory of commands by what they are given more of; nothing may grow faster than n log n.

python -m benchmarks.growth [--output DIR] [--only pixels cells images frames shards processes] [--scale 1]

Every row is one or more commands in processes of their own, start and compilation included (a first run, not shown,
fills the cache of compiled programs where shapes repeat). The exponent is that of the processor time between a row and
the one before it: 1 is linear, and n log n is 1.06 (pixels) to 1.2 at these numbers. Shards and processes divide a
fixed work, so that 0 is ideal there. --output DIR takes a log-log figure of each, as SVG.

pixels: `predict` of one image with the network `nuclei`, a disc in every 1,500 pixels.
cells: `predict` of 2,048 x 2,048 pixels by the number of discs in it.
images: `predict` of images of 128 x 128 pixels.
frames: `track` of labels of 250 cells.
shards: `predict` of 200 such images, divided among shards that run at once, and `gather`.
processes: 100 steps of `train` on CPU processes of one device each, which run at once.
"""

import argparse
import math
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

from benchmarks.commands import Used, run_at_once
from benchmarks.movie_memory import write_movie
from benchmarks.timing import print_table, start

EDGE = 2048  # of the image of `cells`, pixels
SMALL = 128  # of the images of `images` and `shards`
AREA = 1500  # pixels for each disc, where they are not counted
RADIUS = 8
OF_SHARDS = 200  # images
STEPS = 100
COLUMNS = ["seconds", "core-seconds", "exponent", "peak memory (MB)"]


@dataclass(frozen=True)
class Axis:
    """One thing of which there is more in every row.

    Attributes:
        numbers: how much of it.
        measure: prepares `n` in an empty folder, runs the commands, and says what they took.
        divides: whether it divides a fixed work instead of adding to it.
    """

    numbers: tuple[int, ...]
    measure: Callable[[Path, int], Used]
    divides: bool = False


def main() -> None:
    """Measure, print the tables, and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies what is not divided")
    options = parser.parse_args()
    start()
    for name in options.only:
        axis = AXES[name]
        scaled = axis.numbers if axis.divides else [max(round(n * options.scale), 2) for n in axis.numbers]
        numbers = sorted(set(scaled))
        measured(axis, numbers[0])  # fills the cache
        used = {n: measured(axis, n) for n in numbers}
        print_table([name, *COLUMNS], rows_of(used))
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
            draw(options.output / f"{name}.svg", name, used, axis.divides)


def measured(axis: Axis, n: int) -> Used:
    """What the commands of one row took, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        return axis.measure(Path(folder), n)


def rows_of(used: dict[int, Used]) -> list[list[str]]:
    """Cells of a table, a row for each number."""
    exponents = [""] + [f"{exponent(before, after):.2f}" for before, after in pairwise(used.items())]
    return [
        [f"{n:,}", f"{took.seconds:.1f}", f"{took.core_seconds:.1f}", power, f"{took.peak_mb:.0f}"]
        for (n, took), power in zip(used.items(), exponents, strict=True)
    ]


def exponent(before: tuple[int, Used], after: tuple[int, Used]) -> float:
    """By which power of n the processor time grew."""
    (n, took), (m, later) = before, after
    return math.log(later.core_seconds / took.core_seconds) / math.log(m / n)


def draw(path: Path, name: str, used: dict[int, Used], divides: bool) -> None:
    """Time and memory on two logarithmic axes, beside a line of what would be ideal."""
    numbers = np.array(list(used))
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    core_s = np.array([took.core_seconds for took in used.values()])
    axes.loglog(numbers, core_s, "o-", label="core-seconds")
    axes.loglog(numbers, [took.seconds for took in used.values()], "s-", label="seconds")
    axes.loglog(numbers, [took.peak_mb / 1000 for took in used.values()], "^-", label="peak memory (GB)")
    ideal = np.full(len(numbers), core_s[0]) if divides else core_s[-1] * numbers / numbers[-1]
    axes.loglog(numbers, ideal, ":", color="grey", label="no growth" if divides else "linear")
    axes.set(xlabel=name, xticks=numbers, xticklabels=[f"{n:,}" for n in numbers])
    axes.minorticks_off()
    axes.legend(fontsize="small")
    figure.savefig(path)
    plt.close(figure)


def write_discs(path: Path, edge: int, count: int, seed: int = 0) -> None:
    """A noisy image (uint16) with discs at random places of a grid."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(500, 30, (edge, edge)).astype(np.float32)
    side = math.ceil(math.sqrt(count))
    spacing = edge / side
    rows, columns = np.indices((2 * RADIUS + 1, 2 * RADIUS + 1)) - RADIUS
    disc = 1000 * (rows**2 + columns**2 < RADIUS**2)
    for number in rng.permutation(side**2)[:count]:
        y, x = (min(max(round((k + 0.5) * spacing), RADIUS), edge - RADIUS - 1) for k in divmod(int(number), side))
        pixels[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1] += disc
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels.clip(0, 65535).astype(np.uint16))


def predict(folder: Path, *options: str) -> list[str]:
    """The command that segments the images of a folder with the network that comes along."""
    given = ("checkpoint=nuclei", f"input={folder / 'images'}", f"output={folder / 'out'}")
    return ["cellflax.predict", *given, *options]


def by_pixels(folder: Path, pixels: int) -> Used:
    edge = round(math.sqrt(pixels))
    write_discs(folder / "images" / "one.tif", edge, max(pixels // AREA, 1))
    return run_at_once(predict(folder))


def by_cells(folder: Path, cells: int) -> Used:
    write_discs(folder / "images" / "one.tif", EDGE, cells)
    return run_at_once(predict(folder))


def write_images(folder: Path, count: int) -> None:
    for index in range(count):
        write_discs(folder / "images" / f"{index:05d}.tif", SMALL, SMALL**2 // AREA, seed=index)


def by_images(folder: Path, count: int) -> Used:
    write_images(folder, count)
    return run_at_once(predict(folder))


def by_frames(folder: Path, frames: int) -> Used:
    write_movie(folder, frames, 250, images=False)
    return run_at_once(["cellflax.track", f"input={folder / 'labels'}", f"output={folder / 'out'}"])


def by_shards(folder: Path, shards: int) -> Used:
    write_images(folder, OF_SHARDS)
    if shards == 1:
        return run_at_once(predict(folder))
    parts = [predict(folder, f"shard={shard}", f"shards={shards}") for shard in range(shards)]
    return run_at_once(*parts) + run_at_once(["cellflax.gather", f"output={folder / 'out'}"])


def by_processes(folder: Path, count: int) -> Used:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [
        "cellflax.train",
        "+debug=quick",
        f"trainer.steps={STEPS}",
        "sampler.batch=4",
        f"run={folder / 'run'}",
        "logger.wandb=disabled",
    ]
    one = {"JAX_NUM_CPU_DEVICES": "1"}
    if count == 1:
        return run_at_once(given, environment=one)
    place = [f"trainer.coordinator=127.0.0.1:{port}", f"trainer.process_count={count}"]
    return run_at_once(*([*given, *place, f"trainer.process_id={k}"] for k in range(count)), environment=one)


AXES = {
    "pixels": Axis((512**2, 1024**2, 2048**2, 4096**2), by_pixels),
    "cells": Axis((100, 1000, 10_000), by_cells),
    "images": Axis((50, 200, 800), by_images),
    "frames": Axis((50, 200, 800), by_frames),
    "shards": Axis((1, 2, 4, 8), by_shards, divides=True),
    "processes": Axis((1, 2, 4), by_processes, divides=True),
}

if __name__ == "__main__":
    sys.exit(main())
