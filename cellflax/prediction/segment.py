"""Segment one image in memory with trained networks, block by block: probabilities, cells and measurements."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cellflax.data.resample import NearestGrid, labels_to_grid, to_scale
from cellflax.errors import UserError
from cellflax.inference.blocks import Block, Window, inside
from cellflax.inference.dense import predict_averaged, predict_transforms
from cellflax.inference.mosaic import Mosaic
from cellflax.inference.normalize_tiles import NormalizedImage
from cellflax.inference.settings import Inference
from cellflax.io import results
from cellflax.io.images import Image
from cellflax.measure.cells import cell_table
from cellflax.measure.sureness import Sides, sureness_table
from cellflax.measure.uncertainty import structural_uncertainty
from cellflax.models import Geometry
from cellflax.models.ensemble import disagreement
from cellflax.prediction.calibration import Calibration
from cellflax.prediction.own_nuclei import nuclei_network
from cellflax.prediction.trained import TrainedModel
from cellflax.refine import RefineConfig, find_seeds, intensity_image, refine
from cellflax.refine.seeds import nuclei_seeds
from cellflax.schemas import kind_of

# Takes the maps of one part of the image: where it is, (h, w, K) outputs of the network (`TrainedModel.outputs`), and
# (h, w) uncertainty if there is any.
Maps = Callable[[Window, np.ndarray, np.ndarray | None], None]
# Takes the number of blocks that are done, and of all.
OnBlock = Callable[[int, int], None]


@dataclass(frozen=True)
class Segmentation:
    """The result for one image.

    Attributes:
        labels: (H, W) int32 cells, 0 = background.
        seeds: (H, W) int32 nuclei that the cells were grown from, or None.
        cells: one row per cell, with its structural uncertainty where several predictions were averaged, and the
            probability that it is right where a calibration was given.
    """

    labels: np.ndarray
    seeds: np.ndarray | None
    cells: pd.DataFrame


def segment(
    model: TrainedModel,
    image: Image,
    seeds: np.ndarray | None,
    how: RefineConfig,
    inference: Inference,
    maps: Maps | None = None,
    on_block: OnBlock | None = None,
    calibration: Calibration | None = None,
) -> Segmentation:
    """Segment one image.

    An image larger than `inference.block` is segmented in blocks, so that memory holds the probabilities of only one
    block besides the image and its labels. A refinement that takes levels from its whole input (the two of an active
    contour) then takes them from the block. The image is resampled as a whole if the network needs that; cells are
    measured on the image's own grid.

    Args:
        model: trained network or ensemble.
        image: (H, W, C) raw intensities, channels in the model's order.
        seeds: (H, W) nucleus labels; None for those that the network itself shows, if it has a class for them.
        how: from probabilities to cells.
        inference: tiles, transforms, blocks.
        maps: receives, part by part, the mean over networks and transforms, and the disagreement between the networks
            (between the transforms if there is one network).
        on_block: called after each block.
        calibration: gives the probability that a cell is right.

    Raises:
        UserError: naming the image, if its pixel size is needed and unknown.
    """
    scaled = _at_scale(model, image)
    given = None if seeds is None else labels_to_grid(seeds, _size(scaled))
    predictor = _Predictor(model, scaled, how, inference)
    grid = NearestGrid(_size(scaled), _size(image))
    places = [Block(*map(grid.window, (b.core, b.window, b.source))) for b in predictor.blocks]
    mosaic, nuclei, tables = Mosaic(_size(image), places), None, []
    for index, (block, place) in enumerate(zip(predictor.blocks, places, strict=True)):
        predictions = predictor.predict(block)
        probability = _mean(predictions)
        seeds_here = None if given is None else given[block.window]
        if given is None:
            seeds_here = find_seeds(how, probability, model.outputs.names, scaled.pixel_size_um)
            if seeds_here is not None:
                nuclei = nuclei or Mosaic(_size(image), places)
                nuclei.add(index, grid.take(seeds_here, block.window))
        labels = predictor.refine(block, probability, seeds_here)
        seen, probability = probability, grid.take(probability, block.window)
        added, taken = mosaic.add(index, grid.take(labels, block.window))
        cells = cell_table(
            added,
            image=image.pixels[place.window],
            channels=model.channels,
            probability=model.outputs.classes(probability),
            class_names=model.class_names,
            pixel_size_um=image.pixel_size_um,
            origin=(place.window[0].start, place.window[1].start),
            field=_size(image),
        )
        uncertainty = sure = None
        if len(predictions) > 1:
            classes = [model.outputs.classes(prediction) for prediction in predictions]
            uncertainty = grid.take(disagreement(classes), block.window)
            others = [predictor.refine(block, prediction, seeds_here) for prediction in predictions]
            sure = structural_uncertainty(labels, others)
            cells[results.UNCERTAINTY] = sure[taken - 1]
        if calibration is not None:
            # On the network's own grid, as the calibration's cells were measured.
            of_network = model.outputs.classes(seen), model.class_names
            measured = sureness_table(labels, *of_network, sure, at_border=_sides(block.window, _size(scaled)))
            probabilities = calibration.probabilities(measured.iloc[taken - 1], scaled.pixel_size_um)
            cells[list(probabilities)] = probabilities.to_numpy()
        tables.append(cells)
        if maps is not None:
            core = inside(place.core, place.window)
            maps(place.core, probability[core], None if uncertainty is None else uncertainty[core])
        if on_block is not None:
            on_block(index + 1, len(places))
    seeds = seeds if nuclei is None else nuclei.labels
    return Segmentation(mosaic.labels, seeds, pd.concat(tables, ignore_index=True))


def find_nuclei(
    model: TrainedModel,
    image: Image,
    how: RefineConfig,
    inference: Inference,
    nuclei_model: TrainedModel | None = None,
) -> np.ndarray | None:
    """Nuclei that seed the cells: from a network for nuclei, else from the model's seed channel, else none.

    Args:
        model: model that will segment the cells.
        image: (H, W, C) raw intensities, channels in the model's order.
        how: from probabilities to cells.
        inference: tiles and blocks; transforms are those of the network for nuclei.
        nuclei_model: a network that segments nuclei, given by the user; it takes its channels from the image by name,
            or its only channel from the model's seed channel. Without it, the nuclei are found in the seed channel at
            the model's scale, as in its training: by the network that it names, or by image processing.

    Returns:
        (H, W) int32 labels, or None if the refinement takes no seeds or there is no source of nuclei.
    """
    if not how.takes_seeds:
        return None
    if nuclei_model is not None:
        selected = _select(image, nuclei_model.channels, model.config.seed_channel)
        return nuclei_by_network(nuclei_model, selected, inference)
    channel = model.config.seed_channel
    if channel is None:
        return None
    scaled = _at_scale(model, image)
    plane = scaled.pixels[..., model.channels.index(channel)]
    own = nuclei_network(model.config)
    if own is not None:
        shown = Image(plane[..., None], own.channels, scaled.pixel_size_um, image.path)
        return labels_to_grid(nuclei_by_network(own, shown, inference), _size(image))
    blocks = inference.blocks(_size(scaled), Geometry())
    mosaic = Mosaic(_size(scaled), blocks)
    for index, block in enumerate(blocks):
        mosaic.add(index, nuclei_seeds(plane[block.window], model.config.seeds, scaled.pixel_size_um))
    return labels_to_grid(mosaic.labels, _size(image))


def nuclei_by_network(network: TrainedModel, image: Image, inference: Inference) -> np.ndarray:
    """Nuclei that a network finds.

    Args:
        network: segments nuclei.
        image: (H, W, C) raw intensities, channels in the network's order.
        inference: tiles and blocks; transforms are those of the network.

    Returns:
        (H, W) int32 labels 1...n, 0 = background.
    """
    scaled = _at_scale(network, image)
    tiles = replace(inference, transforms=network.config.test_time_augmentation)
    predictor = _Predictor(network, scaled, network.config.refine, tiles)
    mosaic = Mosaic(_size(scaled), predictor.blocks)
    for index, block in enumerate(predictor.blocks):
        mosaic.add(index, predictor.refine(block, _mean(predictor.predict(block))))
    return labels_to_grid(mosaic.labels, _size(image))


class _Predictor:
    """The blocks of an image, and the probabilities and cells in each."""

    def __init__(self, model: TrainedModel, image: Image, how: RefineConfig, inference: Inference):
        if how.needs_pixel_size and image.pixel_size_um is None:  # before any network runs
            raise UserError(
                f"{image.path}: its pixel size is unknown, and refine={kind_of('refine', how)} measures in "
                "micrometres; add pixel_size_um=..."
            )
        self._model, self._inference, self._how, self._raw = model, inference, how, image
        box = model.geometry.receptive_field
        self._image = NormalizedImage(image.pixels, model.config.normalize, box, str(image.path))
        self.blocks = inference.blocks(_size(image), model.geometry)

    def predict(self, block: Block) -> list[np.ndarray]:
        """(h, w, K) outputs for a block's window from each network, averaged over the transforms.

        If there is one network, the result is one prediction for each transform.
        """
        model, inference = self._model, self._inference
        source, window = self._image.window(block.source), inside(block.window, block.source)
        options = {"tile": inference.tile_px(model.geometry), "predict": inference.predict}
        if model.members == 1:
            each = predict_transforms(model.probabilities, source, inference.transforms, model.geometry, **options)
            return [prediction[window] for prediction in each]
        mean = predict_averaged(model.probabilities, source, inference.transforms, model.geometry, **options)
        return np.split(mean[window], model.members, axis=-1)

    def refine(self, block: Block, probability: np.ndarray, seeds: np.ndarray | None = None) -> np.ndarray:
        """(h, w) labels of a block's window, from its probabilities, seeds and intensities."""
        return refine(
            self._how,
            probability,
            self._model.outputs.names,
            seeds,
            intensity=intensity_image(self._how, self._raw.pixels[block.window], self._model.channels),
            pixel_size_um=self._raw.pixel_size_um,
        )


