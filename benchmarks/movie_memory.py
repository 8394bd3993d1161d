"""Memory and time of `cellflax.track` by the length of the movie; most of the memory must not grow with it.

python -m benchmarks.movie_memory [--frames 50 100 200 400 1000] [--cells 1000] [--images]

Discs on a jittered grid move a little in every frame, and some divide. The command runs in its own process, whose peak
resident memory the operating system counts. Beside it stands what the labels of all frames take as one array.
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from benchmarks.commands import run_at_once
from benchmarks.timing import print_table, start

SPACING = 40  # pixels between cells
_DIVIDES = 0.3  # share of the cells that divide once in the movie


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[50, 100, 200, 400, 1000])
    parser.add_argument("--cells", type=int, default=1000, help="cells in each frame, about")
    parser.add_argument("--images", action="store_true", help="also images of the frames, for drift and intensities")
    options = parser.parse_args()
    start()
    rows = []
    for count in options.frames:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pixels = write_movie(folder, count, options.cells, options.images)
            command = ["cellflax.track", f"input={folder / 'labels'}", f"output={folder / 'out'}"]
            used = run_at_once([*command, f"images={folder / 'images'}"] if options.images else command)
            table = pd.read_csv(folder / "out" / "tracks.csv")
            whole = count * pixels * 4 / 1e6
            tracks = table["track"].nunique()
            rows.append([count, len(table), tracks, f"{whole:.0f}", f"{used.peak_mb:.0f}", f"{used.seconds:.0f}"])
            rows[-1].append(f"{1e3 * used.seconds / count:.0f}")
    columns = [
        "frames",
        "cells in all",
        "tracks",
        "one array of labels (MB)",
        "peak memory (MB)",
        "seconds",
        "ms/frame",
    ]
    print_table(columns, [[str(value) for value in row] for row in rows])


def write_movie(folder: Path, count: int, cells: int, images: bool, seed: int = 0) -> int:
    """Write the frames' label images, and images if they are wanted; return the pixels of a frame."""
    rng = np.random.default_rng(seed)
    side = math.ceil(math.sqrt(cells))
    places = [(y, x) for y in range(side) for x in range(side)][:cells]
    radius = rng.uniform(9, 13, cells)
    divides = np.where(rng.random(cells) < _DIVIDES, rng.integers(0, count, cells), count)
    centre = rng.uniform(-2, 2, (cells, 2))
    rows, columns = np.indices((SPACING, SPACING)) - (SPACING - 1) / 2
    for kind in ("labels", *(("images",) if images else ())):
        (folder / kind).mkdir()
    for t in range(count):
        centre = np.clip(centre + rng.normal(0, 0.4, centre.shape), -4, 4)
        labels = np.zeros((side * SPACING, side * SPACING), np.int32)
        number = 0
        for i, (y, x) in enumerate(places):
            here = labels[y * SPACING : (y + 1) * SPACING, x * SPACING : (x + 1) * SPACING]
            inside = (rows - centre[i, 0]) ** 2 + (columns - centre[i, 1]) ** 2 < radius[i] ** 2
            number += 1
            here[inside] = number
            if t >= divides[i]:
                here[inside & (rows - centre[i, 0] < -1)] = number + 1
                here[inside & (np.abs(rows - centre[i, 0]) <= 1)] = 0
                number += 1
        tifffile.imwrite(folder / "labels" / f"t{t:04}.tif", labels.astype(np.uint16), compression="zlib")
        if images:
            pixels = (rng.normal(1000, 30, labels.shape) + 500 * (labels > 0)).astype(np.uint16)
            tifffile.imwrite(folder / "images" / f"t{t:04}.tif", pixels)
    return labels.size


if __name__ == "__main__":
    main()
