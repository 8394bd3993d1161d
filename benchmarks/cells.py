"""The shapes of all cells of a label image, compared with scikit-image.

python -m benchmarks.cells [--size 2048] [--rounds 5]

The cells are discs with noisy outlines, 40 pixels apart. Both contenders compute the shapes that are in `cells.csv`,
and their values are compared.
"""

import argparse
from functools import partial

import numpy as np
from scipy import ndimage
from skimage import measure

from benchmarks.timing import COLUMNS, compare, print_table, start
from cellflax.labels import components
from cellflax.measure.regions import region_shapes

SPACING_PX = 40
NAMES = (
    *("bbox", "centroid", "area", "perimeter", "axis_major_length", "axis_minor_length", "eccentricity", "solidity"),
    "orientation",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="edge of the image in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each")
    options = parser.parse_args()
    start()
    labels = discs(options.size)
    runs = {
        "cellflax": partial(region_shapes, labels),
        "scikit-image": partial(measure.regionprops_table, labels, properties=NAMES),
    }
    ours, theirs = (run() for run in runs.values())
    for name in theirs.keys() - {"orientation"}:  # which turns by half a circle where a cell is upright
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9)
    times = compare(runs, options.rounds)
    rows = [[f"{contender}, {labels.max()} cells", *taken.row(times["cellflax"])] for contender, taken in times.items()]
    print_table(["shapes of cells", *COLUMNS], rows)


def discs(size: int, seed: int = 0) -> np.ndarray:
    """(size, size) int32 labels 1...n."""
    rng = np.random.default_rng(seed)
    rows, columns = (np.indices((size, size)) % SPACING_PX) - SPACING_PX // 2
    noise = ndimage.gaussian_filter(rng.normal(size=(size, size)), 3)
    return components(np.hypot(rows, columns) + 20 * noise < 13)


if __name__ == "__main__":
    main()
