"""Predicted and reference label images of two drawn fields, and the settings to compare them."""

from pathlib import Path

import numpy as np
import tifffile

from cellflax.evaluate import EvaluateConfig
from cellflax.io.images import write_probability
from tests.metrics.drawing import grid

REFERENCE = grid("11.22 11.22 11... 33333")
PREDICTED = grid("55.5. 55.5. ..7.. 77777")  # Jaccard 4/8, 2/8, 5/6


def write_fields(folder: Path) -> Path:
    """Two fields below a folder: `a` as drawn, `b` perfect."""
    write(folder / "predicted" / "a_labels.tif", PREDICTED)
    write(folder / "predicted" / "b_labels.tif", REFERENCE)
    write(folder / "reference" / "a_masks.tif", REFERENCE)
    write(folder / "reference" / "b_masks.tif", REFERENCE)
    return folder


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array)


def config(folders, **changes):
    paths = {key: str(folders / key) for key in ("predicted", "reference")}
    return EvaluateConfig(**{**paths, "output": str(folders / "out"), **changes})


def maps(folders, folder="predicted"):
    """Probability maps of both fields, foreground 0.9 in `b` and where `a` is predicted, and of nuclei."""
    for name, labels in (("a", PREDICTED), ("b", REFERENCE)):
        nucleus = np.where(labels == 5, 0.7, 0.05)
        background = np.where(labels > 0, 0.1, 0.8)
        probability = np.stack([nucleus, 1 - nucleus - background, background], axis=-1)
        write_probability(folders / folder / f"{name}_probability.tif", probability, ("nucleus", "cell", "background"))
