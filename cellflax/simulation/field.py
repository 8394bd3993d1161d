"""What every simulator of single images returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SimulatedField:
    """A simulated image and its exact truth.

    Attributes:
        image: (H, W, C) float32, camera counts (integers from 0 to 65535), channels as in `channels`.
        channels: names of the channels.
        cells: (H, W) int32 labels 1..n, each 4-connected.
        nuclei: (H, W) int32; label i is the nucleus of cell i. Cells that the border of the field cuts may
            have none.
        pixel_size_um: edge of a pixel.
    """

    image: np.ndarray
    channels: tuple[str, ...]
    cells: np.ndarray
    nuclei: np.ndarray
    pixel_size_um: float
