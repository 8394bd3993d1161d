"""What Van Valen 2016 published of its validation fields."""

from pathlib import Path

import numpy as np
import tifffile
from skimage import io

from cellflax.labels import cells_of
from cellflax.metrics.overlap import CellAccuracy, accuracy_index


class PublishedField:
    """A validation field of Van Valen 2016 with the published probabilities, nuclei and reference.

    Args:
        data_root: of the public data sets.
        line: HeLa or 3T3.
    """

    def __init__(self, data_root: Path, line: str):
        self.folder = data_root / "deepcell/validation_data" / line
        self.nuclei = cells_of(io.imread(self.folder / "Masks/nuclear_mask_0.png"))

    def probability(self, network: str) -> np.ndarray:
        """(H, W, 3) maps of "Cytoplasm" or "Nuclear"."""
        return np.stack([tifffile.imread(self.folder / f"{network}/feature_{k}_frame_0.tif") for k in range(3)], -1)

    def index(self, labels: np.ndarray) -> CellAccuracy:
        """The accuracy index as published."""
        (reference,) = (self.folder / "Validation").glob("*_interior.tif")
        truth = tifffile.imread(reference) > 0
        return accuracy_index(truth, labels, nuclei=self.nuclei, border=30, erode_reference=True)
