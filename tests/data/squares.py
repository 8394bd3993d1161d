"""A drawn field of nine square cells."""

from pathlib import Path

import numpy as np
import tifffile

from cellflax.data.simulated import SimulatedData
from cellflax.data.split import Split
from cellflax.simulation.hela import HelaFieldConfig

# A tenth of the 64 x 60 pixels would end before the first cell.
BY_REGION: dict = {"split": Split.region, "validation_fraction": 0.2}
SMALL_FIELD = HelaFieldConfig(height=96, width=96)
SMALL_STAND_IN = SimulatedData(fields=1, validation_fields=1, field=SMALL_FIELD)


def write_tiff(path: Path, array: np.ndarray) -> None:
    """Write an array of grey pixels, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")


def square_labels() -> np.ndarray:
    """Nine square cells of 12 x 12 px with gaps of 4 px on 64 x 60 pixels."""
    labels = np.zeros((64, 60), np.uint16)
    for i in range(9):
        y, x = 8 + 16 * (i // 3), 8 + 16 * (i % 3)
        labels[y : y + 12, x : x + 12] = i + 1
    return labels


def noise(channels: int | None = None, seed: int = 0) -> np.ndarray:
    """Pixels of such a field, (64, 60) or (channels, 64, 60)."""
    shape = (64, 60) if channels is None else (channels, 64, 60)
    return np.random.default_rng(seed).integers(100, 900, shape, np.uint16)
