"""Scores of a network on held-out regions while it trains."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from cellflax.data.example import IGNORE, Region
from cellflax.inference.dense import predict_tiles
from cellflax.metrics.overlap import accuracy_index
from cellflax.metrics.pixels import class_accuracy, confusion_matrix
from cellflax.refine import RefineConfig, refine
from cellflax.report import Panel, outline_overlay

Probability = Callable[[np.ndarray], np.ndarray | jax.Array]


@dataclass(frozen=True)
class HeldOut:
    """One validation region, prepared: the region with as much context as there is around it.

    Attributes:
        image: (H, W, C) normalised, the region and up to `border` pixels more on each side.
        inner: where in it the region lies.
        classes: (h, w) of the region.
        cells: (h, w) reference labels of the region.
        seeds: (h, w) nucleus labels of the region, or None.
    """

    image: np.ndarray
    inner: tuple[slice, slice]
    classes: np.ndarray
    cells: np.ndarray
    seeds: np.ndarray | None

    @classmethod
    def of(cls, region: Region, normalized: np.ndarray, seeds: np.ndarray | None, border: int) -> "HeldOut":
        """Cut a region out of its normalised image and, if there are any, its nuclei."""
        top, left = max(region.y0 - border, 0), max(region.x0 - border, 0)
        context = normalized[top : region.y1 + border, left : region.x1 + border]
        inner = slice(region.y0 - top, region.y1 - top), slice(region.x0 - left, region.x1 - left)
        example = region.example
        return cls(
            image=context,
            inner=inner,
            classes=example.classes[region.slices],
            cells=example.cells[region.slices],
            seeds=None if seeds is None else seeds[region.slices],
        )


@dataclass(frozen=True)
class Validator:
    """Runs a network over all held-out regions.

    Attributes:
        held_out: the regions.
        class_names: of the network's outputs.
        refine: from probabilities to cells.
        balance: exponent of the class weights, as in sampling.
        border: pixels lost by the network on each side.
        multiple: divisor of its output sizes.
    """

    held_out: tuple[HeldOut, ...]
    class_names: tuple[str, ...]
    refine: RefineConfig
    balance: float
    border: int
    multiple: int

    def __call__(self, probability: Probability) -> tuple[dict[str, float], np.ndarray]:
        """Score the network.

        Args:
            probability: compiled (1, H, W, C) -> softmax (1, H - 2 border, W - 2 border, K).

        Returns:
            Metrics by name: `loss` (cross-entropy, classes weighted as in sampling), `accuracy_<class>` (share
            of the class's pixels), `jaccard` and `dice` (mean over reference cells of the best overlap);
            and an overlay of the first region, (H, W, 3) uint8.
        """
        k = len(self.class_names)
        confusion, cost, count = np.zeros((k, k), np.int64), np.zeros(k), np.zeros(k)
        jaccard, dice, overlay = [], [], None
        for region in self.held_out:
            predicted = predict_tiles(probability, region.image, border=self.border, multiple=self.multiple)
            predicted = predicted[region.inner]
            confusion += confusion_matrix(region.classes, predicted.argmax(-1), k)
            annotated = region.classes != IGNORE
            classes = region.classes[annotated]
            chosen = np.take_along_axis(predicted[annotated], classes[:, None], axis=1)[:, 0]
            # Float32 softmax can reach zero; its smallest normal number bounds the cost at 87.
            surprise = -np.log(np.maximum(chosen, np.finfo(np.float32).tiny))
            cost += np.bincount(classes, weights=surprise, minlength=k)
            count += np.bincount(classes, minlength=k)
            labels = refine(self.refine, predicted, self.class_names, region.seeds)
            accuracy = accuracy_index(region.cells, labels)
            jaccard.append(accuracy.jaccard)
            dice.append(accuracy.dice)
            if overlay is None:
                middle = region.image[region.inner][..., 0]
                overlay = outline_overlay(Panel("", labels, region.cells, middle))
        share = np.where(count > 0, np.maximum(count, 1) ** (1 - self.balance), 0)
        metrics = {"loss": float(np.sum(share / share.sum() * cost / np.maximum(count, 1)))}
        for name, value in zip(self.class_names, class_accuracy(confusion), strict=True):
            metrics[f"accuracy_{name}"] = float(value)
        metrics["jaccard"] = float(np.mean(np.concatenate(jaccard)))
        metrics["dice"] = float(np.mean(np.concatenate(dice)))
        assert overlay is not None, "a data set has at least one validation region"
        return metrics, (255 * overlay).astype(np.uint8)
