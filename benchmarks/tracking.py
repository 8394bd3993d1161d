"""Linking time against the number of cells per frame, compared with laptrack at the same gate.

python -m benchmarks.tracking [--cells 100 300 1000 3000 10000] [--rounds 3] [--laptrack-up-to 3000]

Two frames of a dense field: cells wander by a tenth of a diameter, and one in twenty divides. cellflax links from the
measured label images: overlaps, distances, areas, divisions and the assignment. laptrack (Jaqaman's two assignments, by
distance alone) gets the centroids. The time to measure them counts for neither. Its rows need `pip install laptrack`.
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.timing import COLUMNS, Time, compare, print_table, start
from cellflax.tracking.cells import FrameCells, measure_frame
from cellflax.tracking.link import LinkConfig, link_frames

try:
    from laptrack import LapTrack
except ModuleNotFoundError:
    LapTrack = None

RADIUS_PX, SPACING_PX = 6.0, 16
DIVIDING = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=(100, 300, 1000, 3000, 10000), help="per frame")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    parser.add_argument("--laptrack-up-to", type=int, default=3000, help="cells; laptrack compares all pairs")
    options = parser.parse_args()
    start()
    if LapTrack is None:
        print("laptrack is not installed here: its rows are left out (pip install laptrack).")
    config = LinkConfig()
    gate_px = config.gate_px(2 * RADIUS_PX, None)
    rows, ours = [], {}
    for n in options.cells:
        before, after, truth = field(n, seed=0)
        runs: dict[str, Callable[[], np.ndarray]] = {
            "cellflax": lambda before=before, after=after: link_frames(before, after, config, gate_px)
        }
        if LapTrack is not None and n <= options.laptrack_up_to:
            runs["laptrack"] = lambda before=before, after=after: laptrack_links(before, after, gate_px)
        right = {name: links_right(run(), truth) for name, run in runs.items()}
        times = compare(runs, options.rounds)
        ours[n] = times["cellflax"]
        for name, taken in times.items():
            rows.append([f"{name}, {n} cells", *taken.row(ours[n]), f"{right[name]:.2%}"])
    print_table(["linking", *COLUMNS, "links right"], rows)
    print_growth(ours)


def field(n: int, seed: int) -> tuple[FrameCells, FrameCells, np.ndarray]:
    """Two frames of n cells on a disturbed grid, and which cell of the second comes from which of the first."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    grid = np.argwhere(np.ones((side, side)))[:n] * SPACING_PX + SPACING_PX
    places = grid + rng.normal(0, 0.1 * SPACING_PX, grid.shape)
    moved = places + rng.normal(0, 0.1 * 2 * RADIUS_PX, grid.shape)
    divides = rng.random(n) < DIVIDING
    angle = rng.uniform(0, np.pi, n)
    apart = 0.75 * RADIUS_PX * np.column_stack([np.sin(angle), np.cos(angle)])
    after = np.concatenate([moved[~divides], moved[divides] + apart[divides], moved[divides] - apart[divides]])
    radius = np.where(np.arange(len(after)) < np.sum(~divides), RADIUS_PX, RADIUS_PX / np.sqrt(2))
    parent = np.concatenate([np.flatnonzero(~divides), *2 * [np.flatnonzero(divides)]])
    size = (side + 2) * SPACING_PX
    return (
        measure_frame(discs(places, np.full(n, RADIUS_PX), size)),
        measure_frame(discs(after, radius, size)),
        np.column_stack([parent, np.arange(len(after))]),
    )


def discs(places: np.ndarray, radius: np.ndarray, size: int) -> np.ndarray:
    """(size, size) labels 1 ... n of discs."""
    labels = np.zeros((size, size), np.int32)
    reach = int(np.ceil(RADIUS_PX))
    offset = np.argwhere(np.ones((2 * reach + 1,) * 2)) - reach
    for label, (place, r) in enumerate(zip(places, radius, strict=True), start=1):
        pixels = place.round().astype(int) + offset
        row, column = pixels[np.hypot(*(pixels - place).T) <= r].T
        labels[row, column] = label
    return labels


def laptrack_links(before: FrameCells, after: FrameCells, gate_px: float) -> np.ndarray:
    """Links and splits of laptrack, whose costs are squared distances; (K, 2) rows of the frames' cells."""
    assert LapTrack is not None
    tracker = LapTrack(cutoff=gate_px**2, splitting_cutoff=gate_px**2, gap_closing_cutoff=False)
    tree = tracker.predict([before.centroid, after.centroid])
    return np.array([(one[1], two[1]) for one, two in map(sorted, tree.edges)])


def links_right(links: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true links that were found."""
    return len(set(map(tuple, links.tolist())) & set(map(tuple, truth.tolist()))) / len(truth)


def print_growth(times: dict[int, Time]) -> None:
    """Print the time per cell, and divided by the logarithm, which does not rise if growth is n log n or less."""
    rows = []
    for n, taken in times.items():
        per_cell = 1e6 * taken.cpu_s / n
        rows.append([str(n), f"{per_cell:.1f}", f"{per_cell / np.log2(n):.2f}"])
    print_table(["cells", "core-us per cell", "core-us per cell / log2(cells)"], rows)


if __name__ == "__main__":
    main()
