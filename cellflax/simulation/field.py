"""What every simulator of single images returns, and the range check that their settings share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflax.errors import UserError


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


def check_ranges(config: Any, key: str, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse values outside their closed range; NaN is outside of every range.

    Args:
        config: has an attribute for each name in `ranges`.
        key: where the configuration stands, for the message ("data.brightfield").
        ranges: smallest and largest value by name.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise UserError(f"{key}.{name} must be in [{low}, {high}], got {value}")
