"""Does a network to go compute what `predict` computes? A test tile, its outputs, and the largest difference."""

from collections.abc import Callable

import numpy as np

from cellflax.errors import UserError
from cellflax.inference.dense import predict_averaged
from cellflax.inference.normalize_tiles import NormalizedImage
from cellflax.networks_to_go.tile import Tile
from cellflax.prediction.trained import TrainedModel
from cellflax.simulation import HelaFieldConfig, simulate_hela_field

LARGEST_DIFFERENCE = 1e-4

# (N, C, H, W) raw intensities to (N, K, H, W) outputs, by another program.
Runner = Callable[[np.ndarray], np.ndarray]

_MOST_SIMULATED = 512


def sample_tiles(channels: tuple[str, ...], px: int) -> np.ndarray:
    """Two simulated images of cells, (2, C, px, px) float32 camera counts; the second is another view of the first.

    Channels that the simulation does not have by name are its own in turn.
    """
    size = min(px, _MOST_SIMULATED)
    field = simulate_hela_field(HelaFieldConfig(height=size, width=size), seed=0)
    planes = [
        field.image[..., field.channels.index(name) if name in field.channels else i % len(field.channels)]
        for i, name in enumerate(channels)
    ]
    image = np.stack([np.pad(plane, (0, px - size), mode="symmetric") for plane in planes])
    other = np.round(1.5 * image[:, ::-1].swapaxes(1, 2) + 20)
    return np.stack([image, other]).astype(np.float32)


def predicted(model: TrainedModel, tiles: np.ndarray, transforms: int) -> np.ndarray:
    """What `predict` computes for images: (N, C, H, W) raw intensities to (N, K, H, W) outputs."""
    box, results = model.geometry.receptive_field, []
    for image in tiles.transpose(0, 2, 3, 1):
        whole = slice(0, image.shape[0]), slice(0, image.shape[1])
        normalized = NormalizedImage(image, model.config.normalize, box).window(whole)
        members = predict_averaged(model.probabilities, normalized, transforms, model.geometry)
        results.append(np.mean(np.split(members, model.members, axis=-1), axis=0).transpose(2, 0, 1))
    return np.stack(results)


def largest_difference(outputs: np.ndarray, expected: np.ndarray, tile: Tile) -> float:
    """The largest difference between outputs, where those of the network to go are meant to be right.

    Raises:
        UserError: if it is not below `LARGEST_DIFFERENCE`.
    """
    margin = 0 if tile.mirrored else tile.context_px
    inner = np.s_[..., margin : tile.px - margin, margin : tile.px - margin]
    difference = float(np.max(np.abs(outputs[inner] - expected[inner])))
    if not difference < LARGEST_DIFFERENCE:  # also if it is not a number
        raise UserError(
            f"the exported network differs from predict by up to {difference:.2g} on a test tile, and must by less "
            f"than {LARGEST_DIFFERENCE:g}; nothing is written. Please report this with the checkpoint"
        )
    return difference
