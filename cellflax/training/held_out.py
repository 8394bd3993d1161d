"""Scores of a network on held-out regions, while it trains and afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from cellflax.data.example import IGNORE, Dataset, Region
from cellflax.data.normalize import normalize
from cellflax.errors import UserError
from cellflax.inference.dense import predict_averaged
from cellflax.losses import Activation, activation_of
from cellflax.metrics.detection import CellError
from cellflax.metrics.pixels import class_accuracy, confusion_matrix
from cellflax.metrics.score import CellScores, pool, score_cells
from cellflax.models import Geometry
from cellflax.refine import RefineConfig, intensity_image, needs_seeds, refine
from cellflax.schemas import kind_of
from cellflax.targets import BOUNDARY, Outputs
from cellflax.training.config import TrainConfig

Probability = Callable[[np.ndarray], np.ndarray | jax.Array]

# Finds nuclei: (H, W) raw intensities and the edge of a pixel in micrometres, if known, -> (H, W) int32 labels.
FindNuclei = Callable[[np.ndarray, float | None], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """One prepared validation region, with as much context as the image has around it.

    Attributes:
        image: (H, W, C) normalised, the region and up to `border` pixels more on each side.
        inner: where the region lies in `image`.
        classes: (h, w) classes of the region.
        cells: (h, w) reference labels of the region.
        seeds: (h, w) nucleus labels of the region, or None.
        raw: (h, w, C) intensities of the region, not normalised.
        pixel_size_um: edge of a pixel, if known.
        ignored: (h, w) codes of what is not annotated, see `cellflax.ignored`; None if everything is.
        maps: (h, w, maps) what the network learns besides classes, NaN where it is unknown; None without such maps.
        name: of the image that it is a part of.
    """

    image: np.ndarray
    inner: tuple[slice, slice]
    classes: np.ndarray
    cells: np.ndarray
    seeds: np.ndarray | None
    raw: np.ndarray
    pixel_size_um: float | None
    ignored: np.ndarray | None = None
    maps: np.ndarray | None = None
    name: str = ""

    @classmethod
    def of(cls, region: Region, normalized: np.ndarray, seeds: np.ndarray | None, geometry: Geometry) -> "HeldOut":
        """Cut a region out of its normalised image and, if there are any, its nuclei."""
        border, multiple = geometry.border, geometry.multiple
        # Poolings fall on the same pixels as in the whole image.
        top, left = (max(first - border, 0) // multiple * multiple for first in (region.y0, region.x0))
        context = normalized[top : region.y1 + border, left : region.x1 + border]
        inner = slice(region.y0 - top, region.y1 - top), slice(region.x0 - left, region.x1 - left)
        example = region.example
        return cls(
            image=context,
            inner=inner,
            classes=example.classes[region.slices],
            cells=example.cells[region.slices],
            seeds=None if seeds is None else seeds[region.slices],
            raw=example.image[region.slices],
            pixel_size_um=example.pixel_size_um,
            ignored=None if example.ignored is None else example.ignored[region.slices],
            maps=None if example.maps is None else example.maps[region.slices],
            name=example.name,
        )


@dataclass(frozen=True)
class Sight:
    """What a network sees in a held-out region.

    Attributes:
        region: the region.
        labels: (h, w) cells of the network.
        scores: these cells against the reference.
    """

    region: HeldOut
    labels: np.ndarray
    scores: CellScores


def held_out_regions(
    config: TrainConfig, dataset: Dataset, geometry: Geometry, find_nuclei: FindNuclei
) -> tuple[HeldOut, ...]:
    """Prepare the validation regions of a data set as a network of this configuration needs them.

    Args:
        config: configuration of the training.
        dataset: data set with the regions.
        geometry: geometry of the network.
        find_nuclei: finds the nuclei in the seed channel, as prediction does.

    Raises:
        UserError: if the data set lacks the channel that seeds the refinement, or a needed one is not named.
    """
    if config.seed_channel is None and needs_seeds(config.refine, dataset.class_names):
        raise UserError(
            f"refine={kind_of('refine', config.refine)} starts from nuclei: name their seed_channel, or take "
            "refine=watershed"
        )
    channel = None
    if config.seed_channel is not None and config.refine.takes_seeds:
        if config.seed_channel not in dataset.channels:
            raise UserError(
                f"seed_channel={config.seed_channel} is not among the channels {', '.join(dataset.channels)}; "
                "name one of them, or null to refine without nuclei"
            )
        channel = dataset.channels.index(config.seed_channel)
    regions = []
    for region in dataset.validation:
        example = region.example
        seeds = None if channel is None else find_nuclei(example.image[..., channel], example.pixel_size_um)
        normalized = normalize(example.image, config.normalize, geometry.receptive_field, example.name)
        regions.append(HeldOut.of(region, normalized, seeds, geometry))
    return tuple(regions)


@dataclass(frozen=True)
class Validator:
    """Runs a network over all held-out regions and scores what it predicts.

    Attributes:
        held_out: the regions.
        channels: channels of the images.
        class_names: names of the network's classes.
        activation: activation that turned its logits into probabilities.
        refine: from probabilities to cells.
        balance: exponent of the class weights, as in sampling.
        geometry: geometry of the network.
        erode_reference: erode each reference cell by disk(1), as P1's index does.
        map_names: names of the maps that follow the classes in the network's outputs.
    """

    held_out: tuple[HeldOut, ...]
    channels: tuple[str, ...]
    class_names: tuple[str, ...]
    activation: Activation
    refine: RefineConfig
    balance: float
    geometry: Geometry
    erode_reference: bool = False
    map_names: tuple[str, ...] = ()

    @property
    def outputs(self) -> Outputs:
        """The network's outputs."""
        return Outputs(self.class_names, self.map_names)

    @classmethod
    def of(cls, config: TrainConfig, dataset: Dataset, geometry: Geometry, find_nuclei: FindNuclei) -> "Validator":
        """The validator of a training.

        Args:
            config: configuration of the training.
            dataset: data set that it was or will be trained on, at the network's scale.
            geometry: geometry of the network.
            find_nuclei: as in `held_out_regions`.

        Raises:
            UserError: as `held_out_regions`.
        """
        return cls(
            held_out=held_out_regions(config, dataset, geometry, find_nuclei),
            channels=dataset.channels,
            class_names=dataset.class_names,
            activation=activation_of(config.loss),
            refine=config.refine,
            balance=config.sampler.balance,
            geometry=geometry,
            map_names=dataset.map_names,
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each region's image, context included; regions of one shape share their compiled programs."""
        return tuple(region.image.shape for region in self.held_out)

    def order(self, seed: int) -> tuple[int, ...]:
        """A random order of the regions; the first one holds a cell, so that samples of any size have a score."""
        order = [int(i) for i in np.random.default_rng(seed).permutation(len(self.held_out))]
        first = next((i for i in order if self.held_out[i].cells.any()), order[0])
        return (first, *(i for i in order if i != first))

    def part(self, regions: Sequence[int]) -> "Validator":
        """The same for some of the regions."""
        return replace(self, held_out=tuple(self.held_out[i] for i in regions))

    def predict(self, probability: Probability, transforms: int = 1) -> list[np.ndarray]:
        """The outputs for every region, (h, w, K): probabilities of the classes, then maps.

        Args:
            probability: compiled (T, H, W, C) -> outputs (T, H - 2 border, W - 2 border, K).
            transforms: rotations and reflections averaged, 1, 4 or 8.
        """
        return [
            predict_averaged(probability, region.image, transforms, self.geometry)[region.inner]
            for region in self.held_out
        ]

    def score(self, predictions: Sequence[np.ndarray]) -> tuple[dict[str, float], list[Sight]]:
        """Score what `predict` returned.

        Returns:
            Metrics by name, and what the network sees in each region. The metrics are
            `loss` (cross-entropy with classes weighted as in sampling; the same for every training cost, so that
            trainings can be compared), `accuracy_<class>` (share of the class's pixels), `jaccard` and `dice` (mean
            best overlap of the reference cells; with seeds, only of those that hold one, because a strip's border
            cuts others off their nuclei), `share_jaccard_0.8` (share of the same cells at 0.8 or more), and
            `missed`, `merged` and `split` (shares of all reference cells, see `metrics.detection.CellError`), and `f1`
            (of cells matched at IoU 0.5; cells found where there are none lower it). What is not annotated does not
            count, see `metrics.comparable`. For each map, `error_<map>` is its mean absolute error within cells.
        """
        k = len(self.class_names)
        confusion, cost, count = np.zeros((k, k), np.int64), np.zeros(k), np.zeros(k)
        sights = []
        for region, predicted in zip(self.held_out, predictions, strict=True):
            probability = self.outputs.classes(predicted)
            confusion += confusion_matrix(region.classes, probability.argmax(-1), k)
            annotated = region.classes != IGNORE
            classes = region.classes[annotated]
            surprise = -np.log(self._chosen(probability[annotated], classes))
            cost += np.bincount(classes, weights=surprise, minlength=k)
            count += np.bincount(classes, minlength=k)
            labels = self.cells(region, predicted)
            scores = score_cells(
                region.cells, labels, nuclei=region.seeds, erode_reference=self.erode_reference, ignored=region.ignored
            )
            sights.append(Sight(region, labels, scores))
        share = np.where(count > 0, np.maximum(count, 1) ** (1 - self.balance), 0)
        metrics = {"loss": float(np.sum(share / share.sum() * cost / np.maximum(count, 1)))}
        for name, value in zip(self.class_names, class_accuracy(confusion), strict=True):
            metrics[f"accuracy_{name}"] = float(value)
        cells = pool([sight.scores for sight in sights])
        indexed = cells.accuracy.in_index
        if indexed.any():
            metrics["jaccard"], metrics["dice"] = cells.accuracy.mean_jaccard, cells.accuracy.mean_dice
            metrics["share_jaccard_0.8"] = float(np.mean(cells.accuracy.jaccard[indexed] >= 0.8))
        else:  # no cell holds a seed, so none can be found
            metrics |= {"jaccard": 0.0, "dice": 0.0, "share_jaccard_0.8": 0.0}
        for error in (CellError.MISSED, CellError.MERGED, CellError.SPLIT):
            metrics[error.name.lower()] = float(np.sum(cells.errors == error) / max(len(cells.errors), 1))
        metrics["f1"] = float(np.nan_to_num(cells.matches[0].f1))
        metrics |= self._map_errors(predictions)
        return metrics, sights

    def cells(self, region: HeldOut, predicted: np.ndarray, how: RefineConfig | None = None) -> np.ndarray:
        """The cells of one region.

        Args:
            region: the region.
            predicted: (h, w, K), as from `predict`.
            how: from probabilities to cells; None for `refine`.

        Returns:
            (h, w) int32 labels 1...n, 0 = background.
        """
        how = how or self.refine
        return refine(
            how,
            predicted,
            self.outputs.names,
            region.seeds,
            intensity=intensity_image(how, region.raw, self.channels),
            pixel_size_um=region.pixel_size_um,
        )

    def _map_errors(self, predictions: Sequence[np.ndarray]) -> dict[str, float]:
        """Mean absolute error of each map within cells, 0 if none is known."""
        total, pixels = np.zeros(len(self.map_names)), 0
        for region, predicted in zip(self.held_out, predictions, strict=True):
            if region.maps is not None:
                cell = region.maps[..., self.map_names.index(BOUNDARY)] > 0  # false for NaN
                total += np.abs(self.outputs.maps(predicted) - region.maps)[cell].sum(axis=0)
                pixels += int(cell.sum())
        return {f"error_{name}": float(e) for name, e in zip(self.map_names, total / max(pixels, 1), strict=True)}

    def _chosen(self, predicted: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Probability of each pixel's own class, (n, K) and (n,) -> (n,); independent ones are normalised first."""
        # Float32 probabilities can reach zero; its smallest normal number bounds the cost at 87.
        tiny = np.finfo(np.float32).tiny
        chosen = np.take_along_axis(predicted, classes[:, None], axis=1)[:, 0]
        if self.activation is Activation.sigmoid:
            chosen = chosen / np.maximum(predicted.sum(axis=1), tiny)
        return np.maximum(chosen, tiny)
