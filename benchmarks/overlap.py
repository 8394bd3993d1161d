"""The table of overlaps of two label images, compared with hashing every pixel and with scikit-image.

python -m benchmarks.overlap [--size 2048] [--rounds 5]

Both images show square cells of 34 pixels, 6 pixels apart; the second is shifted by 5 and 3 pixels. Each contender
counts the pixels of every pair of labels, once with labels 1...n and once with labels that end at 2^31 - 1.
scikit-image's `contingency_table` makes an array as long as the largest label, so it runs for 1...n only.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy import sparse
from skimage.metrics import contingency_table

from benchmarks.timing import COLUMNS, compare, print_table, start
from cellflax.labels import overlap_table

CELL_PX, GAP_PX = 34, 6
LARGEST = 2**31 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="edge of the images in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each")
    options = parser.parse_args()
    start()
    reference = squares(options.size)
    predicted = np.roll(reference, (5, 3), (0, 1))
    cells = int(reference.max())
    rows = []
    for name, offset in ((f"labels 1...{cells}", 0), ("labels up to 2^31 - 1", LARGEST - cells)):
        a, b = (np.where(labels > 0, labels + offset, 0).astype(np.int32) for labels in (reference, predicted))
        runs: dict[str, Callable[[], np.ndarray]] = {"cellflax": partial(ours, a, b), "hashing": partial(hashing, a, b)}
        if not offset:
            runs["scikit-image"] = partial(by_scikit_image, a, b)
        expected = runs["cellflax"]()
        for other in runs.values():
            np.testing.assert_array_equal(other(), expected)
        times = compare(runs, options.rounds)
        rows += [[f"{contender}, {name}", *taken.row(times["cellflax"])] for contender, taken in times.items()]
    print_table(["overlaps", *COLUMNS], rows)


def squares(size: int) -> np.ndarray:
    """(size, size) int64 labels 1...n of square cells."""
    place = np.arange(size) // (CELL_PX + GAP_PX)
    inside = np.arange(size) % (CELL_PX + GAP_PX) >= GAP_PX
    labels = place[:, None] * (place[-1] + 1) + place + 1
    return np.where(inside[:, None] & inside, labels, 0)


def ours(reference: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Areas of all intersections, by reference and predicted label."""
    return overlap_table(reference, predicted).intersection.tocsr().sorted_indices().data


def hashing(reference: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The same from a hash of every pixel's label, as cellflax had it before."""
    rows, names = pd.factorize(reference.ravel(), sort=True)
    columns, others = pd.factorize(predicted.ravel(), sort=True)
    ones = np.ones(reference.size, np.int64)
    joint = sparse.coo_array((ones, (rows, columns)), shape=(len(names), len(others))).tocsr()
    return joint[1:, 1:].sorted_indices().data


def by_scikit_image(reference: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The same from scikit-image."""
    joint = sparse.csr_array(contingency_table(reference, predicted))
    return joint[1:, 1:].sorted_indices().data.astype(np.int64)


if __name__ == "__main__":
    main()
