"""Segment the arrays of layers with a checkpoint."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cellflax.api.model import Model, load
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.napari_plugin.layers import LayerData, cell_points, label_layer
from cellflax.prediction.networks import PredictionSettings


def segment_planes(
    checkpoint: str,
    planes: Sequence[np.ndarray],
    channels: Sequence[str],
    pixel_size_um: float | None = None,
    transforms: int | None = None,
    name: str = "image",
) -> list[LayerData]:
    """The cells as a layer of labels, and the most uncertain ones as points, where several predictions are averaged.

    Args:
        checkpoint: run directory, checkpoint, or name of a network that comes with cellflax.
        planes: (H, W) or (T, H, W) intensities of each channel.
        channels: their names; the network takes its own by name if all of them are there, else all in this order.
        pixel_size_um: edge of a pixel, if known.
        transforms: rotations and reflections that are averaged: 1, 4 or 8; None for the checkpoint's.
        name: name of the image, for the layers.

    Raises:
        UserError: if the planes do not fit each other or the network.
    """
    if not planes:
        raise UserError("no layer is chosen; choose the image layers of the network's channels")
    if len({plane.shape for plane in planes}) > 1 or planes[0].ndim not in (2, 3):
        shapes = ", ".join(str(plane.shape) for plane in planes)
        raise UserError(f"the layers must be images (H, W) or movies (T, H, W) of one size, got {shapes}")
    model = load(checkpoint, PredictionSettings(test_time_augmentation=transforms))
    pixels = np.stack(planes, axis=-1)
    names = list(channels) if set(model.channels) <= set(channels) else []
    if pixels.ndim == 3:
        labels, cells = _segment(model, pixels, names, pixel_size_um)
        points = cell_points(f"{name} uncertain", cells, pixel_size_um)
        return [label_layer(f"{name} cells", labels, pixel_size_um, cells), *points]
    frames = [_segment(model, frame, names, pixel_size_um) for frame in pixels]
    cells = pd.concat([table.assign(**{results.FRAME: t}) for t, (_, table) in enumerate(frames)], ignore_index=True)
    labels = np.stack([labels for labels, _ in frames])
    points = cell_points(f"{name} uncertain", cells, pixel_size_um, results.FRAME)
    return [label_layer(f"{name} cells", labels, pixel_size_um), *points]


def _segment(
    model: Model, pixels: np.ndarray, names: Sequence[str], size: float | None
) -> tuple[np.ndarray, pd.DataFrame]:
    found = model(pixels, pixel_size_um=size, channels=names)
    return found.labels, found.cells
