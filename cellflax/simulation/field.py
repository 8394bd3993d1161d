"""What every simulator of single images returns, and the ranges of settings that all simulators share."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflax.checks import check, within


@dataclass(frozen=True)
class SimulatedField:
    """A simulated image and its exact truth.

    Attributes:
        image: (H, W, C) float32, camera counts (integers from 0 to 65535), channels as in `channels`.
        channels: names of the channels.
        cells: (H, W) int32 labels 1..n, each 4-connected.
        nuclei: (H, W) int32; label i is the nucleus of cell i. Cells cut by the border of the field may
            have none.
        pixel_size_um: edge of a pixel.
    """

    image: np.ndarray
    channels: tuple[str, ...]
    cells: np.ndarray
    nuclei: np.ndarray
    pixel_size_um: float


def check_image(config: Any, group: str, least_px: int = 32) -> None:
    """Refuse settings that all simulators share: the size of the image, its illumination and the camera's noise.

    Args:
        config: the settings.
        group: where they are configured.
        least_px: smallest height and width.
    """
    check(config, group, within(least_px, 4096), "height", "width")
    check(config, group, within(0, 0.8), "illumination_variation")
    check(config, group, within(0, 100), "read_noise_electrons")
