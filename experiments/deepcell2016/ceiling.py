"""The best JI (Van Valen 2016, P1) that refinement could reach with the probabilities of given networks.

python experiments/deepcell2016/ceiling.py PREDICTED [PREDICTED ...] --reference FILE --nuclei FILE

Each PREDICTED is the output of `cellflax.predict save_probability=true` for the same field, from a network with the
classes edge, interior and background. Prints for each the JI of the best of nine refinements, and the JI of the best
refinement for each cell, which no method could choose without the reference. Then prints that JI over all networks.
"""

import argparse
from pathlib import Path

import numpy as np
from skimage.measure import label

from cellflax.io.images import read_labels, read_stack
from cellflax.metrics.overlap import best_overlaps, compare_cells
from cellflax.refine import refine
from cellflax.refine.active_contour import ActiveContourConfig
from cellflax.refine.watershed import WatershedConfig

CLASSES = ("edge", "interior", "background")
REFINEMENTS = [WatershedConfig(interior=interior, smoothing_px=2) for interior in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)]
REFINEMENTS += [ActiveContourConfig(iterations=iterations, smoothing=1) for iterations in (80, 120, 160)]


def main() -> None:
    """Print mean JI by network: of one refinement for all cells, and of one for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("predicted", type=Path, nargs="+")
    parser.add_argument("--reference", required=True)
    parser.add_argument("--nuclei", required=True)
    options = parser.parse_args()
    # P1's references and nuclei are masks: their connected components are the cells.
    reference, nuclei = (label(read_labels(file) > 0, connectivity=1) for file in (options.reference, options.nuclei))
    every = []
    for folder in options.predicted:
        probability = np.moveaxis(read_stack(next(folder.glob("*_probability.tif"))).pixels[:, 0], 0, -1)
        jaccard = np.array([scores(how, probability, reference, nuclei) for how in REFINEMENTS])
        every.append(jaccard)
        cells = f"{jaccard.shape[1]} cells"
        print(f"{folder}: {cells}, one for all {jaccard.mean(1).max():.3f}, one for each {jaccard.max(0).mean():.3f}")
    print(f"best network and refinement for each: {np.concatenate(every).max(0).mean():.3f}")


def scores(
    how: WatershedConfig | ActiveContourConfig, probability: np.ndarray, reference: np.ndarray, nuclei: np.ndarray
) -> np.ndarray:
    """JI of each reference cell that holds a nucleus, by P1's index: (R,)."""
    cells = refine(how, probability, CLASSES, nuclei)
    table, with_nucleus = compare_cells(reference, cells, nuclei=nuclei, border=30, erode_reference=True)
    return best_overlaps(table, with_nucleus).jaccard[with_nucleus]


if __name__ == "__main__":
    main()
