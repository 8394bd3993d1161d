"""One image in memory through trained networks: probabilities, cells and their measurements."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.data.images import Image
from cellflax.data.normalize import normalize
from cellflax.ensemble import disagreement
from cellflax.errors import UserError
from cellflax.inference.dense import predict_transforms
from cellflax.measure.cells import UNCERTAINTY, cell_table
from cellflax.measure.uncertainty import structural_uncertainty
from cellflax.refine import RefineConfig, refine, takes_seeds
from cellflax.refine.seeds import nuclei_seeds
from cellflax.trained import TrainedModel


@dataclass(frozen=True)
class Segmentation:
    """The result for one image.

    Attributes:
        labels: (H, W) int32 cells, 0 = background.
        seeds: (H, W) int32 nuclei that the cells were grown from, or None.
        probability: (H, W, K) float32, mean over the networks and transforms.
        uncertainty: (H, W) float32, disagreement between the networks, or between the transforms where there is one
            network; None where there is one prediction only.
        cells: one row per cell, with its structural uncertainty where there is `uncertainty`.
    """

    labels: np.ndarray
    seeds: np.ndarray | None
    probability: np.ndarray
    uncertainty: np.ndarray | None
    cells: pd.DataFrame


def segment(
    model: TrainedModel,
    image: Image,
    seeds: np.ndarray | None,
    how: RefineConfig,
    *,
    tile: int = 512,
    transforms: int = 1,
) -> Segmentation:
    """Segment one image.

    Args:
        model: trained network or ensemble.
        image: (H, W, C) raw intensities, channels in the model's order.
        seeds: (H, W) nucleus labels, or None.
        how: from probabilities to cells.
        tile: largest edge of what the network segments at once, pixels.
        transforms: rotations and reflections averaged, 1, 4 or 8.
    """
    predictions = _predictions(model, image, transforms, tile)
    probability = np.mean(predictions, axis=0)
    labels = refine(how, probability, model.class_names, seeds)
    cells = cell_table(
        labels,
        image=image.pixels,
        channels=model.channels,
        probability=probability,
        class_names=model.class_names,
        pixel_size_um=image.pixel_size_um,
    )
    uncertainty = None
    if len(predictions) > 1:
        uncertainty = disagreement(predictions)
        others = [refine(how, prediction, model.class_names, seeds) for prediction in predictions]
        cells[UNCERTAINTY] = structural_uncertainty(labels, others)
    return Segmentation(labels, seeds, probability, uncertainty, cells)


def _predictions(model: TrainedModel, image: Image, transforms: int, tile: int) -> list[np.ndarray]:
    """(H, W, K) of every network, averaged over the transforms; of every transform where there is one network."""
    normalized = normalize(image.pixels, model.config.normalize, model.receptive_field, str(image.path))
    each = predict_transforms(
        model.probabilities, normalized, transforms, border=model.border, multiple=model.multiple, tile=tile
    )
    if model.members == 1:
        return list(each)
    mean = sum(each, np.zeros(1, np.float32)) / transforms
    return np.split(mean, model.members, axis=-1)


def find_nuclei(
    model: TrainedModel,
    image: Image,
    how: RefineConfig,
    nuclei_model: TrainedModel | None = None,
    *,
    tile: int = 512,
) -> np.ndarray | None:
    """Nuclei that seed the cells: by a network of their own, else from the model's seed channel, else none.

    Args:
        model: what the cells will be segmented with.
        image: (H, W, C) raw intensities, channels in the model's order.
        how: from probabilities to cells.
        nuclei_model: a network that segments nuclei; it takes its channels, by name, from the image's.
        tile: as in `segment`.

    Returns:
        (H, W) int32 labels, or None where the refinement takes no seeds or no channel shows nuclei.
    """
    if not takes_seeds(how):
        return None
    if nuclei_model is not None:
        nuclear, settings = _select(image, nuclei_model.channels), nuclei_model.config
        predictions = _predictions(nuclei_model, nuclear, settings.test_time_augmentation, tile)
        return refine(settings.refine, np.mean(predictions, axis=0), nuclei_model.class_names)
    channel = model.config.seed_channel
    if channel is None:
        return None
    return nuclei_seeds(image.pixels[..., model.channels.index(channel)], model.config.seeds, image.pixel_size_um)


def _select(image: Image, channels: tuple[str, ...]) -> Image:
    missing = [name for name in channels if name not in image.channels]
    if missing:
        raise UserError(
            f"nuclei_checkpoint needs the channel {missing[0]}, {image.path} has {', '.join(image.channels)}; "
            "give nuclei=... instead"
        )
    planes = [image.channels.index(name) for name in channels]
    return Image(image.pixels[..., planes], channels, image.pixel_size_um, image.path)