def _sides(window: Window, size: tuple[int, int]) -> Sides:
    """Which sides of a window are the image's border."""
    rows, columns = window
    return rows.start == 0, columns.start == 0, rows.stop == size[0], columns.stop == size[1]


def _mean(predictions: list[np.ndarray]) -> np.ndarray:
    """Mean of the predictions, without the stacked copy that `np.mean` makes."""
    return sum(predictions[1:], predictions[0]) / len(predictions)


def _at_scale(model: TrainedModel, image: Image) -> Image:
    """The image at the network's scale."""
    scale = model.config.scale
    pixels = to_scale(image.pixels, image.pixel_size_um, scale, str(image.path))
    return Image(pixels, image.channels, scale.pixel_size_after(image.pixel_size_um), image.path)


def _size(image: Image) -> tuple[int, int]:
    height, width = image.pixels.shape[:2]
    return height, width


def _select(image: Image, channels: tuple[str, ...], seed_channel: str | None) -> Image:
    names = channels
    if len(channels) == 1 and channels[0] not in image.channels and seed_channel in image.channels:
        names = (seed_channel,)
    missing = [name for name in names if name not in image.channels]
    if missing:
        raise UserError(
            f"nuclei_checkpoint needs the channel {missing[0]}, {image.path} has {', '.join(image.channels)}; "
            "give nuclei=... instead"
        )
    planes = [image.channels.index(name) for name in names]
    return Image(image.pixels[..., planes], channels, image.pixel_size_um, image.path)
