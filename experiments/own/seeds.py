"""Nuclei that seed cells: image processing against a network, on the annotated cells of the training parts.

python experiments/own/seeds.py SPLITS OUTPUT [--checkpoint nuclei] [--sets hela nih3t3 jump pca]

Finds the nuclei in the nuclear channel of SPLITS/SET/train twice: by image processing with the settings that a plan
gives, and by the network. Counts the annotated cells that hold one centre of a nucleus, none, or several. Writes
OUTPUT/seeds.md.
"""

import sys

import numpy as np
from scipy import ndimage
from steps import SETS, StepFailed, arguments, failed, predict, write_table

from cellflax.data.folder import FolderData, read_folder
from cellflax.io.images import read_labels
from cellflax.planning.markers import measure_marker
from cellflax.refine.seeds import NucleiSeedsConfig, nuclei_seeds

HEADER = ("images", "cells", "one nucleus", "none", "several")


def main() -> None:
    """Count, and write the table."""
    options = arguments(__doc__, ["hela", "nih3t3", "jump", "pca"], checkpoint="nuclei")
    rows, failures = [], 0
    for name in options.sets:
        folder = options.splits / name / "train"
        channels = SETS[name].channels
        examples = read_folder(FolderData(root=str(folder), channels=list(channels))).examples
        plane = channels.index("nuclear")
        marker = measure_marker(examples, plane, "nuclear")
        assert marker.diameter is not None, f"{name} shows no nuclei"
        settings = NucleiSeedsConfig(diameter_px=marker.diameter.median)
        processed = [nuclei_seeds(example.image[..., plane], settings, example.pixel_size_um) for example in examples]
        cells = [example.cells for example in examples]
        rows.append([f"`{name}`", "image processing", len(cells), *counts(cells, processed)])
        try:
            found = options.output / "seeds" / name / "predicted"
            predict(options.checkpoint, folder / "images", found, ("nuclear",))
            labels = [read_labels(path) for path in sorted(found.glob("*_labels.tif"))]
            rows.append([f"`{name}`", f"`{options.checkpoint}`", len(cells), *counts(cells, labels)])
        except StepFailed as error:
            failures += 1
            rows.append([f"`{name}`", f"`{options.checkpoint}`", *failed(error, len(HEADER))])
    write_table(options.output / "seeds.md", ("set", "nuclei by", *HEADER), rows)
    sys.exit(1 if failures else 0)


def counts(cells: list[np.ndarray], nuclei: list[np.ndarray]) -> tuple[int, float, float, float]:
    """Number of cells, and the shares of those with one nucleus' centre, none and several."""
    number = []
    for labels, found in zip(cells, nuclei, strict=True):
        assert labels.shape == found.shape, "images and predictions are of the same fields in the same order"
        centres = ndimage.center_of_mass(found > 0, found, np.arange(1, found.max() + 1))
        held = labels[tuple(np.round(np.asarray(centres)).astype(int).T)] if len(centres) else np.zeros(0, labels.dtype)
        own = np.bincount(held[held > 0], minlength=labels.max() + 1)
        number.append(own[np.unique(labels[labels > 0])])
    each = np.concatenate(number)
    return len(each), float(np.mean(each == 1)), float(np.mean(each == 0)), float(np.mean(each > 1))


if __name__ == "__main__":
    main()
