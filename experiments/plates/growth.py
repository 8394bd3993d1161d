"""G7, the part of plates: CPU seconds and memory by the number of images, of everything but the network.

python experiments/plates/growth.py OUTPUT [--images 250 500 1000 2000]

Each image is 32 x 32 pixels, and the same three cells are found in it without a network, so that what remains is what
cellflax does with the files of many images: listing, journal, tables, report and provenance of `predict`, in 4 shards;
`gather`; and `quantify method=cells`. One process runs all of it, from the fewest images to the most. Writes
OUTPUT/growth.md: CPU seconds of each command, in all and for an image, and the peak memory of the process so far.
"""

import argparse
import functools
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from cellflax import gather, predict, quantify
from cellflax.measure.cells import cell_table
from cellflax.prediction.networks import Networks
from cellflax.prediction.segment import Segmentation
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod

SHARDS = 4
PIXELS = 32


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[250, 500, 1000, 2000])
    options = parser.parse_args()
    without_network()
    lines = ["| images | predict, CPU s | ms per image | gather | ms | quantify | ms | peak MB |", "|---" * 8 + "|"]
    for count in sorted(options.images):
        seconds = measure(options.output / str(count), count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cells = [f"{value:.2f} | {1000 * value / count:.1f}" for value in seconds]
        lines.append(f"| {count} | {' | '.join(cells)} | {peak:.0f} |")
        print(lines[-1], flush=True)
        shutil.rmtree(options.output / str(count))
    (options.output / "growth.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def without_network() -> None:
    """Have the commands find three cells in every image, whatever it shows, and read the network once."""
    labels = np.zeros((PIXELS, PIXELS), np.int32)
    for number in (1, 2, 3):
        labels[8 * number : 8 * number + 5, 4:20] = number
    cells = cell_table(labels, image=None, channels=())
    Networks.segment = lambda *_: Segmentation(labels, None, cells)  # type: ignore[method-assign]
    load = functools.cache(lambda checkpoint: loaded(checkpoint, predict.PredictConfig()))
    loaded = predict.load_networks
    predict.load_networks = gather.load_networks = lambda checkpoint, _: load(checkpoint)


def measure(folder: Path, count: int) -> list[float]:
    """CPU seconds of predicting all shards, of gathering and of quantifying."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 1000, (PIXELS, PIXELS)).astype(np.uint16)
    for number in range(count):
        tifffile.imwrite(folder / "images" / f"well{number // 9:04d}_site{number % 9}.tif", pixels)
    given = {"checkpoint": "nuclei", "input": str(folder / "images"), "output": str(folder / "out")}

    def shards() -> None:
        for shard in range(SHARDS):
            predict.predict(predict.PredictConfig(**given, shard=shard, shards=str(SHARDS)))

    return [
        clock(shards),
        clock(lambda: gather.gather(gather.GatherConfig(output=given["output"]))),
        clock(lambda: quantify.quantify(cells_of(folder))),
    ]


def cells_of(folder: Path) -> QuantifyConfig:
    """Quantify the gathered cells."""
    output = str(folder / "cells")
    return QuantifyConfig(method=QuantifyMethod.cells, predicted=str(folder / "out"), output=output)


def clock(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
